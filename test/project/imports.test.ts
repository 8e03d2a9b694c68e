import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'

const REPO = join(import.meta.dirname, '../..')

/** Lint files in a throw-away tree under the repo's own biome.json: for each the rules that refused it, as `rule:line`. */
function lint(files: Record<string, string>): Map<string, string[]> {
  const tree = realpathSync(mkdtempSync(join(tmpdir(), 'gatherd-imports-')))
  try {
    // The schema's path and the ignore files mean nothing there; the rules are what is tested.
    const config = JSON.parse(readFileSync(join(REPO, 'biome.json'), 'utf8'))
    writeFileSync(join(tree, 'biome.json'), JSON.stringify({ ...config, $schema: undefined, vcs: undefined }))
    copyFileSync(join(REPO, 'package.json'), join(tree, 'package.json'))
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(tree, path)), { recursive: true })
      writeFileSync(join(tree, path), text)
    }
    const biome = join(REPO, 'node_modules/@biomejs/biome/bin/biome')
    const run = spawnSync(process.execPath, [biome, 'lint', '--reporter=json', '--max-diagnostics=1000', '.'], {
      cwd: tree,
      encoding: 'utf8',
    })
    if (!run.stdout.startsWith('{')) throw new Error(`biome said: ${run.stdout}${run.stderr}`)
    const refused = new Map<string, string[]>(Object.keys(files).map((path) => [path, []]))
    const report: { diagnostics: { category: string; location: { path: string; start: { line: number } } }[] } =
      JSON.parse(run.stdout)
    for (const { category, location } of report.diagnostics) {
      refused.get(location.path)?.push(`${category.replace(/^lint\/\w+\//, '')}:${location.start.line}`)
    }
    return refused
  } finally {
    rmSync(tree, { recursive: true, force: true })
  }
}

/** Of `[file, specifier]` pairs, those that the import rule refuses, as `file → specifier`. */
function refusedImports(pairs: [string, string][]): string[] {
  const byFile = Map.groupBy(pairs, ([file]) => file)
  const files = [...byFile].map(([file, own]) => [file, own.map(([, specifier]) => `import '${specifier}'`).join('\n')])

  const refused = lint(Object.fromEntries(files))

  return [...byFile].flatMap(([file, own]) =>
    own
      .filter((_, line) => refused.get(file)?.includes(`noRestrictedImports:${line + 1}`))
      .map(([, specifier]) => `${file} → ${specifier}`),
  )
}

const named = (pairs: [string, string][]) => pairs.map(([file, specifier]) => `${file} → ${specifier}`)

/** `[the file, what it must not import]`. */
const FORBIDDEN: [string, string][] = [
  ['src/errors.ts', './config.ts'],
  ['src/clock.ts', './engine/engine.ts'],
  ['src/ids.ts', './store/store.ts'],
  ['src/contract.ts', './schema/limits.ts'],
  ['src/contract.ts', './jobs/kind.ts'],
  ['src/halt.ts', './jobs/kind.ts'],
  ['src/core/turn.ts', '../engine/engine.ts'],
  ['src/core/turn.ts', '../jobs/kind.ts'],
  ['src/core/turn.ts', '../store/store.ts'],
  ['src/core/turn.ts', '../schema/batch.ts'],
  ['src/core/turn.ts', '../config.ts'],
  ['src/core/turn.ts', '../log.ts'],
  ['src/core/turn.ts', 'node:timers/promises'],
  ['src/schema/batch.ts', '../engine/local/engine.ts'],
  ['src/schema/batch.ts', '../jobs/fetch.ts'],
  ['src/schema/batch.ts', '../core/states.ts'],
  ['src/schema/batch.ts', '../http/problem.ts'],
  ['src/secrets/vault.ts', '../engine/engine.ts'],
  ['src/secrets/vault.ts', '../jobs/kind.ts'],
  ['src/secrets/open.ts', '../store/store.ts'],
  ['src/secrets/open.ts', '../config.ts'],
  ['src/json/scanner.ts', '../errors.ts'],
  ['src/json/turns.ts', '../clock.ts'],
  ['src/json/raw.ts', '../jobs/kind.ts'],
  ['src/json/turns.ts', 'node:timers/promises'],
  ['src/jobs/sleep.ts', '../engine/engine.ts'],
  ['src/jobs/sleep.ts', '../store/store.ts'],
  ['src/jobs/sleep.ts', '../http/problem.ts'],
  ['src/jobs/sleep.ts', '../../routes/batches.ts'],
  ['src/jobs/sleep.ts', 'undici'],
  ['src/jobs/fetch.ts', '../engine/engine.ts'],
  ['src/jobs/fetch.ts', 'node:net'],
  ['src/jobs/fetch.ts', 'node:tls'],
  ['src/jobs/fetch.ts', 'node:dns/promises'],
  ['src/egress/pools.ts', '../jobs/fetch.ts'],
  ['src/egress/pools.ts', '../engine/engine.ts'],
  ['src/egress/pools.ts', '../http/problem.ts'],
  ['src/engine/local/engine.ts', '../../http/problem.ts'],
  ['src/engine/local/engine.ts', '../../auth/keys.ts'],
  ['src/engine/local/engine.ts', '../../../routes/batches.ts'],
  ['src/engine/local/engine.ts', '../../egress/pools.ts'],
  ['src/engine/local/engine.ts', 'p-queue'],
  ['src/engine/local/engine.ts', 'node:net'],
  ['src/engine/local/slots.ts', '../../http/problem.ts'],
  ['src/engine/local/slots.ts', 'undici'],
  ['src/store/sqlite.ts', '../engine/local/engine.ts'],
  ['src/store/sqlite.ts', '../http/problem.ts'],
  ['src/store/sqlite.ts', '../../routes/batches.ts'],
  ['src/stream/sse.ts', '../../routes/events.ts'],
  ['src/stream/sse.ts', '../engine/local/engine.ts'],
  ['src/http/problem.ts', '../core/states.ts'],
  ['src/metrics/engine-counts.ts', '../engine/local/engine.ts'],
  ['src/metrics/metrics.ts', '../../routes/batches.ts'],
  ['src/metrics/listener.ts', 'node:net'],
  ['src/jobs/sleep.ts', '../metrics/tally.ts'],
  ['src/egress/pools.ts', '../metrics/egress-counts.ts'],
  ['src/auth/keys.ts', '../../routes/admin.ts'],
  ['src/auth/keys.ts', '../wiring.ts'],
  ['src/auth/keys.ts', 'node:process'],
  ['src/config.ts', './wiring.ts'],
  ['src/wiring.ts', '../routes/index.ts'],
  ['src/app.ts', './engine/local/engine.ts'],
  ['src/app.ts', './wiring.ts'],
  ['src/main.ts', '../routes/index.ts'],
  ['src/traces/spans.ts', '../store/store.ts'],
  ['src/traces/sdk.ts', 'node:net'],
  ['src/engine/local/runtime.ts', '../../traces/spans.ts'],
  ['src/http/traces.ts', '../traces/start.ts'],
  ['routes/batches.ts', '../src/traces/start.ts'],
  ['src/jobs/sleep.ts', '../traces/place.ts'],
  ['routes/batches.ts', '../src/engine/local/engine.ts'],
  ['routes/batches.ts', '../src/core/states.ts'],
  ['routes/batches.ts', '../src/store/sqlite/store.ts'],
  ['routes/batches.ts', '../src/egress/policy.ts'],
  ['routes/batches.ts', '../src/app.ts'],
  ['routes/batches.ts', 'p-queue'],
]

/** `[the file, what it may import]`: the same rules let the intended direction through. */
const ALLOWED: [string, string][] = [
  ['src/json/scanner.ts', './grammar.ts'],
  ['src/traces/spans.ts', '../engine/local/traces.ts'],
  ['src/engine/local/runtime.ts', './traces.ts'],
  ['src/wiring.ts', './traces/start.ts'],
  ['src/jobs/fetch/run.ts', '../../json/turns.ts'],
  ['src/http/body.ts', '../json/scanner.ts'],
  ['src/secrets/open.ts', './vault.ts'],
  ['src/secrets/key-file.ts', '../errors.ts'],
  ['src/engine/local/sealer.ts', '../../secrets/vault.ts'],
  ['src/clock.ts', './errors.ts'],
  ['src/core/turn.ts', '../errors.ts'],
  ['src/core/turn.ts', '../clock.ts'],
  ['src/core/turn.ts', './states.ts'],
  ['src/schema/batch.ts', '../contract.ts'],
  ['src/jobs/sleep.ts', '../contract.ts'],
  ['src/jobs/kind.ts', '../halt.ts'],
  ['src/egress/dial.ts', '../halt.ts'],
  ['src/http/traceparent.ts', '../contract.ts'],
  ['src/schema/batch.ts', '../engine/engine.ts'],
  ['src/schema/batch.ts', '../jobs/kind.ts'],
  ['src/jobs/fetch.ts', '../egress/pools.ts'],
  ['src/jobs/fetch.ts', 'undici'],
  ['src/egress/connector.ts', 'node:net'],
  ['src/egress/connector.ts', 'node:tls'],
  ['src/egress/connector.ts', 'undici'],
  ['src/engine/local/engine.ts', '../../core/turn.ts'],
  ['src/engine/local/engine.ts', '../../jobs/kind.ts'],
  ['src/engine/local/engine.ts', '../../store/store.ts'],
  ['src/engine/local/count.ts', '../../metrics/engine-counts.ts'],
  ['src/metrics/listener.ts', '../http/negotiate.ts'],
  ['src/engine/local/slots.ts', 'p-queue'],
  ['src/store/sqlite.ts', '../engine/engine.ts'],
  ['src/stream/sse.ts', '../engine/engine.ts'],
  ['src/app.ts', '../routes/index.ts'],
  ['src/wiring.ts', './engine/local/engine.ts'],
  ['src/main.ts', './wiring.ts'],
  ['routes/batches.ts', '../src/engine/engine.ts'],
  ['routes/batches.ts', '../src/schema/batch.ts'],
  ['routes/admin.ts', '../src/store/store.ts'],
  ['routes/batches.ts', '../src/http/problem.ts'],
  ['routes/events.ts', '../src/stream/sse.ts'],
  ['test/core/turn.test.ts', '../../src/core/turn.ts'],
]

/** `[the file, its text, the rule that refuses it]`. */
const CODE: [string, string, string][] = [
  ['src/engine/local/timers.ts', 'export const t = setTimeout(() => 1, 5)\n', 'noRestrictedGlobals'],
  ['src/core/turn.ts', 'export const now = () => Date.now()\n', 'noJsRestrictedProperties'],
  ['src/jobs/sleep.ts', 'export const now = () => performance.now()\n', 'noJsRestrictedProperties'],
  ['src/jobs/fetch.ts', 'export const s = AbortSignal.timeout(5)\n', 'noJsRestrictedProperties'],
  ['src/engine/cluster/leases.ts', "export const r = fetch('http://localhost')\n", 'noRestrictedGlobals'],
  ['src/config.ts', 'export const port = process.env.GATHERD_PORT\n', 'noRestrictedGlobals'],
  ['routes/health.ts', 'export const up = process.uptime()\n', 'noRestrictedGlobals'],
  ['src/log.ts', "console.log('x')\n", 'noConsole'],
  ['src/wiring.ts', 'export default {}\n', 'noDefaultExport'],
  ['src/store/sqlite.ts', 'export const f = (x: any) => x\n', 'noExplicitAny'],
  ['test/store.test.ts', 'export const f = (x: string | null) => x!.length\n', 'noNonNullAssertion'],
  ['src/engine/local/engine.ts', "import { Clock } from '../../clock.ts'\nexport let c: Clock\n", 'useImportType'],
  ['src/auth/keys.ts', 'async function f() {}\nexport function g() {\n  f()\n}\n', 'noFloatingPromises'],
]

const rules = (refused: Map<string, string[]>, file: string) =>
  refused.get(file)?.map((at) => at.replace(/:\d+$/, '')) ?? []

describe('imports point one way', () => {
  it('refuses an import that points the other way, or that another file has for itself', () => {
    expect(refusedImports(FORBIDDEN).sort()).toEqual(named(FORBIDDEN).sort())
  })

  it('allows an import that points the right way', () => {
    expect(refusedImports(ALLOWED)).toEqual([])
  })

  it('refuses a cycle', () => {
    const refused = lint({
      'src/engine/local/a.ts': "import { b } from './b.ts'\n\nexport const a = () => b\n",
      'src/engine/local/b.ts': "import { a } from './a.ts'\n\nexport const b = () => a\n",
    })

    expect(rules(refused, 'src/engine/local/a.ts')).toContain('noImportCycles')
  })
})

describe('the code conventions', () => {
  it('refuses bare timers, the environment, the console, `any`, `!` and unhandled promises', () => {
    const refused = lint(Object.fromEntries(CODE.map(([file, text]) => [file, text])))

    const passed = CODE.filter(([file, , rule]) => !rules(refused, file).includes(rule))
    expect(passed.map(([file, , rule]) => `${file}: ${rule}`)).toEqual([])
  })

  it('lets the clock have timers and the command line have the process', () => {
    const refused = lint({
      'src/clock.ts': 'export const t = () => setTimeout(() => performance.now(), 5)\n',
      'src/main.ts': "console.log(process.env.GATHERD_PORT ?? '3000')\n",
      'test/x.test.ts': 'export const port = process.env.GATHERD_PORT\n',
    })

    expect([...refused.values()].flat()).toEqual([])
  })

  it('asks for a reason past sixty lines', () => {
    const long = `export function f(n: number): number {\n  let x = n\n${'  x += 1\n'.repeat(61)}  return x\n}\n`

    expect(rules(lint({ 'src/core/long.ts': long }), 'src/core/long.ts')).toContain('noExcessiveLinesPerFunction')
  })
})

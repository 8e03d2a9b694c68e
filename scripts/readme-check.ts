/**
 * Runs the commands that the documentation shows, so that they stay true.
 *
 *     node scripts/readme-check.ts [FILE.md …]       (default: README.md and docs/operations.md)
 *
 * Every ```sh block has a comment on the line above its fence:
 *
 * - `<!-- ci: run -->` runs by itself (bash -eu), e.g. `npm run demo`.
 * - `<!-- ci: start -->` starts the service (once a file; without one it is `npm start`): left running on a free port with a
 *   data directory of its own until the file's last block has run, then ended by SIGTERM, which it must answer with 0.
 *   `git clone`, `cd`, `npm ci` and `npm install` do nothing in it: this is the installed clone already.
 * - `<!-- ci: service -->` runs while the service does. The blocks of a file share one shell, in order, as a reader's terminal
 *   would: variables stay. `localhost:3000` and `127.0.0.1:3000` are replaced by where the service listens, and a line
 *   `KEY=…` or `export KEY=…` by the key that the service printed at its first start (which is in $KEY from the beginning). GATHERD_DATA_DIR is the service's.
 *   `curl` fails on a 4xx or 5xx answer unless the block says `-i` or `-w` itself.
 * - `<!-- ci: skip: the reason -->` is not run: what needs Docker, a second machine, or tears things down.
 *
 * Text after `run` or `service` must appear in what the block prints: `<!-- ci: service "state":"succeeded" -->`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ShellBlock, shellBlocks } from './ci/markdown.ts'
import { freePort, stop, untilAnswers } from './ci/processes.ts'

const REPO = join(import.meta.dirname, '..')
const BLOCK_MS = 120_000
const START_MS = 20_000
const STOP_GRACE_MS = 20_000

/** Fails on an HTTP error, as a reader would notice it; says so instead of going on with an empty answer. */
const CURL = `curl() { case " $* " in *" -i "*|*" -w "*|*" --include "*) command curl -sS --max-time 60 "$@";; *) command curl -sS --max-time 60 --fail-with-body "$@";; esac; }`

/**
 * What a reader does once is done here: the clone and its install. What starts the service takes the shell's place, so that
 * the SIGTERM reaches it.
 */
const SET_UP = `
git() { [[ $1 == clone ]] || command git "$@"; }
cd() { :; }
npm() { case "$1" in ci|install) ;; start) exec npm "$@";; *) command npm "$@";; esac; }`

/** As above, and the service takes the shell's place, so that it gets the signals. */
const SHIMS = `${SET_UP}
node() { case "$*" in *main.ts*serve*) exec node "$@";; *) command node "$@";; esac; }`

interface Service {
  child: ChildProcess
  port: number
  dataDir: string
  /** All it has printed. */
  output(): string
}

/** Start the service as the documentation says. It listens on a free port and keeps its data in `dir`. */
async function start(command: string, dir: string): Promise<Service> {
  const port = await freePort()
  const dataDir = join(dir, 'data')
  const env = { ...process.env, GATHERD_PORT: String(port), GATHERD_DATA_DIR: dataDir }
  const child = spawn('bash', ['-euc', `${SHIMS}\n${command}`], { cwd: REPO, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const printed: string[] = []
  child.stdout.on('data', (chunk) => printed.push(String(chunk)))
  child.stderr.on('data', (chunk) => printed.push(String(chunk)))
  try {
    await untilAnswers(`http://127.0.0.1:${port}/readyz`, child, START_MS)
    await untilGreeted(printed)
  } catch (error) {
    await stop(child, 0)
    throw new Error(`${command}\n${printed.join('')}`, { cause: error })
  }
  return { child, port, dataDir, output: () => printed.join('') }
}

/** The first key is made and shown once the service listens, so a moment after it answers. */
async function untilGreeted(printed: readonly string[]): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (printed.join('').includes('Swagger UI on')) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('the service answers and does not say so')
}

/** The blocks as one script that says before each which it is, on a line of its own that the output is split at. */
function scriptOf(blocks: ShellBlock[], service?: Service): string {
  const parts = blocks.map(({ code, line }) => {
    const own = code.replaceAll(/^(\s*(?:export )?)KEY=.*$/gm, '$1KEY="$KEY"')
    return `printf '\\n@@${line}\\n'\n${service ? own.replaceAll(/\b(localhost|127\.0\.0\.1):3000\b/g, `127.0.0.1:${service.port}`) : own}`
  })
  return [CURL, ...(service ? [] : [SET_UP]), ...parts].join('\n')
}

/** Run blocks in one shell; what is wrong, if anything. */
function runBlocks(file: string, blocks: ShellBlock[], service?: Service): string[] {
  const key = service ? (/\bgth_[\w-]+/.exec(service.output())?.[0] ?? process.env.GATHERD_ADMIN_KEY ?? '') : ''
  const env = { ...process.env, ...(service ? { KEY: key, GATHERD_DATA_DIR: service.dataDir } : {}) }
  const { stdout, stderr, status } = spawnSync('bash', ['-euo', 'pipefail', '-c', scriptOf(blocks, service)], {
    cwd: REPO,
    env,
    encoding: 'utf8',
    timeout: BLOCK_MS,
  })
  const outputs = new Map(
    stdout
      .split(/^@@/m)
      .slice(1)
      .map((part) => [Number.parseInt(part, 10), part]),
  )
  const last = blocks.findLast(({ line }) => outputs.has(line))
  if (status !== 0) return [`${file}:${last?.line}: status ${status}\n${outputs.get(last?.line ?? 0)}${stderr}`]
  return blocks
    .filter(({ note, line }) => !outputs.get(line)?.includes(note))
    .map(({ note, line }) => `${file}:${line}: does not print ${note}:\n${outputs.get(line)}`)
}

/** Run the blocks of one file; what is wrong with them, if anything. */
async function check(file: string): Promise<string[]> {
  const blocks = shellBlocks(readFileSync(join(REPO, file), 'utf8'))
  for (const { line, note } of blocks.filter(({ how }) => how === 'skip'))
    console.log(`${file}:${line}: skipped: ${note}`)
  const wrong = blocks.filter(({ how }) => how === 'run').flatMap((block) => runBlocks(file, [block]))
  const starts = blocks.filter(({ how }) => how === 'start')
  const calls = blocks.filter(({ how }) => how === 'service')
  if (starts.length > 1) wrong.push(`${file}: more than one \`ci: start\``)
  if (calls.length + starts.length > 0) {
    const dir = mkdtempSync(join(tmpdir(), 'gatherd-readme-'))
    try {
      const service = await start(starts[0]?.code ?? 'npm start', dir)
      if (calls.length > 0) wrong.push(...runBlocks(file, calls, service))
      const status = await stop(service.child, STOP_GRACE_MS)
      if (status !== 0) wrong.push(`${file}: the service ended with ${status} after SIGTERM`)
      if (wrong.length > 0) wrong.push(`the service said:\n${service.output()}`)
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  }
  console.log(`${file}: ${blocks.length} shell blocks, ${wrong.length === 0 ? 'all true' : 'not all true'}`)
  return wrong
}

const named = process.argv.slice(2)
const files =
  named.length > 0 ? named : ['README.md', 'docs/operations.md'].filter((file) => existsSync(join(REPO, file)))
if (files.length === 0) throw new Error('there is no README.md')
for (const file of files) {
  for (const problem of await check(file)) {
    console.error(problem)
    process.exitCode = 1
  }
}

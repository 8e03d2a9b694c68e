import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startOrigin } from '../support/origin.ts'
import { tempDir } from '../support/temp-dir.ts'

const MAIN = join(import.meta.dirname, '../../src/main.ts')

/** Run `gatherd` as a process of its own, with none of the settings of whoever runs the tests. */
function gatherd(args: string[], input = '', settings: Record<string, string> = {}) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GATHERD_')))
  Object.assign(env, { GATHERD_EGRESS_ALLOW: '127.0.0.1' }, settings)
  return spawnSync(process.execPath, [MAIN, ...args], { env, input, encoding: 'utf8' })
}

const COMMANDS = ['serve', 'run', 'keys', 'check', 'backup', 'openapi']

describe('gatherd', () => {
  it('shows its commands when asked, and when not asked for any', () => {
    const asked = gatherd(['--help'])
    const silent = gatherd([])

    expect(asked.status).toBe(0)
    for (const command of COMMANDS) expect(asked.stdout).toContain(`gatherd ${command}`)
    expect(silent.stdout).toBe(asked.stdout)
  })

  it.each(COMMANDS)('has a help for %s', (command) => {
    const { status, stdout } = gatherd([command, '--help'])

    expect(status).toBe(0)
    expect(stdout).toMatch(new RegExp(`^gatherd ${command}( <.*>)?: `))
  })

  it.each(['polish', 'toString'])('has no command %s, says so on standard error and ends with 2', (name) => {
    const { status, stdout, stderr } = gatherd([name])

    expect(status).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toContain(`gatherd: there is no command "${name}"`)
  })

  it.each(COMMANDS)('ends with 2 for an option that %s does not have', (command) => {
    const { status, stderr } = gatherd([command, '--bogus'])

    expect(status).toBe(2)
    expect(stderr).toContain('gatherd: Unknown option --bogus.')
  })

  it('says that the settings of serve are environment variables', () => {
    const { stderr } = gatherd(['serve', '--port', '3001'])

    expect(stderr).toContain('Unknown option --port. Settings are environment variables, such as GATHERD_PORT=3001.\n')
  })

  it('runs a batch from standard input', () => {
    const { status, stdout, stderr } = gatherd(['run', '-'], '[{"kind":"sleep","durationMs":1,"result":"done"}]')

    expect(stderr).toMatch(/^gatherd: succeeded, 1 job/)
    expect(JSON.parse(stdout)).toMatchObject({ state: 'succeeded', result: 'done' })
    expect(status).toBe(0)
  })

  it('ends with 130 at SIGINT, after the socket of a running job is closed', async () => {
    await using origin = await startOrigin()
    const child = spawn(process.execPath, [MAIN, 'run', '-'], {
      env: { ...process.env, GATHERD_EGRESS_ALLOW: '127.0.0.1' },
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    child.stdin.end(JSON.stringify([{ kind: 'fetch', url: origin.url('/hang') }]))
    await origin.whenHit('/hang')
    const exited = once(child, 'exit')

    child.kill('SIGINT')
    await origin.whenClosed('/hang')

    expect(await exited).toEqual([130, null])
  })

  it('ends quietly when its reader has had enough', () => {
    const jobs = JSON.stringify(Array.from({ length: 500 }, () => ({ kind: 'sleep', durationMs: 1 })))
    const script = `"$0" "$1" run - --events | head -n 1 >/dev/null; echo "\${PIPESTATUS[0]}"`

    const { stdout, stderr } = spawnSync('bash', ['-c', script, process.execPath, MAIN], {
      input: jobs,
      encoding: 'utf8',
    })

    expect(stderr).toBe('')
    expect(stdout).toBe('141\n')
  })

  it.each<[string, string]>([
    ['in its course', `throw Object.assign(new TypeError('canary of a tenant'), { code: 'ERR_SOME' })`],
    ['later, where nobody waits for it', `queueMicrotask(() => { throw new RangeError('canary') }); return 'null'`],
    ['as a rejection', `void Promise.reject(new RangeError('canary')); return 'null'`],
  ])('ends with 70 at an error that nobody foresaw, and keeps its message to itself: %s', (_, code) => {
    using dir = tempDir()
    const kinds = join(dir.path, 'kinds.mjs')
    // As a mistake of the service's own would: what is asked of a kind outside of a job.
    writeFileSync(
      kinds,
      `import { z } from '${import.meta.resolve('zod')}'
       export default [{ name: 'odd', spec: z.strictObject({}), hostOf() { ${code} }, run: async () => null }]`,
    )

    const { status, stdout, stderr } = gatherd(['run', '-'], '[{"kind":"odd"}]', {
      GATHERD_KINDS: kinds,
      GATHERD_HOST_CONCURRENCY: '1',
    })

    expect([status, stdout]).toEqual([70, ''])
    expect(stderr).toMatch(/^gatherd: a mistake of gatherd's: (TypeError \[ERR_SOME\]|RangeError)\n {4}at /)
    expect(stderr).not.toContain('canary')
  })

  it('says in words that a kind has the name of another', () => {
    using dir = tempDir()
    const kinds = join(dir.path, 'kinds.mjs')
    writeFileSync(
      kinds,
      `import { z } from '${import.meta.resolve('zod')}'
       export default [{ name: 'sleep', spec: z.strictObject({}), run: async () => null }]`,
    )

    const { status, stderr } = gatherd(['run', '-'], '[]', { GATHERD_KINDS: kinds })

    expect([status, stderr]).toEqual([2, 'gatherd: Two kinds are called "sleep".\n'])
  })
})

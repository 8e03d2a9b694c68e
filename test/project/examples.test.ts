import { execFile, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { readConfig } from '../../src/config.ts'
import { buildLogger } from '../../src/log.ts'
import { wire } from '../../src/wiring.ts'

const REPO = join(import.meta.dirname, '../..')
const run = promisify(execFile)

/** A whole service on a free port, and the environment that the examples want. */
async function startService() {
  const config = readConfig({ GATHERD_DATA_DIR: ':memory:', GATHERD_EGRESS_ALLOW: '127.0.0.1' })
  const onFatal = (error: Error) => {
    throw error
  }
  const around = { clock: systemClock, logger: buildLogger({ level: 'silent' }), version: '0', onFatal }
  const service = await wire(config, around)
  const url = await service.app.listen({ host: '127.0.0.1', port: 0 })
  const env = { ...process.env, GATHERD_URL: url, GATHERD_KEY: service.firstKey ?? '' }
  return { env, [Symbol.asyncDispose]: () => service.close() }
}

/** Run an example against a service of its own; what it printed. It must end with 0. */
async function output(program: string, file: string): Promise<string> {
  await using service = await startService()
  return (await run(program, [join(REPO, 'examples', file)], { env: service.env })).stdout
}

const has = (program: string) => spawnSync(program, ['--version']).status === 0

describe('the examples', () => {
  it.skipIf(!has('curl'))('gather.sh gathers, follows, resumes and cancels', { timeout: 30_000 }, async () => {
    const lines = await output('bash', 'gather.sh')

    expect(lines).toContain('"result":"hello"')
    expect(lines.indexOf('"result":"fast"')).toBeLessThan(lines.indexOf('"result":"slow"'))
    expect(lines).toMatch(/as after a cut\n\{"seq":4,/)
    expect(lines).toContain('"cancelled":true')
    expect(lines).toContain('"reason":"changed my mind"')
  })

  it('client.mjs gathers, resumes a stream that was cut, aborts a group and cancels', { timeout: 30_000 }, async () => {
    const lines = await output(process.execPath, 'client.mjs')

    expect(lines).toContain("[ 'slow', { status: 'ok' }, 'fast' ]")
    expect(lines).toContain('(cut after event')
    const seen = [...lines.matchAll(/^ {2}(\d+) (?:batch|job)\./gm)].map(([, seq]) => Number(seq))
    expect(seen).toEqual(seen.map((_, i) => i + 1))
    expect(lines).toContain('failed: HTTPStatusError: The response has status 404.')
    expect(lines).toContain('jobs: failed,cancelled')
    expect(lines).toContain('cancelled: true, job.cancelled, "changed my mind"')
  })

  it.skipIf(!has('python3'))('client.py does the same as asyncio would have it', { timeout: 30_000 }, async () => {
    const lines = await output('python3', 'client.py')

    expect(lines).toContain("['slow', {'status': 'ok'}, 'fast']")
    expect(lines).toMatch(/2 fast\n {2}1 middle\n {2}0 slow/)
    expect(lines).toContain("(JobError('The response has status 404.'),)")
    expect(lines).toContain('True cancelled changed my mind')
    expect(lines).toContain('invalid_argument: 1 field is wrong. /jobs/1/url:')
  })

  it('batch.json is a batch that gatherd run takes', () => {
    const args = ['src/main.ts', 'run', 'examples/batch.json', '--order', 'input']
    const { status, stdout } = spawnSync(process.execPath, args, { cwd: REPO, encoding: 'utf8' })

    expect(status).toBe(0)
    expect(stdout.match(/"result":"slept long"/)).not.toBeNull()
  })
})

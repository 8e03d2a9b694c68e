import { stripVTControlCharacters } from 'node:util'
import { describe, expect, it } from 'vitest'
import { run } from '../src/cli/run.ts'
import { serve } from '../src/cli/serve.ts'
import { ConfigError } from '../src/errors.ts'
import { buildLogger } from '../src/log.ts'
import { readable } from '../src/log-format.ts'
import { FakeIo, Sink } from './cli/fake-io.ts'

/** A logger as a command makes it. */
async function logTo(out: Sink, format?: 'json' | 'pretty', env: Record<string, string> = {}) {
  const destination = (await readable(format, out, env)) ?? out
  return buildLogger({ level: 'trace', destination })
}

/** What a line of the log is in a format. */
async function written(isTTY: boolean, format?: 'json' | 'pretty', env?: Record<string, string>): Promise<string> {
  const out = new Sink({ isTTY })
  const log = await logTo(out, format, env)
  log.info({ method: 'POST', route: '/v1/batches', status: 202, ms: 7 }, 'answered')
  return out.text
}

const JSON_LINE = /^\{"level":30,.*"msg":"answered"\}\n$/
const PRETTY_LINE = /^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: 202 POST \/v1\/batches \{"ms":7\}\n$/

describe('the form of the log', () => {
  it.each([
    ['JSON in a pipe', false, undefined, JSON_LINE],
    ['for people on a terminal', true, undefined, PRETTY_LINE],
    ['JSON on a terminal where that is set', true, 'json', JSON_LINE],
    ['for people in a pipe where that is set', false, 'pretty', PRETTY_LINE],
  ] as const)('is %s', async (_, isTTY, format, line) => {
    expect(stripVTControlCharacters(await written(isTTY, format))).toMatch(line)
  })

  it('has colours on a terminal alone, and not where they are unwanted', async () => {
    const colours = '\u001b['

    expect(await written(true)).toContain(colours)
    expect(await written(false, 'pretty')).not.toContain(colours)
    expect(await written(true, 'pretty', { NO_COLOR: '1' })).not.toContain(colours)
    expect(await written(true, 'pretty', { NO_COLOR: '' })).toContain(colours)
  })

  it('has the same fields for people, and no others', async () => {
    const out = new Sink()
    const log = await logTo(out, 'pretty')

    log.warn({ batchId: 'b', url: 'canary' }, 'x')

    expect(out.text).toContain('"batchId":"b"')
    expect(out.text).toContain('"dropped":["url"]')
    expect(out.text).not.toContain('canary')
  })

  it('begins the line of an answer with its status, for people, also where no route was asked for', async () => {
    const out = new Sink()
    const log = await logTo(out, 'pretty')

    log.info({ method: 'GET', route: null, status: 404, tenantId: 'acme' }, 'answered')

    expect(out.text).toMatch(/INFO: 404 GET +\{"tenantId":"acme"\}\n$/)
  })

  it('leaves all other lines as they are, whatever is in them', async () => {
    const out = new Sink()
    const log = await logTo(out, 'pretty')

    log.info({ status: 400, code: 'malformed_request' }, 'answered what is no request')
    log.info({ status: 1, detail: '"msg":"answered"}' }, 'x')

    expect(out.text).toMatch(/INFO: answered what is no request \{"status":400,"code":"malformed_request"\}\n/)
    expect(out.text).toMatch(/INFO: x \{"status":1,/)
  })

  it('has errors of ours with their message, others without, and where they were thrown', async () => {
    const out = new Sink()
    const log = await logTo(out, 'pretty')

    log.error({ err: new ConfigError('A setting is wrong.') }, 'x')
    log.error({ err: new TypeError('canary') }, 'x')

    expect(out.text).toContain('A setting is wrong.')
    expect(out.text).toContain('TypeError')
    expect(out.text).toMatch(/log-format\.test\.ts:\d+/)
    expect(out.text).not.toContain('canary')
  })

  it('lets no value make lines or move the cursor', async () => {
    const out = new Sink()
    const log = await logTo(out, 'pretty')

    log.info({ detail: 'a\nINFO: forged\u001b[2J' }, 'x')

    expect(out.text.split('\n')).toHaveLength(2)
    expect(out.text).not.toContain('\u001b')
  })

  it('is written at once', async () => {
    const out = new Sink()
    const log = await logTo(out, 'pretty')

    log.info({ batchId: 'one' }, 'x')
    out.write('two')

    expect(out.text).toMatch(/"one".*\ntwo$/)
  })
})

describe('the log of a command', () => {
  it('is for people where gatherd serve has a terminal', async () => {
    const settings = { GATHERD_PORT: '0', GATHERD_DATA_DIR: ':memory:', NO_COLOR: '1' }
    const io = new FakeIo([], { env: settings, stdoutIsTTY: true })
    const ended = serve(io)
    await io.stdout.until('Swagger UI')
    io.signal('SIGTERM')

    expect(await ended).toBe(0)
    expect(io.stdout.text).toMatch(/INFO: listening \{"listeningOn":"http:.*"store":"SQLite"/)
    expect(io.stdout.text).toContain('INFO: stopped')
  })

  it.each([
    [{}, /^\{"level":20.*"store open, engine loaded"\}$/m],
    [{ GATHERD_LOG_FORMAT: 'pretty' }, /^\[[\d:.]+\] DEBUG: store open, engine loaded$/m],
  ])('of gatherd run is on standard error with %j', async (env, line) => {
    const input = '{"jobs":[{"kind":"sleep","durationMs":0}]}'
    const io = new FakeIo(['-'], { input, env: { GATHERD_LOG_LEVEL: 'debug', ...env } })

    expect(await run(io)).toBe(0)
    expect(io.stderr.text).toMatch(line)
    expect(io.stdout.text).not.toContain('engine loaded')
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ConfigError } from '../src/errors.ts'
import { buildLogger, outline } from '../src/log.ts'
import { LogLines } from './support/fake-parts.ts'

/** The one line that a call writes. */
function lineOf(call: (logger: ReturnType<typeof buildLogger>) => void): Record<string, unknown> {
  const destination = new LogLines()
  call(buildLogger({ level: 'trace', destination }))
  expect(destination.lines).toHaveLength(1)
  return destination.lines[0] ?? {}
}

describe('buildLogger', () => {
  it('writes one JSON object a line, an instant and no host', () => {
    expect(lineOf((logger) => logger.info({ jobId: 'j' }, 'job started'))).toEqual({
      level: 30,
      time: expect.stringMatching(/Z$/),
      jobId: 'j',
      msg: 'job started',
    })
  })

  it('leaves out every field that is not on its list, and names it', () => {
    const line = lineOf((logger) => logger.warn({ batchId: 'b', headers: { cookie: 'canary' }, url: 'canary' }, 'x'))

    expect(line).toMatchObject({ batchId: 'b', dropped: ['headers', 'url'] })
    expect(JSON.stringify(line)).not.toContain('canary')
  })

  it.each<[string, (logger: ReturnType<typeof buildLogger>) => void]>([
    ['an error alone', (logger) => logger.error(new Error('canary'))],
    ['an error without a message', (logger) => logger.error({ err: new Error('canary') })],
    ['an error and its message', (logger) => logger.error({ err: new Error('canary') }, 'canary')],
    ['a text alone', (logger) => logger.warn('a "return reply" in /v1/batches?canary')],
    ['a text with a value', (logger) => logger.warn('%s', 'canary')],
    ['a request', (logger) => logger.info({ req: { url: '/canary' }, res: { canary: 1 } }, 'request completed')],
    ['a message field', (logger) => logger.warn({ msg: 'canary' })],
  ])('says nothing of what a library writes: %s', (_, call) => {
    expect(JSON.stringify(lineOf(call))).not.toContain('canary')
  })

  it('has nothing of what a library says in passing', () => {
    const written: string[] = []
    const logger = buildLogger({ level: 'trace', destination: { write: (line: string) => void written.push(line) } })

    logger.info('Server listening at http://canary')
    logger.debug({ msg: 'canary' })
    logger.info({ ms: 1 }, 'answered')

    expect(written).toHaveLength(1)
  })

  it('says that a library said something', () => {
    expect(lineOf((logger) => logger.error(new TypeError('canary')))).toMatchObject({
      msg: 'a library logged a text of its own',
      err: { type: 'TypeError' },
    })
  })

  it('is the same for the loggers of requests', () => {
    const line = lineOf((logger) => logger.child({ reqId: 'r' }).info({ req: 'canary', ms: 1 }, 'answered'))

    expect(line).toMatchObject({ reqId: 'r', ms: 1, dropped: ['req'] })
    expect(JSON.stringify(line)).not.toContain('canary')
  })
})

describe('an error in the log', () => {
  const logged = (err: unknown) => lineOf((logger) => logger.error({ err }, 'x')).err

  it('has its class, its code and where it was thrown, and nothing that a library wrote or hung on it', () => {
    const hung = { code: 'ECONNREFUSED', address: '10.0.0.1', headers: { cookie: 'x' } }

    expect(logged(Object.assign(new Error('connect 10.0.0.1'), hung))).toEqual({
      type: 'Error',
      code: 'ECONNREFUSED',
      stack: expect.stringMatching(/^ {4}at .*log\.test\.ts:\d+:\d+/),
    })
  })

  it('has its message if it is one of ours', () => {
    expect(logged(new ConfigError('A setting is wrong.'))).toMatchObject({
      type: 'ConfigError',
      code: 'config',
      message: 'A setting is wrong.',
    })
  })

  it('does not repeat its message in the stack, whatever that looks like', () => {
    const message = fc
      .array(fc.constantFrom('canary', '\n', '    at canary (', ' x.ts:1:1)', '$&', ':'))
      .map((parts) => parts.join(''))

    fc.assert(
      fc.property(message, (text) => {
        expect(JSON.stringify(logged(new Error(text)))).not.toContain('canary')
      }),
      { examples: [['\n    at canary ( x.ts:1:1)']] },
    )
  })

  it('has no code that is a text', () => {
    expect(logged(Object.assign(new Error('x'), { code: 'Bearer canary' }))).not.toHaveProperty('code')
    expect(logged(Object.assign(new Error('x'), { code: 'canary' }))).not.toHaveProperty('code')
    expect(logged(Object.assign(new Error('x'), { code: 13 }))).toHaveProperty('code', 13)
  })

  it('has nothing of what is no error', () => {
    expect(logged('Bearer gth_secret')).toEqual({ type: 'string' })
  })

  it('is not written when the log is silent', () => {
    const destination = new LogLines()

    buildLogger({ level: 'silent', destination }).fatal({}, 'x')

    expect(destination.lines).toEqual([])
  })
})

describe('outline', () => {
  it('has the class, the code and the frames of an error, and not its message', () => {
    const text = outline(Object.assign(new TypeError('canary\nof two lines'), { code: 'ERR_X' }))

    expect(text).toMatch(/^TypeError \[ERR_X\]\n {4}at .*log\.test\.ts:/)
    expect(text).not.toContain('canary')
  })

  it('has the message of one of ours', () => {
    expect(outline(new ConfigError('GATHERD_PORT is no port.'))).toMatch(
      /^ConfigError \[config\] GATHERD_PORT is no port\.\n {4}at /,
    )
  })

  it.each(['canary', { message: 'canary' }, null])('says nothing of what is no error: %j', (thrown) => {
    expect(outline(thrown)).toBe(typeof thrown)
  })
})

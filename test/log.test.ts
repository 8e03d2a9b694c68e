import { describe, expect, it } from 'vitest'
import { buildLogger } from '../src/log.ts'
import { LogLines } from './support/fake-parts.ts'

describe('buildLogger', () => {
  it('writes one JSON object a line, an instant and no host', () => {
    const destination = new LogLines()

    buildLogger({ level: 'info', destination }).info({ jobId: 'j' }, 'job started')

    expect(destination.lines).toEqual([
      { level: 30, time: expect.stringMatching(/Z$/), jobId: 'j', msg: 'job started' },
    ])
  })

  it('keeps of an error what we wrote, and nothing that a library hung on it', () => {
    const destination = new LogLines()
    const err = Object.assign(new Error('refused'), {
      code: 'ECONNREFUSED',
      address: '10.0.0.1',
      headers: { cookie: 'x' },
    })

    buildLogger({ level: 'info', destination }).error({ err }, 'x')

    expect(destination.lines[0]?.err).toEqual({
      type: 'Error',
      code: 'ECONNREFUSED',
      message: 'refused',
      stack: expect.any(String),
    })
  })

  it('keeps nothing of what is no error', () => {
    const destination = new LogLines()

    buildLogger({ level: 'info', destination }).error({ err: 'Bearer gth_secret' }, 'x')

    expect(destination.lines[0]?.err).toEqual({ type: 'string' })
  })

  it('is silent when it is told to be', () => {
    const destination = new LogLines()

    buildLogger({ level: 'silent', destination }).fatal('x')

    expect(destination.lines).toEqual([])
  })
})

import { describe, expect, it } from 'vitest'
import { FRAMINGS, ndjson, sse } from '../../src/stream/frames.ts'

const EVENT = { seq: 3, type: 'job.started', json: '{"seq":3,"type":"job.started"}' }

describe('sse', () => {
  it('carries the number, the type and the object', () => {
    expect(sse.frame(EVENT)).toBe('id: 3\nevent: job.started\ndata: {"seq":3,"type":"job.started"}\n\n')
  })

  it('has no id where the log has no number, so that a reconnect resumes before it', () => {
    expect(sse.frame({ ...EVENT, seq: null })).not.toContain('id:')
  })

  it('says when to reconnect, and has a comment for a heartbeat', () => {
    expect(sse.opening).toBe('retry: 1000\n\n')
    expect(sse.heartbeat).toMatch(/^:/)
  })
})

describe('ndjson', () => {
  it('is one object a line', () => {
    expect(ndjson.frame(EVENT)).toBe('{"seq":3,"type":"job.started"}\n')
  })

  it('writes nothing but objects', () => {
    expect(ndjson.opening + ndjson.heartbeat).toBe('')
  })
})

describe.each(Object.entries(FRAMINGS))('%s', (type, framing) => {
  it('says its media type', () => {
    expect(framing.contentType).toBe(`${type}; charset=utf-8`)
  })

  it('keeps an event on one line, however its JSON is written', () => {
    const json = JSON.stringify({ a: 'x\ny', b: 1 }, null, 2)

    const lines = framing
      .frame({ ...EVENT, json })
      .trim()
      .split('\n')
    const data = lines.at(-1)?.replace(/^data: /, '') ?? ''

    expect(JSON.parse(data)).toEqual({ a: 'x\ny', b: 1 })
  })
})

import { describe, expect, it } from 'vitest'
import { FRAMINGS, frameAll, ndjson, sse } from '../../src/stream/frames.ts'

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

describe('frameAll', () => {
  /** A framing that counts what it frames. */
  const counting = (mark: string) => {
    const framing = { ...ndjson, frames: 0, frame: ({ json }: typeof EVENT) => `${mark}${++framing.frames}${json}\n` }
    return framing
  }

  it('frames a page once for all who follow it, and gives them the same bytes', () => {
    const framing = counting('é')
    const page = [EVENT, { ...EVENT, json: '{}' }]

    const all = Array.from({ length: 500 }, () => frameAll(page, framing))

    expect(framing.frames).toBe(2)
    expect(all.every((bytes) => bytes === all[0])).toBe(true)
    expect(String(all[0])).toBe(`é1${EVENT.json}\né2{}\n`)
  })

  it('has each framing and each page for itself', () => {
    const [one, other] = [counting('a'), counting('b')]
    const page = [EVENT]

    expect([one, other, one].map((framing) => String(frameAll(page, framing))[0])).toEqual(['a', 'b', 'a'])
    expect(String(frameAll([{ ...EVENT, json: '[]' }], one))).toBe('a2[]\n')
    expect([one.frames, other.frames]).toEqual([2, 1])
  })
})

import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { startService } from '../support/service.ts'

const CAPS = { egressMaxResponseBytes: 200_000, egressMaxInflightBytes: 500_000 }
const range = (length: number) => Array.from({ length }, (_, i) => i)

describe('large response bodies', () => {
  it('of one tenant, fifty and all of them slow, do not keep another from its own', async () => {
    await using service = await startService({ ...CAPS, tenants: { a: { maxConcurrency: 50 }, b: {} } })
    const slow = await service.as('a').submit({
      policy: 'all_settled',
      jobs: range(50).map((i) => service.fetch(`/unfinished/${i}?bytes=70000`)),
    })
    for (const i of range(50)) await service.origin.whenHit(`/unfinished/${i}`)

    const { jobs } = await service.as('b').run({ jobs: [service.fetch('/big?bytes=200000')] })

    expect(jobs[0]).toMatchObject({ state: 'succeeded', result: { bytes: 200_000 } })
    expect((await service.as('a').batch(slow.id)).counts).toMatchObject({ running: 50 })
    for (const i of range(50)) service.origin.release(`/unfinished/${i}`)
    expect((await service.as('a').drained(slow.id)).batch.counts).toMatchObject({ succeeded: 50 })
  })

  it('give their bytes back when their ends are on disk, so that the next can be read', async () => {
    await using service = await startService({ ...CAPS, egressMaxInflightBytes: 200_000 })

    const { batch } = await service.me.run({
      policy: 'all_settled',
      jobs: range(12).map((i) => service.fetch(`/big?bytes=${190_000 + i}&chunked=1`)),
    })

    expect(batch.counts).toMatchObject({ succeeded: 12 })
  })

  it('of JSON are what was received, in answers and in both kinds of stream', async () => {
    const received = '{"a": 1.0, "a": 12345678901234567890,\n"b": ["\\u0041\\n", 1E400 ]}'
    await using service = await startService()
    const { id } = (
      await service.me.run({
        jobs: [service.fetch(`/json?text=${encodeURIComponent(received)}`, { response: 'json' })],
      })
    ).batch

    const compact = '{"a":1.0,"a":12345678901234567890,"b":["\\u0041\\n",1E400]}'
    const read = async (path: string, accept: string) => text(await service.me.open('GET', path, { accept }))
    const job = await read(`/v1/jobs/${id}-0`, 'application/json')
    const events = await read(`/v1/batches/${id}/events`, 'application/x-ndjson')
    const frames = await read(`/v1/batches/${id}/events`, 'text/event-stream')

    expect(job).toContain(`"body":${compact},"bodyEncoding":"json"`)
    const lines = events.trimEnd().split('\n')
    expect(lines.filter((line) => line.includes(compact))).toHaveLength(1)
    for (const line of lines) expect(() => JSON.parse(line)).not.toThrow()
    expect(frames.split('\n').filter((line) => line.startsWith('data: ') && line.includes(compact))).toHaveLength(1)
  })
})

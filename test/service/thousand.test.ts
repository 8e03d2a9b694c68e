import { describe, expect, it } from 'vitest'
import { type Caller, type StreamOptions, sleepFor, startService } from '../support/service.ts'
import { checkCap, completionsOf, type WireEvent } from './check-log.ts'

const range = (length: number) => Array.from({ length }, (_, i) => i)
const LONG = 60_000

/** Follow a batch to its end, cutting the connection after so many events each time and resuming after the last one seen. */
async function followCut(me: Caller, id: string, every: number, options: StreamOptions): Promise<WireEvent[]> {
  const events: WireEvent[] = []
  for (;;) {
    const seq = events.at(-1)?.seq ?? 0
    await using stream = await me.stream(id, { ...options, ...(seq > 0 && { lastEventId: seq }) })
    events.push(...(await stream.take(every)))
    stream.destroy()
    if (events.at(-1)?.type === 'batch.drained') return events
  }
}

describe('a batch of 1,000 jobs, half fetch and half sleep, under a cap of 10', () => {
  it(
    'keeps the cap, the order of its results and every event across reconnects',
    async () => {
      await using service = await startService({ onDisk: true, tenants: { big: { maxConcurrency: 10 } } })
      const big = service.as('big')
      const jobs = range(1_000).map((i) =>
        i % 2 === 0
          ? service.fetch(`/ok/${i}?ms=${i % 3}&body=${i}`, { name: `fetch ${i}` })
          : sleepFor(i % 4, { result: i }),
      )
      const { id } = await big.submit({ jobs })

      const followers = await Promise.all([
        followCut(big, id, 97, { format: 'sse' }),
        followCut(big, id, 131, { format: 'ndjson' }),
        followCut(big, id, 61, { format: 'sse', only: 'completions' }),
        followCut(big, id, 113, { format: 'ndjson', only: 'completions' }),
      ])
      const { batch, jobs: read, events } = await big.drained(id)
      await using late = await big.stream(id, { format: 'sse', only: 'completions' })

      expect(batch.counts).toMatchObject({ total: 1_000, succeeded: 1_000 })
      expect(service.origin.concurrency.max).toBeLessThanOrEqual(10)
      expect(service.origin.concurrency.max).toBeGreaterThan(1)
      expect(service.origin.hits.length).toBe(500)
      checkCap([events], 10)
      expect(read.map(({ result }, i) => (i % 2 === 0 ? Number(result.body) : result))).toEqual(range(1_000))
      const ends = completionsOf(events)
      expect(new Set(ends.map(({ index }) => index)).size).toBe(1_000)
      expect(followers[0]).toEqual(events)
      expect(followers[1]).toEqual(events)
      expect(completionsOf(followers[2] ?? [])).toEqual(ends)
      expect(completionsOf(followers[3] ?? [])).toEqual(ends)
      expect(completionsOf(await late.rest())).toEqual(ends)
    },
    LONG,
  )

  it(
    'can be read in pages, in input order and in completion order, with each job once',
    async () => {
      await using service = await startService({ tenants: { big: { maxConcurrency: 10 } } })
      const big = service.as('big')
      const { events, batch } = await big.run({
        jobs: range(1_000).map((i) => sleepFor(i % 3, { result: i, ...(i % 10 === 0 && { timeoutMs: 0 }) })),
      })

      const pages = async (query: Record<string, string>) => {
        const all: number[] = []
        for (let cursor: string | null = ''; cursor !== null; ) {
          const { body }: { body: { data: { index: number }[]; nextCursor: string | null } } = await big.http
            .get(`/v1/batches/${batch.id}/jobs`)
            .query({ limit: 190, ...query, ...(cursor && { cursor }) })
            .expect(200)
          all.push(...body.data.map(({ index }) => index))
          cursor = body.nextCursor
        }
        return all
      }

      expect(await pages({})).toEqual(range(1_000))
      expect(await pages({ order: 'completion' })).toEqual(completionsOf(events).map(({ index }) => index))
      expect(await pages({ state: 'timed_out' })).toEqual(range(100).map((i) => i * 10))
      expect((await pages({ state: 'succeeded', order: 'completion' })).length).toBe(900)
      expect(await pages({ state: 'queued' })).toEqual([])
    },
    LONG,
  )
})

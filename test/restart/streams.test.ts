import { describe, expect, it } from 'vitest'
import { sleepFor } from '../support/service.ts'
import { startReopenable } from './reopen.ts'

describe('a stream over a restart', () => {
  it.each(['sse', 'ndjson'] as const)('resumes by Last-Event-ID without a gap, in %s', async (format) => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({ jobs: [sleepFor(0), world.fetch('/hold/a'), world.fetch('/hold/b')] })
    await using before = await world.me.stream(id, { format })
    const seen = await before.take(8)

    await world.crash()
    await using after = await world.me.stream(id, { format, lastEventId: seen.at(-1)?.seq })
    const next = await after.take(2)
    world.origin.release('/hold/a')
    world.origin.release('/hold/b')
    const rest = await after.rest()

    expect([...seen, ...next, ...rest].map(({ seq }) => seq)).toEqual(
      Array.from({ length: 8 + 2 + rest.length }, (_, i) => i + 1),
    )
    expect(next.map(({ type, attempt }) => [type, attempt])).toEqual([
      ['job.queued', 2],
      ['job.queued', 2],
    ])
    expect((await world.drained(id)).events.slice(0, 8)).toEqual(seen)
  })

  it('of completions shows each job once', async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({ jobs: [sleepFor(0), world.fetch('/hold/a')] })
    await using before = await world.me.stream(id, { only: 'completions' })
    const [first] = await before.take(1)

    await world.crash()
    world.origin.release('/hold/a')
    await using after = await world.me.stream(id, { only: 'completions', lastEventId: first.seq })
    const rest = await after.rest()

    expect([first, ...rest].map(({ type, index }) => [type, index])).toEqual([
      ['job.succeeded', 0],
      ['job.succeeded', 1],
      ['batch.drained', undefined],
    ])
  })

  it('keeps the events of jobs that ended, with their views, as they were', async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({
      jobs: [world.fetch('/json/a'), world.fetch('/fail/b'), world.fetch('/hold/c')],
    })
    for (const [type, index] of [
      ['job.succeeded', 0],
      ['job.failed', 1],
      ['job.started', 2],
    ] as const)
      await world.me.seen(id, type, index)
    const ends = [await world.me.seen(id, 'job.succeeded', 0), await world.me.seen(id, 'job.failed', 1)]

    await world.crash()
    await world.crash()
    world.origin.release('/hold/c')
    const { events } = await world.drained(id)

    expect(events).toEqual(expect.arrayContaining(ends))
    expect([world.origin.hitsOf('/json/a'), world.origin.hitsOf('/fail/b')]).toEqual([1, 1])
  })

  it('goes on after the downtime in a stop and start, too', async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({ jobs: [sleepFor(60_000), world.fetch('/hold/b', { method: 'POST' })] })
    for (const index of [0, 1]) await world.me.seen(id, 'job.started', index)
    await using before = await world.me.stream(id)
    const seen = await before.take(5)

    await world.stopAndStart({ downMs: 60_000 })
    const { jobs, events } = await world.drained(id)

    expect(events.slice(0, 5)).toEqual(seen)
    expect(jobs.map(({ state, attempts, error }) => [state, attempts, error?.code])).toEqual([
      ['succeeded', 2, undefined],
      ['failed', 1, 'interrupted'],
    ])
  })
})

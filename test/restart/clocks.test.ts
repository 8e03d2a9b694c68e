import { describe, expect, it } from 'vitest'
import { forever, sleepFor } from '../support/service.ts'
import { startReopenable } from './reopen.ts'

const passed = (from: string | null, to: string | null) => Date.parse(to ?? '') - Date.parse(from ?? '')

describe('the clocks of a batch over a downtime', () => {
  it('a sleep goes on with what is left, and never ends early', async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({ jobs: [sleepFor(60_000), sleepFor(60_400)] })
    for (const index of [0, 1]) await world.me.seen(id, 'job.started', index)

    await world.crash({ downMs: 60_000 })
    const { jobs } = await world.drained(id)

    expect(jobs.map(({ state, attempts }) => [state, attempts])).toEqual([
      ['succeeded', 2],
      ['succeeded', 2],
    ])
    expect(passed(jobs[1].startedAt, jobs[1].finishedAt)).toBeGreaterThanOrEqual(60_400)
    expect(passed(jobs[1].startedAt, jobs[1].finishedAt)).toBeLessThan(65_000)
  })

  it('deadlines and queue timeouts go on from acceptance, and what is past is due at once', async () => {
    await using world = await startReopenable({ tenantConcurrency: 1 })
    const jobs = [
      world.fetch('/hold/a', { deadlineMs: 30_000 }),
      sleepFor(0, { deadlineMs: 30_000 }),
      sleepFor(0, { queueTimeoutMs: 30_000 }),
      sleepFor(0, { deadlineMs: 61_000 }),
      sleepFor(0, { queueTimeoutMs: 61_000 }),
    ]
    const { id } = await world.me.submit({ jobs: [...jobs, forever({ priority: 1, delayMs: 10_000 })] })
    await world.me.seen(id, 'job.started', 0)
    await world.admin.put('/v1/admin/tenants/acme').send({ paused: true }).expect(200)

    await world.crash({ downMs: 60_000 })
    await world.me.seen(id, 'job.timed_out', 3)
    await world.me.seen(id, 'job.timed_out', 4)
    await world.me.cancel(id)
    const drained = await world.drained(id)

    expect(drained.jobs.map(({ cause }) => cause)).toEqual([
      'deadline',
      'deadline',
      'queue_timeout',
      'deadline',
      'queue_timeout',
      'batch_cancel',
    ])
    for (const job of drained.jobs.slice(3, 5))
      expect(passed(job.acceptedAt, job.finishedAt)).toBeGreaterThanOrEqual(61_000)
  })

  it('a delay is over when its time has passed, and not before', async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({ jobs: [sleepFor(0, { delayMs: 60_000 }), sleepFor(0, { delayMs: 60_500 })] })

    await world.crash({ downMs: 60_000 })
    const { jobs } = await world.drained(id)

    expect(passed(jobs[1].acceptedAt, jobs[1].startedAt)).toBeGreaterThanOrEqual(60_500)
    expect(jobs.map(({ attempts }) => attempts)).toEqual([1, 1])
  })

  it('a batch timeout that passed meanwhile ends the batch, and nothing starts', async () => {
    await using world = await startReopenable({ tenantConcurrency: 1 })
    const { id } = await world.me.submit({ timeoutMs: 30_000, jobs: [world.fetch('/hold/a'), world.fetch('/ok/b')] })
    await world.me.seen(id, 'job.started', 0)

    await world.crash({ downMs: 60_000 })
    const { batch, jobs } = await world.drained(id)

    expect(batch.state).toBe('timed_out')
    expect(jobs.map(({ cause }) => cause)).toEqual(['batch_timeout', 'batch_timeout'])
    expect(world.origin.hitsOf('/ok/b')).toBe(0)
  })

  it('a batch timeout that has not passed is still due', async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({ timeoutMs: 60_500, jobs: [forever()] })
    await world.me.seen(id, 'job.started', 0)

    await world.crash({ downMs: 60_000 })
    const { batch } = await world.drained(id)

    expect(batch.state).toBe('timed_out')
    expect(passed(batch.acceptedAt, batch.settledAt)).toBeGreaterThanOrEqual(60_500)
  })

  it("an attempt's own timeout begins anew with the next attempt", async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({ jobs: [world.fetch('/hold/a', { timeoutMs: 400 })] })
    await world.me.seen(id, 'job.started', 0)

    await world.crash({ downMs: 60_000 })
    const { jobs, events } = await world.drained(id)

    const second = events.findLast(({ type }) => type === 'job.started')
    expect(jobs[0]).toMatchObject({ state: 'timed_out', cause: 'timeout', attempts: 2 })
    expect(passed(second?.at ?? null, jobs[0].finishedAt)).toBeGreaterThanOrEqual(400)
  })

  it('what a PATCH moved stays moved', async () => {
    await using world = await startReopenable({ tenantConcurrency: 1 })
    const { id } = await world.me.submit({
      jobs: [world.fetch('/hold/a'), sleepFor(0, { deadlineMs: 30_000 }), sleepFor(0), sleepFor(0, { timeoutMs: 1 })],
    })
    await world.me.seen(id, 'job.started', 0)
    const patch = (index: number, change: object) =>
      world.me.http.patch(`/v1/jobs/${id}-${index}`).send(change).expect(200)
    await patch(1, { deadlineMs: null })
    await patch(2, { deadlineMs: 30_000 })
    await patch(3, { timeoutMs: null, priority: 4 })

    await world.crash({ downMs: 60_000 })
    world.origin.release('/hold/a')
    const { jobs } = await world.drained(id)

    expect(jobs.map(({ state, cause }) => [state, cause])).toEqual([
      ['succeeded', null],
      ['succeeded', null],
      ['timed_out', 'deadline'],
      ['succeeded', null],
    ])
  })
})

import { describe, expect, it } from 'vitest'
import { shortLog, sleepFor } from '../support/service.ts'
import { startReopenable } from './reopen.ts'

describe('what was in flight when the process died', () => {
  it('is made again if it is a GET, as a second attempt', async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({ jobs: [world.fetch('/hold/a')] })
    await world.me.seen(id, 'job.started', 0)
    await world.origin.whenHit('/hold/a')

    await world.crash()
    world.origin.release('/hold/a')
    const { jobs, events } = await world.drained(id)

    expect(jobs[0]).toMatchObject({ state: 'succeeded', attempts: 2 })
    expect(world.origin.hitsOf('/hold/a')).toBe(2)
    expect(shortLog(events).slice(2, 5)).toEqual(['job.started 0', 'job.queued 0', 'job.started 0'])
    expect(events.slice(2, 5).map(({ attempt }) => attempt)).toEqual([1, 2, 2])
  })

  it('ends as interrupted if it is a POST, is not sent again, and shows that it had started', async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({ jobs: [world.fetch('/hold/a', { method: 'POST', json: 1 }), sleepFor(0)] })
    await world.origin.whenHit('/hold/a')

    await world.crash()
    const { batch, jobs } = await world.drained(id)

    expect(jobs[0]).toMatchObject({ state: 'failed', attempts: 1, error: { code: 'interrupted' } })
    expect(jobs[0].startedAt).not.toBeNull()
    expect(batch.state).toBe('succeeded')
    expect(world.origin.hitsOf('/hold/a')).toBe(1)
  })

  it('follows its own onRestart first', async () => {
    await using world = await startReopenable()
    const jobs = [
      world.fetch('/hold/get', { onRestart: 'fail' }),
      world.fetch('/hold/post', { method: 'POST', onRestart: 'retry' }),
      sleepFor(60_000, { onRestart: 'fail' }),
    ]
    const { id } = await world.me.submit({ jobs })
    for (const index of [0, 1, 2]) await world.me.seen(id, 'job.started', index)
    await world.origin.whenHit('/hold/get')
    await world.origin.whenHit('/hold/post')

    await world.crash()
    world.origin.release('/hold/post')
    const drained = await world.drained(id)

    expect(drained.jobs.map(({ state, attempts, error }) => [state, attempts, error?.code])).toEqual([
      ['failed', 1, 'interrupted'],
      ['succeeded', 2, undefined],
      ['failed', 1, 'interrupted'],
    ])
    expect([world.origin.hitsOf('/hold/get'), world.origin.hitsOf('/hold/post')]).toEqual([1, 2])
  })

  it('goes before everything that is only queued, of whatever priority', async () => {
    await using world = await startReopenable({ tenantConcurrency: 1 })
    const first = await world.me.submit({ jobs: [world.fetch('/hold/a', { priority: -5 })] })
    await world.me.seen(first.id, 'job.started', 0)
    const second = await world.me.submit({ jobs: [world.fetch('/ok/b'), world.fetch('/ok/c', { priority: 9 })] })

    await world.crash()
    world.origin.release('/hold/a')
    await world.drained(first.id)
    await world.drained(second.id)

    const paths = world.origin.hits.map(({ path }) => path)
    expect(paths.slice(paths.lastIndexOf('/hold/a'))).toEqual(['/hold/a', '/ok/c', '/ok/b'])
  })

  it('shows that it had started when it is cancelled before its next attempt', async () => {
    await using world = await startReopenable({ tenantConcurrency: 1 })
    const jobs = [world.fetch('/hold/a'), world.fetch('/hold/b')]
    const { id } = await world.me.submit({ jobs })
    await world.me.seen(id, 'job.started', 0)
    await world.origin.whenHit('/hold/a')
    await world.admin.put('/v1/admin/tenants/acme').send({ paused: true }).expect(200)

    await world.crash()
    await world.me.cancel(id)
    const drained = await world.drained(id)

    expect(drained.jobs.map(({ attempts, startedAt }) => [attempts, startedAt === null])).toEqual([
      [1, false],
      [0, true],
    ])
  })

  it('is one attempt more each time, however often that happens', async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({ jobs: [world.fetch('/hold/a')] })
    for (const attempt of [1, 2, 3]) {
      await using stream = await world.me.stream(id)
      await stream.find((event) => event.type === 'job.started' && event.attempt === attempt)
      await world.crash()
    }
    world.origin.release('/hold/a')

    const { jobs } = await world.drained(id)

    expect(jobs[0].attempts).toBe(4)
  })

  it('counts as a failure of its batch when it is interrupted', async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({
      policy: 'task_group',
      jobs: [world.fetch('/hold/a', { method: 'POST' }), world.fetch('/hold/b'), sleepFor(60_000)],
    })
    for (const index of [0, 1, 2]) await world.me.seen(id, 'job.started', index)

    await world.crash()
    const { batch, jobs } = await world.drained(id)

    expect(batch).toMatchObject({ state: 'failed', error: { errors: [{ index: 0, code: 'interrupted' }] } })
    expect(jobs.map(({ state, cause }) => [state, cause])).toEqual([
      ['failed', null],
      ['cancelled', 'sibling_failed'],
      ['cancelled', 'sibling_failed'],
    ])
  })
})

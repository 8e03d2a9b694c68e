import { describe, expect, it } from 'vitest'
import { shortLog, sleepFor } from '../support/service.ts'
import { startReopenable } from './reopen.ts'

describe('queued jobs after a restart', () => {
  it('keep their order: by priority, then by acceptance, then as in the input', async () => {
    await using world = await startReopenable({ tenantConcurrency: 1 })
    const first = await world.me.submit({ jobs: [world.fetch('/hold/first'), ...fetches(world, 'a', 3)], open: true })
    await world.me.seen(first.id, 'job.started', 0)
    const second = await world.me.submit({ jobs: fetches(world, 'b', 2) })
    await world.me.append(first.id, fetches(world, 'c', 2))
    const third = await world.me.submit({
      jobs: [...fetches(world, 'd', 1), ...fetches(world, 'e', 1, { priority: 3 })],
    })
    await world.me.http.patch(`/v1/jobs/${second.id}-1`).send({ priority: 5 }).expect(200)

    await world.crash()
    world.origin.release('/hold/first')
    await world.me.http.post(`/v1/batches/${first.id}/close`).expect(200)
    for (const { id } of [first, second, third]) await world.drained(id)

    const paths = world.origin.hits.map(({ path }) => path.slice(1))
    expect(paths.slice(paths.lastIndexOf('hold/first') + 1)).toEqual(
      ['b-1', 'e-0', 'a-0', 'a-1', 'a-2', 'b-0', 'c-0', 'c-1', 'd-0'].map((name) => `ok/${name}`),
    )
  })

  it('are held back by maxConcurrency and by a paused tenant as before', async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({ maxConcurrency: 1, jobs: [world.fetch('/hold/a'), world.fetch('/hold/b')] })
    await world.addTenant('globex', { paused: true, maxConcurrency: 3 })
    const paused = await world.as('globex').submit({ jobs: [world.fetch('/ok/paused')] })
    await world.me.seen(id, 'job.started', 0)

    await world.crash()
    await world.origin.whenHit('/hold/a', 2)
    const waiting = await world.me.job(`${id}-1`)
    const held = await world.as('globex').job(`${paused.id}-0`)
    world.origin.release('/hold/a')
    world.origin.release('/hold/b')
    await world.drained(id)

    expect([waiting.state, waiting.waitingOn]).toEqual(['queued', 'batch-limit'])
    expect([held.state, held.waitingOn]).toEqual(['queued', 'paused'])
    expect(world.origin.concurrencyOf('hold').max).toBe(1)
    expect(world.origin.hitsOf('/ok/paused')).toBe(0)
  })

  it('are held back by the cap of their host', async () => {
    await using world = await startReopenable({ hostConcurrency: 1 })
    const { id } = await world.me.submit({ jobs: [world.fetch('/hold/a'), world.fetch('/hold/b'), sleepFor(0)] })
    await world.me.seen(id, 'job.started', 0)

    await world.crash()
    await world.origin.whenHit('/hold/a', 2)
    const { waitingOn } = await world.me.job(`${id}-1`)
    world.origin.release('/hold/a')
    world.origin.release('/hold/b')
    await world.drained(id)

    expect(waitingOn).toBe('host-cap')
    expect(world.origin.concurrencyOf('hold').max).toBe(1)
  })

  it('count against the bound of the queue', async () => {
    await using world = await startReopenable({ maxQueuedJobs: 3, tenantConcurrency: 1 })
    await world.admin.put('/v1/admin/tenants/acme').send({ paused: true }).expect(200)
    await world.me.submit({ jobs: [sleepFor(0), sleepFor(0)] })

    await world.crash()
    const { body } = await world.me.http.get('/v1/tenant').expect(200)
    const full = await world.me.http.post('/v1/batches').send({ jobs: [sleepFor(0), sleepFor(0)] })
    await world.me.submit({ jobs: [sleepFor(0)] })

    expect(body.usage).toMatchObject({ queued: 2, running: 0 })
    expect([full.status, full.body.code]).toEqual([429, 'queue_full'])
  })
})

describe('a batch after a restart', () => {
  it('goes on aborting, with its cause and reason, while shielded jobs go on', async () => {
    await using world = await startReopenable({ tenantConcurrency: 2 })
    const { id } = await world.me.submit({
      jobs: [world.fetch('/hold/a', { shield: true }), world.fetch('/hold/b'), world.fetch('/ok/c')],
    })
    for (const index of [0, 1]) await world.me.seen(id, 'job.started', index)
    await world.me.cancel(id, { reason: 'enough' })
    const before = await world.me.seen(id, 'batch.settled')

    await world.crash()
    world.origin.release('/hold/a')
    const { batch, jobs, events } = await world.drained(id, [0])

    expect(batch).toMatchObject({ state: 'cancelled', cancel: { reason: 'enough' } })
    expect(jobs.map(({ state, reason }) => [state, reason])).toEqual([
      ['succeeded', null],
      ['cancelled', 'enough'],
      ['cancelled', 'enough'],
    ])
    expect(events).toContainEqual(before)
    expect(world.origin.hitsOf('/ok/c')).toBe(0)
  })

  it('keeps the reason of a cancelled job, and how often it was asked for', async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({ jobs: [world.fetch('/hold/a'), sleepFor(0, { delayMs: 60_000 })] })
    await world.me.cancelJob(`${id}-1`, { reason: 'mine' })
    const before = await world.me.job(`${id}-1`)

    await world.crash()
    world.origin.release('/hold/a')
    const { jobs } = await world.drained(id)

    expect(before).toMatchObject({ state: 'cancelled', reason: 'mine', cancelRequests: 1 })
    expect(jobs[1]).toEqual({ ...before, waitingOn: undefined })
  })

  it('that is open takes jobs and can be closed', async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({ policy: 'task_group', open: true, jobs: [sleepFor(0)] })
    await world.me.seen(id, 'job.succeeded', 0)

    await world.crash()
    await world.me.append(id, [sleepFor(0, { name: 'late' })])
    await world.crash()
    await world.me.http.post(`/v1/batches/${id}/close`).expect(200)
    const { batch, jobs } = await world.drained(id)

    expect(batch.state).toBe('succeeded')
    expect(jobs.map(({ name, state }) => [name, state])).toEqual([
      ['job-0', 'succeeded'],
      ['late', 'succeeded'],
    ])
  })

  it('that was closed stays closed', async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({ open: true, jobs: [world.fetch('/hold/a')] })
    await world.me.http.post(`/v1/batches/${id}/close`).expect(200)

    await world.crash()
    world.origin.release('/hold/a')

    expect((await world.drained(id)).batch.state).toBe('succeeded')
  })

  it('counts the successes that a quorum had', async () => {
    await using world = await startReopenable()
    const paths = ['/ok/a', '/hold/b', '/hold/c']
    const { id } = await world.me.submit({ policy: 'quorum', n: 2, jobs: paths.map((path) => world.fetch(path)) })
    await world.me.seen(id, 'job.succeeded', 0)
    for (const index of [1, 2]) await world.me.seen(id, 'job.started', index)

    await world.crash()
    world.origin.release('/hold/c')
    const { batch, jobs } = await world.drained(id)

    expect(batch).toMatchObject({ state: 'succeeded', winner: { index: 2 } })
    expect(jobs.map(({ state, cause }) => [state, cause])).toEqual([
      ['succeeded', null],
      ['cancelled', 'decided'],
      ['succeeded', null],
    ])
  })

  it('keeps the errors of a policy that reports them all', async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({
      policy: 'any',
      jobs: [world.fetch('/fail/a'), world.fetch('/hold/b'), world.fetch('/ok/c', { timeoutMs: 0 })],
    })
    await world.me.seen(id, 'job.failed', 0)
    await world.me.seen(id, 'job.started', 1)

    await world.crash()
    await world.me.cancelJob(`${id}-1`)
    const { batch } = await world.drained(id)

    expect(batch.error?.errors?.map(({ index, code }) => [index, code])).toEqual([
      [2, 'timeout'],
      [0, 'http_status'],
    ])
  })

  it('lets the next of a hedge go after its delay, and holds the others back', async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({
      policy: 'hedge',
      hedgeDelayMs: 300,
      jobs: [world.fetch('/hold/a'), world.fetch('/ok/b'), world.fetch('/ok/c')],
    })
    await world.me.seen(id, 'job.started', 0)

    await world.crash()
    const { batch, events } = await world.drained(id)

    expect(batch).toMatchObject({ state: 'succeeded', winner: { index: 1 } })
    const [, first, second] = events.filter(({ type }) => type === 'job.started')
    expect(Date.parse(second.at ?? '') - Date.parse(first.at ?? '')).toBeGreaterThanOrEqual(299)
    expect(world.origin.hitsOf('/ok/c')).toBe(0)
  })

  it('that had drained is as it was, and its key gives the first answer', async () => {
    await using world = await startReopenable()
    const body = { jobs: [world.fetch('/ok/a')] }
    const send = () => world.me.http.post('/v1/batches').set('idempotency-key', 'k').send(body).expect(202)
    const first = await send()
    const before = await world.drained(first.body.id)

    await world.crash()

    expect(await world.drained(first.body.id)).toEqual(before)
    expect((await send()).body).toEqual(first.body)
    expect(world.origin.hitsOf('/ok/a')).toBe(1)
  })

  it('of a race that a cancelled job ended fails with that, though the others were still unwinding', async () => {
    const kinds = new URL('../service/kinds.ts', import.meta.url).pathname
    await using world = await startReopenable({ kinds })
    const { id } = await world.me.submit({
      policy: 'race',
      jobs: [sleepFor(0, { delayMs: 60_000 }), { kind: 'stubborn', url: world.origin.url('/hold/a'), end: 'abort' }],
    })
    await world.origin.whenHit('/hold/a')
    await world.me.cancelJob(`${id}-0`, { reason: 'mine' })
    await world.me.seen(id, 'job.cancelling', 1)
    const crash = world.crash()
    world.origin.release('/hold/a')
    await crash

    const { batch, events } = await world.drained(id)

    expect(shortLog(events).slice(-3)).toEqual(['job.cancelled 1 decided', 'batch.settled', 'batch.drained'])
    expect(batch).toMatchObject({ state: 'failed', error: { type: 'CancelledError', message: 'mine', index: 0 } })
  })
})

function fetches(
  world: { fetch(path: string, more?: object): Record<string, unknown> },
  name: string,
  count: number,
  more: object = {},
) {
  return Array.from({ length: count }, (_, i) => world.fetch(`/ok/${name}-${i}`, more))
}

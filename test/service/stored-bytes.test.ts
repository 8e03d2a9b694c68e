import { describe, expect, it, vi } from 'vitest'
import { Retention } from '../../src/engine/local/retention.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { type Caller, forever, sleepFor, startService, type TestService } from '../support/service.ts'

const usage = async (caller: Caller) => (await caller.http.get('/v1/tenant').expect(200)).body.usage.storedBytes

/** A service whose tenant `t` keeps as many bytes as it may, with a job that runs and one that is queued. */
async function startFull() {
  const service = await startService({ tenants: { t: { maxConcurrency: 1, maxStoredBytes: 500 } } })
  const t = service.as('t')
  const { id } = await t.submit({ jobs: [service.fetch('/hold/a'), sleepFor(0, { result: 'kept' })], open: true })
  await service.origin.whenHit('/hold/a')
  await vi.waitUntil(async () => (await usage(t)) >= 500)
  return { service, t, id, [Symbol.asyncDispose]: () => service[Symbol.asyncDispose]() }
}

/** End what runs in {@link startFull}. */
async function finish({ service, t, id }: { service: TestService; t: Caller; id: string }) {
  service.origin.release('/hold/a')
  await t.http.post(`/v1/batches/${id}/close`).expect(200)
  return await t.drained(id)
}

describe('a tenant over its maxStoredBytes', () => {
  it('has its submissions and appends refused whole, and nothing of them is kept', async () => {
    await using world = await startFull()
    const { t, id } = world
    const before = await usage(t)

    const submitted = await t.http.post('/v1/batches').send({ jobs: [sleepFor(0)] })
    const appended = await t.http.post(`/v1/batches/${id}/jobs`).send({ jobs: [sleepFor(0)] })
    const held = await t.http
      .post('/v1/batches')
      .set('prefer', 'wait=60')
      .send({ jobs: [sleepFor(0)] })

    for (const { status, body, headers } of [submitted, appended, held])
      expect([status, body.code, headers['retry-after']]).toEqual([429, 'queue_full', '60'])
    expect(submitted.body.detail).toBe(
      `The tenant keeps ${before} bytes, and may keep 500: there is room when old batches are deleted. Nothing was accepted.`,
    )
    expect((await t.http.get('/v1/batches')).body.data.map((batch: { id: string }) => batch.id)).toEqual([id])
    expect(await usage(t)).toBe(before)
    await finish(world)
  })

  it('has what was accepted done, but no body of a response kept; what a spec has already is', async () => {
    await using world = await startFull()

    const { jobs } = await finish(world)

    expect(jobs.map(({ state }) => state)).toEqual(['failed', 'succeeded'])
    expect(jobs[0].error).toMatchObject({
      type: 'StorageError',
      code: 'response_too_large',
      message: expect.stringMatching(/^The tenant keeps \d+ bytes, and may keep 500: /),
    })
    const kept = { status: 200, body: null, bodyEncoding: null, bytes: 0, truncated: true }
    expect(jobs[0].result).toMatchObject({ ...kept, headers: { 'content-length': '2' } })
    expect(jobs[1].result).toBe('kept')
  })

  it('keeps of many large responses no more than the bound and what was running when it was reached', async () => {
    const options = { maxConcurrency: 3, maxStoredBytes: 100_000 }
    await using service = await startService({ tenants: { t: options } })
    const t = service.as('t')
    const jobs = [...Array(30).keys()].map((i) =>
      service.fetch('/big?bytes=40000', { okStatus: i % 2 ? ['2xx'] : [404] }),
    )

    const { id } = await t.submit({ policy: 'all_settled', jobs })
    const { jobs: ended } = await t.drained(id)

    const withBody = ended.filter(({ result }) => result?.body)
    expect(withBody.length).toBeGreaterThan(0)
    expect(withBody.length).toBeLessThanOrEqual(3 + 3)
    expect(ended.filter(({ error }) => error?.code === 'response_too_large').length).toBeGreaterThan(10)
    expect(await usage(t)).toBeLessThan(100_000 + 3 * 41_000 + 30 * 1_500)
  })

  it('gets the first answer of an Idempotency-Key again', async () => {
    await using service = await startService({ tenants: { t: {} } })
    const t = service.as('t')
    const send = (key: string) =>
      t.http
        .post('/v1/batches')
        .set('idempotency-key', key)
        .send({ jobs: [forever()] })
    const first = await send('a').expect(202)
    t.track(first.body.id)
    await service.configure('t', { maxStoredBytes: 1 })

    const [again, other] = [await send('a'), await send('b')]

    expect([again.status, again.body]).toEqual([202, first.body])
    expect([other.status, other.body.code]).toEqual([429, 'queue_full'])
  })

  it('is told by a dry run', async () => {
    await using world = await startFull()

    const { body } = await world.t.http
      .post('/v1/batches/validate')
      .send({ jobs: [sleepFor(0)] })
      .expect(200)

    expect([body.valid, body.queue]).toEqual([true, { fits: false, retryAfterS: 60 }])
    await finish(world)
  })

  it('may go on at once when the operator raises the bound or takes it away, and others always', async () => {
    await using world = await startFull()
    const { service, t } = world
    await finish(world)
    await service.me.run({ jobs: [sleepFor(0)] })

    const answers = []
    for (const maxStoredBytes of [100_000, 1, 0]) {
      await service.admin.patch('/v1/admin/tenants/t').send({ maxStoredBytes }).expect(200)
      const { status, body } = await t.http.post('/v1/batches').send({ jobs: [sleepFor(0)] })
      if (status === 202) t.track(body.id)
      answers.push([status, (await t.http.get('/v1/tenant')).body.limits.maxStoredBytes])
    }

    expect(answers).toEqual([
      [202, 100_000],
      [429, 1],
      [202, null],
    ])
  })

  it('may go on when retention has deleted enough', async () => {
    await using service = await startService({ tenants: { t: {} } })
    const t = service.as('t')
    await t.run({ jobs: [sleepFor(0, { result: 'x'.repeat(10_000) })] })
    t.submitted.length = 0
    await service.configure('t', { maxStoredBytes: 10_000 })
    await t.http
      .post('/v1/batches')
      .send({ jobs: [sleepFor(0)] })
      .expect(429)

    const clock = new FakeClock({ now: Date.now() + 60_000 })
    const retention = new Retention({
      store: service.inside.store,
      clock,
      retentionMs: 1_000,
      onError: (error) => expect.fail(String(error)),
    })
    await retention.sweep()
    await retention.close()

    expect(await usage(t)).toBeLessThan(200)
    await t.run({ jobs: [sleepFor(0)] })
  })

  it('shows itself to the operator', async () => {
    await using world = await startFull()
    const { service, t } = world

    const { body } = await service.admin.get('/v1/admin/tenants/t').expect(200)

    expect([body.maxStoredBytes, body.limits.maxStoredBytes]).toEqual([500, 500])
    expect(body.usage.storedBytes).toBe(await usage(t))
    const { body: acme } = await service.admin.get('/v1/admin/tenants/acme').expect(200)
    expect([acme.maxStoredBytes, acme.limits.maxStoredBytes]).toEqual([null, 10_737_418_240])
    await finish(world)
  })

  it.each([-1, 1.5, '7', Number.MAX_SAFE_INTEGER + 1])('has no bound of %s', async (maxStoredBytes) => {
    await using service = await startService()

    const { status, body } = await service.admin.put('/v1/admin/tenants/acme').send({ maxStoredBytes })

    expect([status, body.errors[0].pointer]).toEqual([422, '/maxStoredBytes'])
  })
})

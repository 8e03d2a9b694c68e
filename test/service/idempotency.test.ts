import { describe, expect, it } from 'vitest'
import { startService } from '../support/service.ts'

const BATCH = { jobs: [{ kind: 'sleep', durationMs: 0 }] }

const SLEEP = { kind: 'sleep', durationMs: 0 }

describe('Idempotency-Key', () => {
  it('gives the first answer again, its counts included, and starts nothing', async () => {
    await using service = await startService()
    const send = () => service.me.http.post('/v1/batches').set('idempotency-key', '"order-1"').send(BATCH)
    const first = await send().expect(202)
    service.me.track(first.body.id)
    await service.me.drained(first.body.id)

    const again = await send().expect(202)

    expect(again.body).toEqual(first.body)
    expect(again.headers.location).toBe(first.headers.location)
    expect((await service.me.http.get('/v1/batches')).body.data).toHaveLength(1)
  })

  it('is the same key quoted or bare, and the same body however it is spaced', async () => {
    await using service = await startService()
    const first = await service.me.http.post('/v1/batches').set('idempotency-key', '"k 1"'.replace(' ', '')).send(BATCH)
    service.me.track(first.body.id)

    const again = await service.me.http
      .post('/v1/batches')
      .set('idempotency-key', 'k1')
      .set('content-type', 'application/json')
      .send(JSON.stringify(BATCH, null, 4))

    expect(again.body.id).toBe(first.body.id)
  })

  it('refuses the key with another body, and names no batch', async () => {
    await using service = await startService()
    const first = await service.me.http.post('/v1/batches').set('idempotency-key', 'k').send(BATCH)
    service.me.track(first.body.id)

    const other = await service.me.http
      .post('/v1/batches')
      .set('idempotency-key', 'k')
      .send({ ...BATCH, name: 'x' })

    expect([other.status, other.body.code]).toEqual([422, 'idempotency_mismatch'])
    expect((await service.me.http.get('/v1/batches')).body.data).toHaveLength(1)
  })

  it('lets one of many at the same time through, and the others get its answer or a conflict', async () => {
    await using service = await startService()
    const all = await Promise.all(
      Array.from({ length: 20 }, () => service.me.http.post('/v1/batches').set('idempotency-key', 'k').send(BATCH)),
    )

    const accepted = all.filter(({ status }) => status === 202)
    service.me.track(accepted[0].body.id)
    expect(new Set(accepted.map(({ body }) => body.id)).size).toBe(1)
    for (const { status, body, headers } of all) {
      if (status !== 202)
        expect([status, body.code, headers['retry-after']]).toEqual([409, 'idempotency_conflict', '1'])
    }
    expect((await service.me.http.get('/v1/batches')).body.data).toHaveLength(1)
  })

  it('gives the first answer also when the limits have become too small for the batch', async () => {
    await using service = await startService()
    const guest = await service.addTenant('guest')
    const send = () =>
      guest.http
        .post('/v1/batches')
        .set('idempotency-key', 'k')
        .send({ jobs: [SLEEP, SLEEP] })
    const first = await send().expect(202)
    await service.configure('guest', { maxBatchJobs: 1 })

    const again = await send().expect(202)

    expect(again.body).toEqual(first.body)
  })

  it("is each tenant's own", async () => {
    await using service = await startService({ tenants: { other: {} } })
    const [mine, theirs] = await Promise.all(
      ['acme', 'other'].map((name) =>
        service.as(name).http.post('/v1/batches').set('idempotency-key', 'k').send(BATCH),
      ),
    )
    service.me.track(mine.body.id)
    service.as('other').track(theirs.body.id)

    expect([mine.status, theirs.status]).toEqual([202, 202])
    expect(mine.body.id).not.toBe(theirs.body.id)
  })

  it('keeps nothing of a submission that was refused, so that the corrected one may use it', async () => {
    await using service = await startService()
    const refused = await service.me.http
      .post('/v1/batches')
      .set('idempotency-key', 'k')
      .send({ jobs: [{ kind: 'nap' }] })

    const corrected = await service.me.http.post('/v1/batches').set('idempotency-key', 'k').send(BATCH)

    service.me.track(corrected.body.id)
    expect([refused.status, corrected.status]).toEqual([422, 202])
  })

  it.each(['', 'with space', 'ümlaut', 'x'.repeat(256), '"open'])('refuses the malformed key %j', async (key) => {
    await using service = await startService()

    const { status, body } = await service.me.http
      .post('/v1/batches')
      .set('idempotency-key', Buffer.from(key).toString('latin1'))
      .send(BATCH)

    expect(status).toBe(422)
    expect(body.errors).toMatchObject([{ pointer: '/headers/idempotency-key' }])
    expect((await service.me.http.get('/v1/batches')).body.data).toHaveLength(0)
  })

  it('waits with Prefer on a repeated request too', async () => {
    await using service = await startService()
    const first = await service.me.http.post('/v1/batches').set('idempotency-key', 'k').send(BATCH).expect(202)
    service.me.track(first.body.id)

    const again = await service.me.http
      .post('/v1/batches')
      .set({ 'idempotency-key': 'k', prefer: 'wait=10' })
      .send(BATCH)

    expect(again.status).toBe(200)
    expect(again.body).toMatchObject({ id: first.body.id, state: 'succeeded', jobs: [{ state: 'succeeded' }] })
  })
})

describe('a body that is nested too deep', () => {
  const deep = (levels: number) =>
    `{"jobs":${JSON.stringify(BATCH.jobs)},"x":${'['.repeat(levels)}${']'.repeat(levels)}}`

  it.each([36, 128, 129, 5_000, 50_000])(
    '%i levels are refused under a key as without one, and take no key',
    async (levels) => {
      await using service = await startService()
      const send = (headers: Record<string, string>) =>
        service.me.http
          .post('/v1/batches')
          .set({ 'content-type': 'application/json', ...headers })
          .send(deep(levels))
      const [bare, keyed] = [await send({}), await send({ 'idempotency-key': 'k' })]

      expect([keyed.status, keyed.body.code]).toEqual([422, 'invalid_argument'])
      expect(keyed.body.errors).toEqual(bare.body.errors)
      const good = await service.me.http.post('/v1/batches').set('idempotency-key', 'k').send(BATCH).expect(202)
      service.me.track(good.body.id)
    },
  )
})

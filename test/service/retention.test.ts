import { describe, expect, it } from 'vitest'
import { Retention } from '../../src/engine/local/retention.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { startService } from '../support/service.ts'

/** Sweep a service's store as if its clock stood `laterMs` from now. */
async function sweep(store: ConstructorParameters<typeof Retention>[0]['store'], laterMs: number): Promise<void> {
  const clock = new FakeClock({ now: Date.now() + laterMs })
  const failures: unknown[] = []
  const retention = new Retention({ store, clock, retentionMs: 1_000, onError: (error) => failures.push(error) })
  await retention.sweep()
  await retention.close()
  expect(failures).toEqual([])
}

describe('retention', () => {
  it('deletes a drained batch after its time, and says of it that it existed', async () => {
    await using service = await startService({ tenants: { other: {} } })
    const { body } = await service.me.http
      .post('/v1/batches')
      .set('prefer', 'wait=10')
      .send({ labels: { run: '1' }, jobs: Array(3_000).fill({ kind: 'sleep', durationMs: 0 }) })
      .expect(200)

    await sweep(service.inside.store, 60_000)

    for (const path of ['', '/jobs', '/events', '/wait']) {
      const gone = await service.me.http.get(`/v1/batches/${body.id}${path}`)
      expect([gone.status, gone.body.code, gone.body.type]).toEqual([404, 'batch_deleted', '/problems/batch_deleted'])
    }
    expect((await service.me.http.get(`/v1/jobs/${body.id}-0`)).body.code).toBe('batch_deleted')
    expect((await service.as('other').http.get(`/v1/batches/${body.id}`)).body.code).toBe('not_found')
    expect((await service.me.http.get('/v1/batches?label.run=1')).body.data).toEqual([])
    expect(await service.inside.store.specs(1, { from: 0, limit: 1 })).toEqual([])
    expect((await service.inside.store.log(1, { after: 0, limit: 1, completionsOnly: false })).events).toEqual([])
  })

  it('leaves alone what has not drained, and what drained just now', async () => {
    await using service = await startService()
    const live = await service.me.submit({ jobs: [{ kind: 'sleep', durationMs: 60_000 }] })
    const { batch: fresh } = await service.me.run({ jobs: [{ kind: 'sleep', durationMs: 0 }] })

    await sweep(service.inside.store, 0)

    await service.me.http.get(`/v1/batches/${fresh.id}`).expect(200)
    await sweep(service.inside.store, 0)
    await service.me.http.get(`/v1/batches/${live.id}`).expect(200)
  })

  it('forgets that a batch existed after seven days', async () => {
    await using service = await startService()
    const { body } = await service.me.http
      .post('/v1/batches')
      .set('prefer', 'wait=10')
      .send({ jobs: [{ kind: 'sleep', durationMs: 0 }] })
    await sweep(service.inside.store, 60_000)

    await sweep(service.inside.store, 8 * 86_400_000)

    expect((await service.me.http.get(`/v1/batches/${body.id}`)).body.code).toBe('not_found')
  })

  it('lets an Idempotency-Key go after a day, so that it makes a new batch', async () => {
    await using service = await startService()
    const send = () =>
      service.me.http
        .post('/v1/batches')
        .set({ 'idempotency-key': 'k', prefer: 'wait=10' })
        .send({ jobs: [{ kind: 'sleep', durationMs: 0 }] })
    const first = await send()
    await sweep(service.inside.store, 25 * 3_600_000)

    const second = await send()

    service.me.track(second.body.id)
    expect(second.status).toBe(200)
    expect(second.body.id).not.toBe(first.body.id)
  })
})

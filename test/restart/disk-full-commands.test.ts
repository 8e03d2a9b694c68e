import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import supertest from 'supertest'
import { describe, expect, it } from 'vitest'
import { type Origin, startOrigin } from '../support/origin.ts'
import { ADMIN_KEY, Installation } from '../support/process.ts'
import { Caller, forever } from '../support/service.ts'
import { mountTmpfs } from './mount.ts'

/** A service on a small disk, its origin, and its tenant. `fill` leaves no room, `free` gives it back. */
async function startSmall(path: string, installation: Installation, taken = 1 << 20) {
  const filler = join(path, 'filler')
  writeFileSync(filler, Buffer.alloc(taken))
  await installation.start()
  const admin = supertest.agent(installation.url).set('authorization', `Bearer ${ADMIN_KEY}`)
  await admin.put('/v1/admin/tenants/acme').send({ maxConcurrency: 100 }).expect(201)
  const { body } = await admin.post('/v1/admin/tenants/acme/keys').send({}).expect(201)
  const me = new Caller({ name: 'acme', key: body.key, url: installation.url })
  /** Resolves when the disk takes nothing more and the service knows: it could not write the end of a job of `probes`. */
  const fill = async (origin: Origin, probes: { id: string; path: string }[]) => {
    for (const size of [60_000, 1]) {
      const jobs = [forever({ delayMs: 60_000, result: 'x'.repeat(size) })]
      while ((await me.http.post('/v1/batches').send({ jobs })).status === 202);
    }
    // What is left may do for a record or two.
    for (const { id, path } of probes) {
      origin.release(path)
      while ((await me.job(id)).finishedAt === null) if ((await ready()).status === 503) return
    }
    throw new Error('There was room for all of them.')
  }
  const ready = async () => {
    const { status, body: answer } = await supertest(installation.url).get('/readyz')
    return { status, code: answer.code }
  }
  return { me, fill, free: () => rmSync(filler), ready }
}

describe('what is asked of running work while the disk is full', () => {
  it('has its effect, answers 503 or with what is on disk, and is recorded when there is room', async ({ skip }) => {
    using mounted = mountTmpfs('size=3m')
    if (mounted === null) return skip('no tmpfs can be mounted here')
    await using origin = await startOrigin()
    await using installation = new Installation({ GATHERD_DATA_DIR: mounted.path })
    const { me, fill, free, ready } = await startSmall(mounted.path, installation)
    const fetchOf = (path: string) => ({ kind: 'fetch', url: origin.url(path) })
    const paths = Array.from({ length: 10 }, (_, i) => `/half/probe${i}`)
    const probe = await me.submit({ policy: 'all_settled', jobs: paths.map(fetchOf) })
    const cancelled = await me.submit({ jobs: [fetchOf('/hang/cancelled'), forever()] })
    const stopped = await me.submit({ jobs: [fetchOf('/hang/stopped'), forever()] })
    const one = await me.submit({ policy: 'all_settled', jobs: [fetchOf('/hang/one'), fetchOf('/hold/other')] })
    const open = await me.submit({ open: true, jobs: [fetchOf('/hold/open')] })
    const changed = await me.submit({ jobs: [fetchOf('/hang/changed')] })
    for (const path of [...paths, '/hang/cancelled', '/hang/stopped', '/hang/one', '/hold/open', '/hang/changed'])
      await origin.whenHit(path)
    await me.seen(changed.id, 'job.started', 0)

    await fill(
      origin,
      paths.map((path, i) => ({ id: `${probe.id}-${i}`, path })),
    )
    const answers = [
      await me.http.post(`/v1/batches/${cancelled.id}/cancel`).send({ reason: 'enough' }),
      await me.http.post(`/v1/batches/${stopped.id}/stop`).send({}),
      await me.http.post(`/v1/jobs/${one.id}-0/cancel`).send({}),
      await me.http.post(`/v1/batches/${open.id}/close`).send({}),
      await me.http.patch(`/v1/jobs/${changed.id}-0`).send({ timeoutMs: 1 }),
    ]
    for (const { status, body, headers } of answers) {
      expect([status, body.code, headers['retry-after']]).toEqual([503, 'overloaded', '5'])
      expect(body.detail).toContain('It is done')
    }
    // In effect: the requests are given up, though the disk does not know.
    for (const path of ['/hang/cancelled', '/hang/stopped', '/hang/one', '/hang/changed']) await origin.whenClosed(path)
    origin.release('/hold/open')

    // Held reads come back, with what is on disk.
    const wait = await me.http.get(`/v1/batches/${cancelled.id}/wait?timeoutMs=1000`).expect(200)
    const read = await me.http.get(`/v1/batches/${cancelled.id}`).set('prefer', 'wait=1').expect(200)
    const going = await me.http.get(`/v1/batches/${one.id}/wait?timeoutMs=200`).expect(200)
    expect([wait.body.done, wait.body.pending.length]).toEqual([[], 2])
    expect([read.body.state, read.body.settledAt]).toEqual(['running', null])
    expect([going.body.done, going.body.pending.length]).toEqual([[], 2])
    expect(await ready()).toEqual({ status: 503, code: 'overloaded' })
    await supertest(installation.url).get('/livez').expect(200)

    free()
    for (const path of paths) origin.release(path)
    origin.release('/hold/other')
    const [ended, stop, single, closed, late] = await Promise.all(
      [cancelled, stopped, one, open, changed].map(({ id }) => me.drained(id)),
    )
    while ((await ready()).status !== 200) await me.http.get('/v1/tenant').expect(200)

    expect([ended.batch.state, ended.batch.cancel?.reason]).toEqual(['cancelled', 'enough'])
    expect(ended.jobs.map(({ state }) => state)).toEqual(['cancelled', 'cancelled'])
    expect([stop.batch.cancel, stop.jobs.map(({ state }) => state)]).toEqual([null, ['cancelled', 'cancelled']])
    expect(single.jobs.map(({ state }) => state)).toEqual(['cancelled', 'succeeded'])
    expect([closed.batch.open, closed.batch.state]).toEqual([false, 'succeeded'])
    expect(late.jobs[0]).toMatchObject({ state: 'timed_out', cause: 'timeout' })
    expect((await me.drained(probe.id)).batch.counts.succeeded).toBe(paths.length)
    // Said again, it is recorded already.
    const again = await me.http.post(`/v1/batches/${cancelled.id}/cancel`).send({})
    expect([again.status, again.body.cancelled]).toEqual([200, false])
  }, 30_000)

  it('holds the answer of an append that was being written, and refuses what comes behind it', async ({ skip }) => {
    using mounted = mountTmpfs('size=16m')
    if (mounted === null) return skip('no tmpfs can be mounted here')
    await using origin = await startOrigin()
    await using installation = new Installation({ GATHERD_DATA_DIR: mounted.path })
    const { me, free, ready } = await startSmall(mounted.path, installation, 14 << 20)
    const { id } = await me.submit({ jobs: [{ kind: 'fetch', url: origin.url('/hold/first') }] })
    await origin.whenHit('/hold/first')

    const large = { jobs: [{ kind: 'sleep', durationMs: 0, result: 'x'.repeat(2_500_000) }] }
    // Sent, and not waited for.
    const append = me.http
      .post(`/v1/batches/${id}/jobs`)
      .send(large)
      .then((answer) => answer)
    while ((await ready()).status === 200) await me.http.get('/v1/tenant').expect(200)
    const patch = await me.http.patch(`/v1/jobs/${id}-0`).send({ timeoutMs: 60_000 })
    const next = await me.http.post(`/v1/batches/${id}/jobs`).send({ jobs: [{ kind: 'sleep', durationMs: 0 }] })
    const before = await me.http.get(`/v1/batches/${id}`).expect(200)

    expect([patch.status, next.status]).toEqual([503, 503])
    expect(before.body.counts.total).toBe(1)

    free()
    while ((await ready()).status !== 200) await me.http.get('/v1/tenant').expect(200)
    origin.release('/hold/first')
    const { batch, jobs } = await me.drained(id)

    expect((await append).status).toBe(201)
    expect(batch.counts).toMatchObject({ total: 2, succeeded: 2 })
    expect(jobs[1]).toMatchObject({ state: 'succeeded', attempts: 1 })
  }, 30_000)
})

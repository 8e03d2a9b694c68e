import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import supertest from 'supertest'
import { describe, expect, it } from 'vitest'
import { startOrigin } from '../support/origin.ts'
import { ADMIN_KEY, Installation } from '../support/process.ts'
import { Caller, forever, sleepFor } from '../support/service.ts'
import { mountTmpfs } from './mount.ts'

/** Larger than what is free in the end, and small enough to be tried often. */
const LARGE = { result: 'x'.repeat(60_000) }

describe('a full disk', () => {
  it('refuses batches whole with 503, reads go on, and it recovers by itself when there is room', async ({ skip }) => {
    using mounted = mountTmpfs('size=3m')
    if (mounted === null) return skip('no tmpfs can be mounted here')
    const filler = join(mounted.path, 'filler')
    writeFileSync(filler, Buffer.alloc(1 << 20))
    await using origin = await startOrigin()
    await using installation = new Installation({ GATHERD_DATA_DIR: mounted.path })
    await installation.start()
    const me = await newTenant(installation.url)
    const kept = await me.submit({ jobs: [forever(), { kind: 'fetch', url: origin.url('/hold/kept') }] })
    await me.seen(kept.id, 'job.started', 1)

    const accepted = [kept.id]
    const send = (key: string, jobs: object[]) => me.http.post('/v1/batches').set('idempotency-key', key).send({ jobs })
    let refused = await send('first', [forever(LARGE)])
    let nth = 0
    for (; refused.status === 202 && nth < 200; nth++) {
      accepted.push(refused.body.id)
      refused = await send(`k${nth}`, [
        forever({ ...LARGE, delayMs: 60_000 }),
        { kind: 'fetch', url: origin.url(`/ok/k${nth}`) },
      ])
    }
    const key = `k${nth - 1}`
    origin.release('/hold/kept')
    const again = await send('large', [forever({ result: 'x'.repeat(900_000) })])
    const listed = await me.http.get('/v1/batches?limit=200').expect(200)
    const read = await me.http.get(`/v1/batches/${kept.id}?include=jobs`).expect(200)
    const hits = origin.hitsOf(`/ok/${key}`)

    rmSync(filler)
    await me.seen(kept.id, 'job.succeeded', 1)
    const later = await send(key, [
      forever({ ...LARGE, delayMs: 60_000 }),
      { kind: 'fetch', url: origin.url(`/ok/${key}`) },
    ])
    await me.seen(later.body.id, 'job.succeeded', 1)

    expect([refused.status, refused.headers['retry-after']]).toEqual([503, expect.stringMatching(/^\d+$/)])
    expect(again.status).toBe(503)
    expect(listed.body.data.map(({ id }: { id: string }) => id).reverse()).toEqual(accepted)
    expect(read.body.jobs).toHaveLength(2)
    expect([hits, later.status, origin.hitsOf(`/ok/${key}`)]).toEqual([0, 202, 1])
  }, 30_000)

  it('loses nothing when the process is killed on it', async ({ skip }) => {
    using mounted = mountTmpfs('size=3m')
    if (mounted === null) return skip('no tmpfs can be mounted here')
    const filler = join(mounted.path, 'filler')
    writeFileSync(filler, Buffer.alloc(1 << 20))
    await using installation = new Installation({ GATHERD_DATA_DIR: mounted.path })
    await installation.start()
    const me = await newTenant(installation.url)
    const accepted: string[] = []
    for (;;) {
      const { status, body } = await me.http
        .post('/v1/batches')
        .send({ jobs: [sleepFor(0, LARGE), forever({ delayMs: 60_000 })] })
      if (status !== 202) break
      accepted.push(body.id)
    }

    await installation.crash()
    rmSync(filler)
    await installation.start()
    const again = new Caller({ name: 'acme', key: me.key, url: installation.url })
    const { body } = await again.http.get('/v1/batches?limit=200').expect(200)

    expect(body.data.map(({ id }: { id: string }) => id).reverse()).toEqual(accepted)
    for (const id of accepted) await again.seen(id, 'job.succeeded', 0)
  }, 30_000)
})

async function newTenant(url: string): Promise<Caller> {
  const admin = supertest.agent(url).set('authorization', `Bearer ${ADMIN_KEY}`)
  await admin.put('/v1/admin/tenants/acme').send({ maxConcurrency: 100 }).expect(201)
  const { body } = await admin.post('/v1/admin/tenants/acme/keys').send({}).expect(201)
  return new Caller({ name: 'acme', key: body.key, url })
}

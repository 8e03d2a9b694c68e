import { request } from 'node:http'
import supertest from 'supertest'
import { describe, expect, it } from 'vitest'
import { KINDS } from '../service/kinds.ts'
import { startOrigin } from '../support/origin.ts'
import { ADMIN_KEY, Installation } from '../support/process.ts'
import { Wire } from '../support/raw.ts'
import { Caller, forever, sleepFor } from '../support/service.ts'
import { mountTmpfs } from './mount.ts'

/** A service process with a tenant. */
async function started(env: Record<string, string> = {}) {
  const installation = new Installation(env)
  await installation.start()
  const admin = supertest.agent(installation.url).set('authorization', `Bearer ${ADMIN_KEY}`)
  await admin.put('/v1/admin/tenants/acme').send({ maxConcurrency: 2 }).expect(201)
  const { body } = await admin.post('/v1/admin/tenants/acme/keys').send({}).expect(201)
  const me = () => new Caller({ name: 'acme', key: body.key, url: installation.url })
  return {
    installation,
    get me() {
      return me()
    },
    [Symbol.asyncDispose]: () => installation[Symbol.asyncDispose](),
  }
}

describe('SIGTERM', () => {
  it('takes no new work, answers the rest, lets running jobs have the grace, and ends with 0', async () => {
    await using origin = await startOrigin()
    await using service = await started({ GATHERD_DRAIN_GRACE_MS: '2500' })
    const { me } = service
    const body = { jobs: [{ kind: 'fetch', url: origin.url('/hold/a') }, forever(), sleepFor(0)] }
    const first = await me.http.post('/v1/batches').set('idempotency-key', 'k').send(body).expect(202)
    const { id } = first.body
    await origin.whenHit('/hold/a')
    await me.seen(id, 'job.started', 1)
    await using stream = await me.stream(id)
    const waiting = me.http.get(`/v1/batches/${id}/wait`).then((answer) => answer)

    service.installation.process.signal('SIGTERM')
    await untilDraining(service.installation.url)
    const refused = await me.http.post('/v1/batches').send({ jobs: [sleepFor(0)] })
    const again = await me.http.post('/v1/batches').set('idempotency-key', 'k').send(body)
    const append = await me.http.post(`/v1/batches/${id}/jobs`).send({ jobs: [sleepFor(0)] })
    const read = await me.http.get(`/v1/batches/${id}`)
    origin.release('/hold/a')
    const events = await stream.rest()
    const waited = await waiting

    expect([refused.status, refused.body.code, refused.headers['retry-after']]).toEqual([
      503,
      'shutting_down',
      expect.stringMatching(/^\d+$/),
    ])
    expect([again.status, again.body]).toEqual([202, first.body])
    expect([append.status, read.status]).toEqual([503, 200])
    expect(events.at(-1)).toEqual({ type: 'stream.shutdown', batchId: id })
    expect(events.filter(({ type }) => type === 'job.succeeded').map(({ index }) => index)).toEqual([0])
    expect([waited.status, waited.body.pending]).toEqual([200, [`${id}-1`, `${id}-2`]])
    expect(await service.installation.process.exited).toEqual({ status: 0, signal: null })
  })

  it('leaves what was queued and what was cut off for the next start', async () => {
    await using origin = await startOrigin()
    await using service = await started({ GATHERD_DRAIN_GRACE_MS: '0' })
    const jobs = [
      { kind: 'fetch', url: origin.url('/hold/get') },
      { kind: 'fetch', url: origin.url('/hold/post'), method: 'POST' },
      { kind: 'fetch', url: origin.url('/ok/queued') },
    ]
    const { id } = await service.me.submit({ jobs })
    await origin.whenHit('/hold/get')
    await origin.whenHit('/hold/post')

    const exit = await service.installation.process.end('SIGTERM')
    await origin.whenIdle()
    origin.release('/hold/get')
    await service.installation.start()
    const drained = await service.me.drained(id)

    expect(exit).toEqual({ status: 0, signal: null })
    expect(drained.jobs.map(({ state, attempts, error }) => [state, attempts, error?.code])).toEqual([
      ['succeeded', 2, undefined],
      ['failed', 1, 'interrupted'],
      ['succeeded', 1, undefined],
    ])
    expect([origin.hitsOf('/hold/post'), origin.hitsOf('/ok/queued')]).toEqual([1, 1])
  })

  it('a second time ends at once, with a status of its own, and loses nothing', async () => {
    await using origin = await startOrigin()
    await using service = await started({ GATHERD_DRAIN_GRACE_MS: '60000' })
    const { id } = await service.me.submit({ jobs: [{ kind: 'fetch', url: origin.url('/hold/a') }] })
    await service.me.seen(id, 'job.started', 0)

    service.installation.process.signal('SIGTERM')
    await untilDraining(service.installation.url)
    // A second signal at once is a terminal's Ctrl-C that came twice.
    const again = setInterval(() => service.installation.process.signal('SIGINT'), 100)
    const exit = await service.installation.process.exited
    clearInterval(again)
    origin.release('/hold/a')
    await service.installation.start()
    const { jobs } = await service.me.drained(id)

    expect(exit).toEqual({ status: 130, signal: null })
    expect(jobs[0]).toMatchObject({ state: 'succeeded', attempts: 2 })
  })

  it('cancels everything of a store that keeps nothing, with the cause shutdown', async () => {
    await using service = await started({ GATHERD_DATA_DIR: ':memory:', GATHERD_DRAIN_GRACE_MS: '0' })
    const { id } = await service.me.submit({ jobs: [forever(), forever({ shield: true }), sleepFor(0)] })
    await service.me.seen(id, 'job.started', 1)
    await using stream = await service.me.stream(id)
    await stream.take(5)

    service.installation.process.signal('SIGTERM')
    const events = await stream.rest()

    expect(events.filter(({ type }) => type === 'job.cancelled').map(({ cause }) => cause)).toEqual([
      'shutdown',
      'shutdown',
      'shutdown',
    ])
    expect(events.at(-1)?.type).toMatch(/^(batch\.drained|stream\.shutdown)$/)
    expect(await service.installation.process.exited).toEqual({ status: 0, signal: null })
  })

  it('ends the process, whatever a job makes of its abort', async () => {
    await using origin = await startOrigin()
    await using service = await started({ GATHERD_DRAIN_GRACE_MS: '0', GATHERD_KINDS: KINDS })
    await service.me.submit({ jobs: [{ kind: 'stubborn', url: origin.url('/hold/a'), end: 'value' }] })
    await origin.whenHit('/hold/a')

    service.installation.process.signal('SIGTERM')

    expect(await service.installation.process.exited).toEqual({ status: 0, signal: null })
  }, 30_000)

  it('counts from the first moment on: long before the service listens it ends with 0', async () => {
    await using installation = new Installation()
    // Says so when the process begins to listen for signals, which is before its code is loaded.
    const spy = `process.on('newListener', (name) => name === 'SIGTERM' && console.log('catches'))`
    const launched = installation.launch({ NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(spy)}` })
    while (!launched.stdout.includes('catches')) await new Promise((resolve) => setTimeout(resolve, 2))

    launched.signal('SIGTERM')

    expect(await launched.exited).toEqual({ status: 0, signal: null })
  }, 30_000)

  it('a second time ends at once also before anything is loaded', async () => {
    await using installation = new Installation()
    const spy = `process.on('newListener', (name) => name === 'SIGINT' && console.log('catches'))`
    const launched = installation.launch({ NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(spy)}` })
    while (launched.stdout.split('catches').length < 3) await new Promise((resolve) => setTimeout(resolve, 2))

    launched.signal('SIGTERM')
    launched.signal('SIGINT')

    expect(await launched.exited).toEqual({ status: 130, signal: null })
    expect(launched.stderr).not.toContain('gatherd ')
  }, 30_000)

  it('a second time ends at once also when all is being closed', async () => {
    await using service = await started({ GATHERD_DRAIN_GRACE_MS: '0' })
    const { installation } = service
    const port = Number(new URL(installation.url).port)
    // A request that does not come to its end is waited for, for a while.
    using half = await Wire.open(port, 'POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n')
    installation.process.signal('SIGTERM')
    const refused = () =>
      fetch(`${installation.url}/livez`)
        .then(() => false)
        .catch(() => true)
    while (!(await refused()));

    installation.process.signal('SIGINT')

    expect(await installation.process.exited).toEqual({ status: 130, signal: null })
    expect(half.statuses).toEqual([])
  }, 30_000)

  it('ends the process also while the disk takes nothing', async ({ skip }) => {
    using mounted = mountTmpfs('size=3m')
    if (mounted === null) return skip('no tmpfs can be mounted here')
    await using origin = await startOrigin()
    await using service = await started({ GATHERD_DATA_DIR: mounted.path, GATHERD_DRAIN_GRACE_MS: '0' })
    const { id } = await service.me.submit({ jobs: [{ kind: 'fetch', url: origin.url('/hold/a') }] })
    await service.me.seen(id, 'job.started', 0)
    const large = { jobs: [sleepFor(0, { result: 'x'.repeat(2_800_000) })] }
    void service.me.http
      .post(`/v1/batches/${id}/jobs`)
      .send(large)
      .then(
        () => undefined,
        () => undefined,
      )
    while ((await supertest(service.installation.url).get('/readyz')).status === 200);

    service.installation.process.signal('SIGTERM')

    expect(await service.installation.process.exited).toEqual({ status: 0, signal: null })
  }, 30_000)
})

/** Asks /readyz until it says no. */
async function untilDraining(url: string): Promise<void> {
  const status = () =>
    new Promise<number | undefined>((resolve, reject) => {
      const outgoing = request(`${url}/readyz`, { agent: false }, (response) => resolve(response.resume().statusCode))
      outgoing.once('error', reject).end()
    })
  while ((await status()) !== 503);
}

import { getEventListeners } from 'node:events'
import { type IncomingHttpHeaders, request } from 'node:http'
import { json } from 'node:stream/consumers'
import { describe, expect, it, vi } from 'vitest'
import {
  type Caller,
  EventStream,
  forever,
  IN_CLUSTER,
  type ServiceOptions,
  type Submission,
  sleepFor,
  startService,
  type TestService,
} from '../support/service.ts'

const range = (length: number) => Array.from({ length }, (_, i) => i)
const turn = () => new Promise((resolve) => setImmediate(resolve))

/** A tenant `t` with one slot, which a fetch of `/hold/slot` has, and with its queue full: four jobs that `leave` lets go. */
async function startFull(options: ServiceOptions = {}) {
  const tenants = { t: { maxConcurrency: 1, maxQueuedJobs: 4 }, ...options.tenants }
  const service = await startService({ ...options, tenants })
  const whenHeld = watchHeld(service)
  const t = service.as('t')
  const running = await t.submit({ jobs: [service.fetch('/hold/slot')] })
  await service.origin.whenHit('/hold/slot')
  const queued = await t.submit({ policy: 'all_settled', jobs: range(4).map(() => forever()) })
  let left = 0
  const leave = async (count: number) => {
    for (const _ of range(count)) await t.cancelJob(`${queued.id}-${left++}`)
  }
  return { service, t, accepted: [queued.id, running.id], whenHeld, leave }
}

/** Resolves when exactly so many submissions wait for room: each listens for its caller to go. */
function watchHeld({ inside: { engine } }: TestService): (count: number) => Promise<void> {
  const signals = new Set<AbortSignal>()
  const submit = engine.submit.bind(engine)
  engine.submit = async (tenantId, batch, options) => {
    const signal = options?.hold?.signal
    if (signal) signals.add(signal)
    try {
      return await submit(tenantId, batch, options)
    } finally {
      if (signal) signals.delete(signal)
    }
  }
  return async (count) => {
    while ([...signals].filter((signal) => getEventListeners(signal, 'abort').length > 0).length !== count) await turn()
    if (count === 0) while (signals.size > 0) await turn()
  }
}

interface Answer {
  status: number | undefined
  headers: IncomingHttpHeaders
  // biome-ignore lint/suspicious/noExplicitAny: a batch with jobs, or a problem.
  body: any
}

/** Submit on a socket of its own, with `Prefer: wait=30` unless `headers` say otherwise; `hangUp` cuts it. */
function hold(caller: Caller, submission: Submission, headers: Record<string, string> = {}) {
  const { promise: answer, resolve, reject } = Promise.withResolvers<Answer>()
  const outgoing = request(new URL('/v1/batches', caller.url), {
    method: 'POST',
    agent: false,
    headers: { ...headersOf(caller), prefer: 'wait=30', ...headers },
  })
  outgoing.once('error', reject).once('response', (response) => {
    json(response).then((body) => resolve({ status: response.statusCode, headers: response.headers, body }), reject)
  })
  outgoing.end(JSON.stringify(submission))
  answer.catch(() => undefined) // Who hangs up has none.
  return { answer, hangUp: () => void outgoing.destroy() }
}

function headersOf({ key }: Caller): Record<string, string> {
  return { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
}

const send = (caller: Caller, submission: Submission) => caller.http.post('/v1/batches').send(submission)

async function usage(caller: Caller): Promise<{ queued: number; running: number }> {
  const { queued, running } = (await caller.http.get('/v1/tenant').expect(200)).body.usage
  return { queued, running }
}

/** Batches, newest first. */
async function listed(caller: Caller): Promise<{ id: string; name: string | null }[]> {
  return (await caller.http.get('/v1/batches').expect(200)).body.data
}

const ids = (batches: { id: string }[]) => batches.map(({ id }) => id)

describe('a full queue', () => {
  it('refuses a batch whole, and says how long to wait', async () => {
    const { service, t, accepted, leave } = await startFull()
    await using _ = service

    const refused = await send(t, { jobs: [forever(), forever()] })
    await leave(1)
    const half = await send(t, { jobs: [forever(), forever()] })

    for (const { status, body, headers } of [refused, half]) {
      expect([status, body.code, headers['retry-after']]).toEqual([429, 'queue_full', expect.stringMatching(/^\d+$/)])
      expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1)
      expect(Number(headers['retry-after'])).toBeLessThanOrEqual(3_600)
    }
    expect(ids(await listed(t))).toEqual(accepted)
    expect(await usage(t)).toEqual({ queued: 3, running: 1 })
    await t.submit({ jobs: [forever()] })
  })

  it('refuses appended jobs whole', async () => {
    await using service = await startService({ tenants: { t: { maxConcurrency: 1, maxQueuedJobs: 4 } } })
    const t = service.as('t')
    const { id } = await t.submit({ open: true, jobs: [forever()] })
    await t.append(id, [forever(), forever()])

    const { status, body, headers } = await t.http
      .post(`/v1/batches/${id}/jobs`)
      .send({ jobs: range(3).map(() => forever()) })

    expect([status, body.code, Number(headers['retry-after']) >= 1]).toEqual([429, 'queue_full', true])
    expect((await t.batch(id)).counts.total).toBe(3)
    await t.append(id, [forever(), forever()])
  })

  it('advises the time that it needs at the rate of late', async () => {
    await using service = await startService({ tenants: { t: { maxConcurrency: 2, maxQueuedJobs: 2_000 } } })
    const t = service.as('t')
    const startedAt = performance.now()
    const { id } = await t.submit({ policy: 'all_settled', jobs: range(2_000).map(() => sleepFor(10)) })
    await t.seen(id, 'job.succeeded', 300)

    const { queued } = await usage(t)
    const secondsPerJob = (performance.now() - startedAt) / 1_000 / (2_000 - queued)
    const { headers } = await send(t, { jobs: range(2_000).map(() => forever()) }).expect(429)
    await t.cancel(id)

    // To make room for all of them, all that is queued has to leave. Within an order of magnitude: machines stutter.
    const needed = queued * secondsPerJob
    expect(Number(headers['retry-after'])).toBeGreaterThan(needed / 5)
    expect(Number(headers['retry-after'])).toBeLessThan(needed * 5 + 1)
  }, 30_000)

  it.each<[Record<string, string>]>([[{ prefer: 'wait=0' }], [{ prefer: 'wait=30' }]])(
    'refuses for good what can never fit, at once: %j',
    async (headers) => {
      const { service, t, accepted } = await startFull({ tenants: { small: { maxBatchJobs: 2 } } })
      await using _ = service

      const queue = await hold(t, { jobs: range(5).map(() => forever()) }, headers).answer
      const batch = await hold(service.as('small'), { jobs: range(3).map(() => forever()) }, headers).answer

      expect([queue.status, queue.body.code, queue.headers['retry-after']]).toEqual([413, 'batch_too_large', undefined])
      expect([batch.status, batch.body.code]).toEqual([413, 'batch_too_large'])
      expect(ids(await listed(t))).toEqual(accepted)
      expect(await listed(service.as('small'))).toEqual([])
    },
  )

  it("is no reason to refuse another tenant, and its room is nobody else's", async () => {
    const { service, t, whenHeld } = await startFull({ tenants: { other: { maxConcurrency: 1, maxQueuedJobs: 4 } } })
    await using _ = service
    const { answer } = hold(t, { jobs: [sleepFor(0)] }, { prefer: 'wait=1' })
    await whenHeld(1)

    const { batch } = await service.as('other').run({ jobs: range(4).map(() => sleepFor(0)) })

    expect(batch.state).toBe('succeeded')
    await whenHeld(1)
    expect((await answer).status).toBe(429)
  })
})

describe('a submission that waits for room', () => {
  it('enters when there is, and answers with its jobs when it then settles in the rest of its wait', async () => {
    const { service, t, whenHeld, leave } = await startFull()
    await using _ = service
    const settling = vi.spyOn(service.inside.engine, 'untilSettled')
    const { answer } = hold(t, { jobs: [sleepFor(0, { result: 1 }), sleepFor(0, { result: 2 })] })
    await whenHeld(1)

    await leave(4)
    service.origin.release('/hold/slot')
    const { status, headers, body } = await answer

    t.track(body.id)
    expect([status, headers['preference-applied'], headers.location]).toEqual([
      200,
      'wait=30',
      `/v1/batches/${body.id}`,
    ])
    expect(body.state).toBe('succeeded')
    expect(body.jobs.map(({ result }: { result: unknown }) => result)).toEqual([1, 2])
    // The time for both is one.
    expect(settling.mock.calls[0]?.[2]).toBeLessThan(30_000)
  })

  it('answers 202 when it has not settled by then, and goes on', async () => {
    const { service, t, whenHeld, leave } = await startFull()
    await using _ = service
    const { answer } = hold(t, { jobs: [forever()] }, { prefer: 'wait=1' })
    await whenHeld(1)

    await leave(1)
    const { status, headers, body } = await answer

    t.track(body.id)
    expect([status, headers['preference-applied'], headers.location]).toEqual([202, 'wait=1', `/v1/batches/${body.id}`])
    expect([body.jobs, body.counts.queued]).toEqual([undefined, 1])
    expect(await usage(t)).toEqual({ queued: 4, running: 1 })
  })

  it('is refused when there is none in time, and nothing of it was accepted', async () => {
    const { service, t, accepted, leave } = await startFull()
    await using _ = service

    const { status, body, headers } = await hold(t, { jobs: [forever()] }, { prefer: 'wait=1' }).answer
    await leave(1)

    expect([status, body.code, Number(headers['retry-after']) >= 1]).toEqual([429, 'queue_full', true])
    expect(ids(await listed(t))).toEqual(accepted)
    expect(await usage(t)).toEqual({ queued: 3, running: 1 })
  })

  it('answers with the stream of its events from the start', async () => {
    const { service, t, whenHeld, leave } = await startFull()
    await using _ = service
    const headers = { ...headersOf(t), accept: 'text/event-stream', prefer: 'wait=30' }
    const opened = t.open('POST', '/v1/batches', headers, JSON.stringify({ jobs: [sleepFor(0)] }))
    await whenHeld(1)

    await leave(4)
    service.origin.release('/hold/slot')
    await using stream = new EventStream(await opened, 'sse')
    const events = await stream.rest()

    const { batchId = '' } = events[0] ?? {}
    t.track(batchId)
    expect([stream.status, stream.response.headers['preference-applied']]).toEqual([200, 'wait=30'])
    expect((await t.drained(batchId)).events).toEqual(events)
  })

  it('does not wait for a stream without being asked to', async () => {
    const { service, t } = await startFull()
    await using _ = service

    const response = await t.open(
      'POST',
      '/v1/batches',
      { ...headersOf(t), accept: 'text/event-stream' },
      JSON.stringify({ jobs: [forever()] }),
    )

    expect([response.statusCode, await json(response)]).toEqual([429, expect.objectContaining({ code: 'queue_full' })])
  })

  it('enters nothing when its client hangs up', async () => {
    const { service, t, accepted, whenHeld, leave } = await startFull()
    await using _ = service
    const { hangUp } = hold(t, { name: 'given up', jobs: [service.fetch('/ok/given-up')] })
    await whenHeld(1)

    hangUp()
    await whenHeld(0)
    await leave(4)
    service.origin.release('/hold/slot')
    const after = await t.run({ jobs: [sleepFor(0)] })

    expect(ids(await listed(t))).toEqual([after.batch.id, ...accepted])
    expect(await usage(t)).toEqual({ queued: 0, running: 0 })
    expect(service.origin.hitsOf('/ok/given-up')).toBe(0)
  })

  it('is not stopped by its client going once it has entered', async () => {
    const { service, t, whenHeld, leave } = await startFull()
    await using _ = service
    const { hangUp } = hold(t, { jobs: [service.fetch('/ok/entered')] })
    await whenHeld(1)
    await leave(1)
    await whenHeld(0)

    hangUp()
    await leave(3)
    service.origin.release('/hold/slot')
    await service.origin.whenHit('/ok/entered')

    t.track((await listed(t))[0].id)
  })

  it('keeps its Idempotency-Key meanwhile, and has it no longer when it gives up', async () => {
    const { service, t, whenHeld, leave } = await startFull()
    await using _ = service
    const submission = { jobs: [sleepFor(0)] }
    const key = { 'idempotency-key': 'k' }
    const { hangUp } = hold(t, submission, key)
    await whenHeld(1)

    const meanwhile = await send(t, submission).set(key)
    hangUp()
    await whenHeld(0)
    const full = await send(t, submission).set(key)
    await leave(4)
    service.origin.release('/hold/slot')
    const other = await send(t, { jobs: [sleepFor(1)] }).set(key)

    t.track(other.body.id)
    expect([meanwhile.status, meanwhile.body.code]).toEqual([409, 'idempotency_conflict'])
    expect([full.status, full.body.code]).toEqual([429, 'queue_full'])
    expect(other.status).toBe(202)
  })

  it('gives a repeat the answer it had once it has entered', async () => {
    const { service, t, whenHeld, leave } = await startFull()
    await using _ = service
    const submission = { jobs: [sleepFor(0)] }
    const key = { 'idempotency-key': 'k' }
    const { answer } = hold(t, submission, key)
    await whenHeld(1)
    await leave(4)
    service.origin.release('/hold/slot')
    const first = await answer

    const again = await send(t, submission).set(key)

    t.track(first.body.id)
    expect([again.status, again.body.id]).toEqual([202, first.body.id])
  })

  it('waits its turn: the one that came first enters first, though the other would fit', async () => {
    const { service, t, accepted, whenHeld, leave } = await startFull()
    await using _ = service
    const large = hold(t, { name: 'large', jobs: range(3).map(() => forever()) })
    await whenHeld(1)
    const small = hold(t, { name: 'small', jobs: [forever()] })
    await whenHeld(2)

    await leave(1)
    await whenHeld(2)
    expect(ids(await listed(t))).toEqual(accepted)
    await leave(2)
    await whenHeld(1)
    await leave(1)
    await whenHeld(0)

    const [last, first] = await listed(t)
    expect([first.name, last.name]).toEqual(['large', 'small'])
    for (const { id } of [first, last]) await t.cancel(id)
    for (const { answer } of [large, small]) t.track((await answer).body.id)
  })

  // A replica's batches outlive it: the next one would have to end them.
  it.skipIf(IN_CLUSTER)('is told when the service stops', async () => {
    const { service, t, accepted, whenHeld } = await startFull()
    await using _ = service
    const all = range(3).map(() => hold(t, { jobs: [forever()] }))
    await whenHeld(3)

    void service.inside.engine.drain(0)
    const answers = await Promise.all(all.map(({ answer }) => answer))

    for (const { status, body, headers } of answers)
      expect([status, body.code, headers['retry-after']]).toEqual([503, 'shutting_down', '5'])
    expect(ids(await listed(t))).toEqual(accepted)
  })

  it('enters when its tenant may go on, or may queue more', async () => {
    const paused = { maxConcurrency: 1, maxQueuedJobs: 2, paused: true }
    await using service = await startService({ tenants: { t: paused } })
    const whenHeld = watchHeld(service)
    const t = service.as('t')
    await t.submit({ jobs: [sleepFor(0), sleepFor(0)] })
    const [first, second] = [hold(t, { jobs: [sleepFor(0)] }), hold(t, { jobs: [sleepFor(0)] })]
    await whenHeld(2)

    await service.configure('t', { ...paused, maxQueuedJobs: 3 })
    await whenHeld(1)
    await service.configure('t', { ...paused, paused: false })

    for (const { answer } of [first, second]) {
      const { status, body } = await answer
      t.track(body.id)
      expect([status, body.state]).toEqual([200, 'succeeded'])
    }
  })
})

describe('streams and held answers', () => {
  type Ask = (t: Caller, id: string) => PromiseLike<{ status: number; body?: { code?: string } }>
  const asks: [string, Ask][] = [
    ['a stream', (t, id) => t.http.get(`/v1/batches/${id}/events`)],
    ['/wait', (t, id) => t.http.get(`/v1/batches/${id}/wait?timeoutMs=0`)],
    ['a held read', (t, id) => t.http.get(`/v1/batches/${id}`).set('prefer', 'wait=0')],
    ['a held submission', (t) => send(t, { jobs: [forever()] }).set('prefer', 'wait=0')],
    ['a streamed submission', (t) => send(t, { jobs: [forever()] }).set('accept', 'application/x-ndjson')],
  ]

  /** A tenant that has as many as it may, two: a stream and a wait. */
  async function startCrowded() {
    const service = await startService({ maxObservers: 2, tenants: { other: {} } })
    const { me } = service
    const { id } = await me.submit({ jobs: [forever()] })
    const stream = await me.stream(id)
    const waiting = me.open('GET', `/v1/batches/${id}/wait`)
    await untilStatus(me, id, 429)
    return { service, me, id, stream, waiting }
  }

  /** Resolves when one more is answered so. */
  async function untilStatus(caller: Caller, id: string, wanted: number): Promise<void> {
    for (let status = 0; status !== wanted; )
      status = (await caller.http.get(`/v1/batches/${id}/wait?timeoutMs=0`)).status
  }

  it.each(asks)('are bounded for a tenant: %s is one too many, and starts nothing', async (_what, ask) => {
    const { service, me, id, stream, waiting } = await startCrowded()
    await using _ = service

    const { status, body } = await ask(me, id)
    const list = await listed(me)
    stream.destroy()
    await me.cancel(id)
    await json(await waiting)
    await untilStatus(me, id, 200)

    expect([status, body?.code]).toEqual([429, 'rate_limited'])
    expect(ids(list)).toEqual([id])
  })

  it('say when to try again, and stop no other request nor another tenant', async () => {
    const { service, me, id, stream, waiting } = await startCrowded()
    await using _ = service

    const { headers } = await me.http.get(`/v1/batches/${id}/events`).expect(429)
    expect(headers).toMatchObject({ 'retry-after': '1', 'content-type': expect.stringMatching(/problem\+json/) })
    await me.batch(id)
    await me.submit({ jobs: [sleepFor(0)] })
    await service.as('other').run({ jobs: [sleepFor(0)] })

    stream.destroy()
    await me.cancel(id)
    await json(await waiting)
    await untilStatus(me, id, 200)
  })

  it('make room when one ends, and when its client leaves', async () => {
    const { service, me, id, stream, waiting } = await startCrowded()
    await using _ = service

    stream.destroy()
    await untilStatus(me, id, 200)
    await using second = await me.stream(id)
    expect(second.status).toBe(200)
    await untilStatus(me, id, 429)
    await me.cancel(id)
    await json(await waiting)
    await second.rest()
    await untilStatus(me, id, 200)

    for (const _ of range(5)) await me.http.get(`/v1/batches/${id}`).set('prefer', 'wait=0').expect(200)
  })

  it('count a submission that waits for room, until its client leaves', async () => {
    const { service, t, accepted, whenHeld } = await startFull({ maxObservers: 1 })
    await using _ = service
    const { hangUp } = hold(t, { jobs: [forever()] })
    await whenHeld(1)

    const second = await hold(t, { jobs: [forever()] }).answer
    hangUp()
    await untilStatus(t, accepted[0], 200)

    expect([second.status, second.body.code]).toEqual([429, 'rate_limited'])
    expect(ids(await listed(t))).toEqual(accepted)
  })
})

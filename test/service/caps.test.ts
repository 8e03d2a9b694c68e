import { describe, expect, it } from 'vitest'
import { startOrigin } from '../support/origin.ts'
import { type Caller, forever, sleepFor, startService } from '../support/service.ts'
import { mostAtOnce, type WireEvent } from './check-log.ts'

const range = (length: number) => Array.from({ length }, (_, i) => i)
const started = (events: readonly WireEvent[]) =>
  events.filter(({ type }) => type === 'job.started').map(({ index }) => index)

async function usage(caller: Caller): Promise<{ queued: number; running: number }> {
  return (await caller.http.get('/v1/tenant').expect(200)).body.usage
}

describe('all caps at once', () => {
  it('hold at the origin over timeouts, cancels, resets and hangs', async () => {
    await using service = await startService({
      maxConcurrency: 12,
      hostConcurrency: 9,
      tenants: { a: { maxConcurrency: 8 }, b: { maxConcurrency: 6 } },
    })
    const other = await startOrigin()
    const paths = [
      '/ok?ms=4',
      '/reset',
      '/hang',
      '/ok',
      '/drip?chunks=4&everyMs=3',
      '/fail',
      '/half',
      '/reset?how=body',
    ]
    const submit = (caller: Caller, name: string, i: number) =>
      caller.submit({
        policy: ['all_settled', 'gather', 'task_group'][i % 3],
        maxConcurrency: 3,
        jobs: range(30).map((j) => {
          const path = paths[(i + j) % paths.length] ?? '/ok'
          const url = (j % 3 === 0 ? other : service.origin).url(
            `${path}${path.includes('?') ? '&' : '?'}k=${name}${i}`,
          )
          return { kind: 'fetch', url, timeoutMs: 10 + ((i * j) % 30) }
        }),
      })

    const batches = await Promise.all(
      range(6).flatMap((i) => [submit(service.as('a'), 'a', i), submit(service.as('b'), 'b', i)]),
    )
    const ownerOf = (i: number) => service.as(i % 2 === 0 ? 'a' : 'b')
    await Promise.all(batches.flatMap(({ id }, i) => (i < 4 ? [ownerOf(i).cancelJob(`${id}-7`)] : [])))
    await ownerOf(4).cancel(batches[4]?.id ?? '')
    const logs: WireEvent[][] = []
    for (const [i, { id }] of batches.entries()) {
      logs.push((await ownerOf(i).drained(id)).events)
      for (const origin of [service.origin, other])
        expect(origin.concurrencyOf(`${i % 2 === 0 ? 'a' : 'b'}${Math.floor(i / 2)}`).max).toBeLessThanOrEqual(3)
    }

    await service.origin.whenIdle()
    await other[Symbol.asyncDispose]()
    expect(service.origin.concurrency.max).toBeLessThanOrEqual(9)
    expect(other.concurrency.max).toBeLessThanOrEqual(9)
    expect(mostAtOnce(logs)).toBeLessThanOrEqual(12)
    expect(mostAtOnce(logs.filter((_, i) => i % 2 === 0))).toBeLessThanOrEqual(8)
    expect(mostAtOnce(logs.filter((_, i) => i % 2 === 1))).toBeLessThanOrEqual(6)
    expect(Math.max(service.origin.concurrency.current, other.concurrency.current)).toBe(0)
  })

  it('of the server holds over its tenants', async () => {
    await using service = await startService({ maxConcurrency: 3, tenants: { a: {}, b: {} } })
    const jobs = range(4).map((i) => service.fetch(`/hold/${i}`))

    const [a, b] = await Promise.all([service.as('a').submit({ jobs }), service.as('b').submit({ jobs })])
    for (const i of range(4)) service.origin.release(`/hold/${i}`)
    await Promise.all([service.as('a').drained(a.id), service.as('b').drained(b.id)])

    expect(service.origin.concurrency.max).toBeLessThanOrEqual(3)
  })

  it('of a host holds over tenants and batches, and blocks nobody who goes elsewhere', async () => {
    await using service = await startService({ hostConcurrency: 2, tenants: { a: {}, b: {} } })
    await using elsewhere = await startOrigin()
    const held = range(3).map(() => service.fetch('/hold/a'))
    const [a, b] = await Promise.all([service.as('a').submit({ jobs: held }), service.as('b').submit({ jobs: held })])
    await service.origin.whenHit('/hold/a', 2)

    const free = await service.as('a').run({ jobs: [{ kind: 'fetch', url: elsewhere.url('/ok') }, sleepFor(0)] })
    const most = service.origin.hitsOf('/hold/a')
    service.origin.release('/hold/a')
    await Promise.all([service.as('a').drained(a.id), service.as('b').drained(b.id)])

    expect(free.batch.counts.succeeded).toBe(2)
    expect(most).toBe(2)
    expect([service.origin.concurrency.max, service.origin.hitsOf('/hold/a')]).toEqual([2, 6])
  })
})

describe('a slot', () => {
  it('is given back when the origin has seen the socket close, not when the cancel is asked for', async () => {
    await using service = await startService({ tenants: { one: { maxConcurrency: 1 } } })
    const one = service.as('one')
    for (const round of range(10)) {
      const { id } = await one.submit({ jobs: [service.fetch(`/hang/${round}`), service.fetch(`/ok/${round}`)] })
      await service.origin.whenHit(`/hang/${round}`)

      await one.cancelJob(`${id}-0`)
      await one.drained(id)
    }

    expect(service.origin.concurrency.max).toBe(1)
  })

  it('comes back once, however a job ends', async () => {
    await using service = await startService({ tenants: { two: { maxConcurrency: 2 } } })
    const two = service.as('two')
    const paths = [
      '/ok',
      '/fail',
      '/reset',
      '/reset?how=body',
      '/malformed',
      '/loop',
      '/hang',
      '/half',
      '/big?bytes=100000',
    ]

    const { batch } = await two.run({
      jobs: paths.flatMap((path) =>
        range(4).map(() => service.fetch(path, { timeoutMs: 40, maxResponseBytes: 1_000 })),
      ),
    })
    const after = await two.submit({ jobs: range(4).map(() => service.fetch('/hold/a')) })
    await service.origin.whenHit('/hold/a', 2)
    const { running, queued } = await usage(two)
    service.origin.release('/hold/a')
    await two.drained(after.id)

    expect(batch.counts.total).toBe(36)
    expect([running, queued]).toEqual([2, 2])
  })
})

describe("a tenant's cap", () => {
  it('that is raised starts more at once', async () => {
    await using service = await startService({ tenants: { t: { maxConcurrency: 1 } } })
    const { id } = await service.as('t').submit({ jobs: range(4).map((i) => service.fetch(`/hold/${i}`)) })
    await service.origin.whenHit('/hold/0')
    expect(await usage(service.as('t'))).toMatchObject({ running: 1, queued: 3 })

    await service.configure('t', { maxConcurrency: 3 })
    await Promise.all(range(3).map((i) => service.origin.whenHit(`/hold/${i}`)))

    expect(await usage(service.as('t'))).toMatchObject({ running: 3, queued: 1 })
    expect(service.origin.hitsOf('/hold/3')).toBe(0)
    await service.as('t').ended(id)
  })

  it('that is lowered lets what runs go on, and starts nothing before there is room', async () => {
    await using service = await startService({ tenants: { t: { maxConcurrency: 3 } } })
    const { id } = await service.as('t').submit({ jobs: range(8).map((i) => service.fetch(`/hold/${i}`)) })
    await Promise.all(range(3).map((i) => service.origin.whenHit(`/hold/${i}`)))

    await service.configure('t', { maxConcurrency: 1 })
    expect(await usage(service.as('t'))).toMatchObject({ running: 3, queued: 5 })
    for (const i of range(8)) service.origin.release(`/hold/${i}`)
    const { events } = await service.as('t').drained(id)

    const firstOfTheRest = events.findIndex(({ type, index }) => type === 'job.started' && index === 3)
    const before = events.slice(0, firstOfTheRest)
    expect(before.filter(({ type }) => type === 'job.succeeded').length).toBe(3)
    expect(mostAtOnce([events.slice(firstOfTheRest)])).toBe(1)
  })

  it('of a paused tenant starts nothing until it goes on', async () => {
    await using service = await startService({ tenants: { t: { paused: true }, other: {} } })
    const { id } = await service.as('t').submit({ jobs: [service.fetch('/ok'), sleepFor(0)] })

    await service.as('other').run({ jobs: [sleepFor(20)] })
    expect(await usage(service.as('t'))).toMatchObject({ running: 0, queued: 2 })
    expect((await service.as('t').job(`${id}-0`)).waitingOn).toBe('paused')
    await service.configure('t', { paused: false })

    expect((await service.as('t').drained(id)).batch.counts.succeeded).toBe(2)
  })
})

describe('tenants that compete', () => {
  it('take turns, however much one of them has queued before the other came', async () => {
    await using service = await startService({ maxConcurrency: 1, tenants: { hog: {}, late: {} } })
    const blocker = await service.me.submit({ jobs: [service.fetch('/hold/a')] })
    await service.origin.whenHit('/hold/a')
    const hog = await service.as('hog').submit({ jobs: range(40).map((i) => service.fetch(`/ok/hog${i}`)) })
    const late = await service.as('late').submit({ jobs: range(10).map((i) => service.fetch(`/ok/late${i}`)) })

    service.origin.release('/hold/a')
    await Promise.all([service.as('hog').drained(hog.id), service.as('late').drained(late.id)])
    await service.me.drained(blocker.id)

    const order = service.origin.hits.slice(1).map(({ path }) => (path.includes('hog') ? 'h' : 'l'))
    expect(order.slice(0, 20).filter((who) => who === 'l').length).toBeGreaterThanOrEqual(9)
    expect(order.slice(0, 20).join('')).not.toMatch(/hhh|lll/)
  })

  it('share by their weights', async () => {
    await using service = await startService({
      maxConcurrency: 1,
      tenants: { heavy: { weight: 3 }, light: { weight: 1 } },
    })
    const blocker = await service.me.submit({ jobs: [service.fetch('/hold/a')] })
    await service.origin.whenHit('/hold/a')
    const heavy = await service.as('heavy').submit({ jobs: range(30).map(() => service.fetch('/ok/heavy')) })
    const light = await service.as('light').submit({ jobs: range(30).map(() => service.fetch('/ok/light')) })

    service.origin.release('/hold/a')
    await Promise.all([service.as('heavy').drained(heavy.id), service.as('light').drained(light.id)])
    await service.me.drained(blocker.id)

    const order = service.origin.hits.slice(1, 25).map(({ path }) => path)
    expect(order.filter((path) => path === '/ok/heavy').length).toBe(18)
  })
})

describe('the order of starts', () => {
  it('is the order of acceptance, then input order, and higher priority goes first', async () => {
    await using service = await startService({ tenants: { one: { maxConcurrency: 1 } } })
    const one = service.as('one')
    const blocker = await one.submit({ jobs: [service.fetch('/hold/a')] })
    await service.origin.whenHit('/hold/a')
    const names = (batch: string, priorities: number[]) =>
      priorities.map((priority, i) => service.fetch(`/ok/${batch}${i}`, { priority }))
    const first = await one.submit({ jobs: names('first', [0, 0, 5, -1]) })
    const second = await one.submit({ jobs: names('second', [0, 5, 0]) })

    service.origin.release('/hold/a')
    for (const { id } of [blocker, first, second]) await one.drained(id)

    expect(service.origin.hits.slice(1).map(({ path }) => path.slice('/ok/'.length))).toEqual([
      'first2',
      'second1',
      'first0',
      'first1',
      'second0',
      'second2',
      'first3',
    ])
  })

  it('lets a job that only its batch holds back block nobody', async () => {
    await using service = await startService({ tenants: { two: { maxConcurrency: 2 } } })
    const two = service.as('two')
    const narrow = await two.submit({ maxConcurrency: 1, jobs: [service.fetch('/hold/a'), sleepFor(0), sleepFor(0)] })
    await service.origin.whenHit('/hold/a')

    const free = await two.run({ jobs: [sleepFor(0), sleepFor(0)] })

    expect(free.batch.counts.succeeded).toBe(2)
    service.origin.release('/hold/a')
    expect(started((await two.drained(narrow.id)).events)).toEqual([0, 1, 2])
  })
})

describe('waitingOn', () => {
  it('says what holds a queued job back', async () => {
    await using service = await startService({
      hostConcurrency: 2,
      maxConcurrency: 6,
      tenants: { capped: { maxConcurrency: 1 }, paused: { paused: true }, free: {} },
    })
    const host = await service.me.submit({ jobs: range(3).map(() => service.fetch('/hold/a')) })
    const capped = await service.as('capped').submit({ jobs: [forever(), forever()] })
    const limited = await service.me.submit({ maxConcurrency: 1, jobs: [forever(), forever()] })
    const delayed = await service.me.submit({ jobs: [sleepFor(0, { delayMs: 3_600_000 })] })
    const paused = await service.as('paused').submit({ jobs: [forever()] })
    const hedged = await service.me.submit({ policy: 'hedge', hedgeDelayMs: 3_600_000, jobs: [forever(), forever()] })
    await service.me.seen(hedged.id, 'job.started', 0)
    const last = await service.as('free').submit({ jobs: [forever()] })
    await service.as('free').seen(last.id, 'job.started', 0)
    const full = await service.as('free').submit({ jobs: [forever()] })
    const waiting = async (caller: Caller, id: string) => (await caller.job(id)).waitingOn

    expect({
      host: await waiting(service.me, `${host.id}-2`),
      capped: await waiting(service.as('capped'), `${capped.id}-1`),
      limited: await waiting(service.me, `${limited.id}-1`),
      delayed: await waiting(service.me, `${delayed.id}-0`),
      paused: await waiting(service.as('paused'), `${paused.id}-0`),
      hedged: await waiting(service.me, `${hedged.id}-1`),
      full: await waiting(service.as('free'), `${full.id}-0`),
      running: await waiting(service.me, `${limited.id}-0`),
    }).toEqual({
      host: 'host-cap',
      capped: 'tenant-cap',
      limited: 'batch-limit',
      delayed: 'delay',
      paused: 'paused',
      hedged: 'delay',
      full: 'server-cap',
      running: null,
    })
  })
})

describe('the queue of a tenant', () => {
  it('is bounded: 429 when a batch does not fit now, 413 when it never would, and nothing of it is accepted', async () => {
    await using service = await startService({ tenants: { t: { maxConcurrency: 1, maxQueuedJobs: 5 } } })
    const t = service.as('t')
    const held = await t.submit({ jobs: [service.fetch('/hold/a'), sleepFor(0), sleepFor(0)] })
    await service.origin.whenHit('/hold/a')

    const now = await t.http.post('/v1/batches').send({ jobs: range(4).map(() => sleepFor(0)) })
    const never = await t.http.post('/v1/batches').send({ jobs: range(6).map(() => sleepFor(0)) })

    expect([now.status, now.body.code, Number(now.headers['retry-after']) > 0]).toEqual([429, 'queue_full', true])
    expect([never.status, never.body.code]).toEqual([413, 'batch_too_large'])
    expect((await t.http.get('/v1/batches')).body.data.length).toBe(1)
    await t.submit({ jobs: range(3).map(() => sleepFor(0)) })
    service.origin.release('/hold/a')
    await t.drained(held.id)
  })
})

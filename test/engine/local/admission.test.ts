import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Admission, type Release } from '../../../src/engine/local/admission.ts'
import { type Tenant, Tenants } from '../../../src/engine/local/tenants.ts'
import { BatchTooLargeError, OverloadedError, QueueFullError, ShuttingDownError } from '../../../src/errors.ts'
import { FakeClock, turn } from '../../support/fake-clock.ts'

const MIB = 1_048_576

/** An admission over a queue of 10 jobs. What became of each submission goes to `outcomes`, in order. */
function start({ maxQueuedJobs = 10, maxBatchJobs = 10 } = {}) {
  const clock = new FakeClock()
  const tenants = new Tenants({ defaults: { maxConcurrency: 1, maxQueuedJobs, maxBatchJobs, weight: 1 } })
  const tenant = tenants.get('acme')
  const store = { canWrite: true }
  const admission = new Admission({ tenants, clock, canWrite: () => store.canWrite })
  const outcomes: string[] = []
  const releases = new Map<string, Release>()
  /** Submit `count` jobs, and hold the line if `timeoutMs` is given. */
  const submit = async (name: string, count: number, held: Held = {}) => {
    const { timeoutMs, bytes = 1, signal, of = tenant } = held
    const hold = timeoutMs === undefined ? undefined : { timeoutMs, bytes, signal }
    admission.enter(of, { count: count, headerChars: 1, hold }).then(
      (release) => {
        outcomes.push(name)
        releases.set(name, release)
      },
      (error: Error) => outcomes.push(`${name}: ${error.name}`),
    )
    await turn()
  }
  /** What was let in is on disk and queued, or, if the write failed, is not. */
  const written = async (name: string, count: number, of: Tenant = tenant) => {
    of.queued += count
    releases.get(name)?.()
    await turn()
  }
  /** Jobs start. */
  const leave = async (count: number, of: Tenant = tenant) => {
    of.queued -= count
    admission.left(of, count, clock.now())
    await turn()
  }
  /** Fill the queue. */
  const fill = async (of: Tenant = tenant) => {
    await submit('full', 10, { of })
    await written('full', 10, of)
    outcomes.length = 0
  }
  return { clock, tenants, tenant, store, admission, outcomes, submit, written, leave, fill }
}

type Started = ReturnType<typeof start>

interface Held {
  timeoutMs?: number
  bytes?: number
  signal?: AbortSignal
  of?: Tenant
}

describe('places in the queue', () => {
  it('are for all jobs of a submission or for none', async () => {
    const { tenant, outcomes, submit, written } = start()
    await submit('a', 6)
    await written('a', 6)

    await submit('b', 5)
    await submit('c', 4)

    expect(outcomes).toEqual(['a', 'b: QueueFullError', 'c'])
    expect([tenant.queued, tenant.reserved]).toEqual([6, 4])
  })

  it('are refused for good to what can never fit, however long it would wait', async () => {
    const { admission, tenant } = start({ maxQueuedJobs: 10, maxBatchJobs: 20 })

    await expect(
      admission.enter(tenant, { count: 11, headerChars: 1, hold: { timeoutMs: 1_000, bytes: 1 } }),
    ).rejects.toMatchObject({
      name: 'BatchTooLargeError',
      limit: 10,
    })
    expect(() => admission.reserve(tenant, 1, 20)).toThrow(BatchTooLargeError)
    expect(() => admission.reserve(tenant, 6, 15)).toThrow('jobs in a batch is 20')
    expect(tenant.reserved).toBe(0)
  })

  it('come back when the jobs were not written, once', async () => {
    const { admission, tenant } = start()
    const release = admission.reserve(tenant, 10, 0)
    expect(() => admission.reserve(tenant, 1, 0)).toThrow(QueueFullError)

    release()
    release()

    expect(tenant.reserved).toBe(0)
    admission.reserve(tenant, 10, 0)
    expect(tenant.reserved).toBe(10)
  })

  it('are not given while the store refuses to write; a full queue is full first', async () => {
    const { admission, tenant, store } = start()
    store.canWrite = false

    expect(() => admission.reserve(tenant, 1, 0)).toThrow(OverloadedError)
    await expect(
      admission.enter(tenant, { count: 1, headerChars: 1, hold: { timeoutMs: 1_000, bytes: 1 } }),
    ).rejects.toThrow(OverloadedError)
    expect(tenant.reserved).toBe(0)

    tenant.queued = 10
    expect(() => admission.reserve(tenant, 1, 0)).toThrow(QueueFullError)
  })

  it('are worth the time that what is over needs to leave', async () => {
    const { admission, tenant, clock, fill, leave } = start()
    await fill()
    for (let i = 0; i < 60; i++) {
      clock.advance(1_000)
      await leave(1)
      tenant.queued++
    }

    const refused = (count: number) => admission.enter(tenant, { count: count, headerChars: 1, hold: undefined })

    await expect(refused(1)).rejects.toMatchObject({ code: 'queue_full', retryAfterS: 1 })
    // Ten have to leave, one a second.
    await expect(refused(10)).rejects.toMatchObject({ retryAfterS: expect.toSatisfy((s) => s >= 9 && s <= 11) })
  })
})

describe('the rate at which jobs leave', () => {
  /** Advised to one too many, after ten jobs have left in ten seconds and then `before`. */
  async function advice(before: (started: Started) => Promise<void>): Promise<number> {
    const started = start()
    const { admission, tenant, clock, fill, leave } = started
    await fill()
    for (let i = 0; i < 10; i++) {
      clock.advance(1_000)
      await leave(1)
    }
    await before(started)
    tenant.queued = 10
    const error = await admission
      .enter(tenant, { count: 10, headerChars: 1, hold: undefined })
      .catch((refusal: QueueFullError) => refusal)
    return (error as QueueFullError).retryAfterS
  }

  it('is not that of the time in which nothing was queued, also after a write that failed', async () => {
    const usual = await advice(async () => undefined)
    const afterFailure = await advice(async ({ submit, written, clock }) => {
      await submit('refused by the disk', 5)
      await written('refused by the disk', 0)
      clock.advance(3_600_000)
    })

    expect(afterFailure).toBe(usual)
  })

  it('counts the time of jobs that were being written when the queue became empty', async () => {
    const { admission, tenant, clock, submit, written, leave } = start()
    await submit('a', 1)
    await written('a', 1)
    await submit('b', 9)
    await leave(1)
    await written('b', 9)
    clock.advance(30_000)
    await leave(1)

    // Two in half a minute.
    const refusal = await admission
      .enter(tenant, { count: 10, headerChars: 1, hold: undefined })
      .catch((error: QueueFullError) => error)
    expect((refusal as QueueFullError).retryAfterS).toBeGreaterThan(60)
  })
})

describe('who waits for room', () => {
  it('is let in when there is, first come, first served, and none before the one ahead', async () => {
    const { outcomes, submit, leave, fill } = start()
    await fill()
    await submit('large', 4, { timeoutMs: 1_000 })
    await submit('small', 1, { timeoutMs: 1_000 })
    await submit('last', 2, { timeoutMs: 1_000 })

    await leave(3)
    expect(outcomes).toEqual([])
    await leave(2)
    expect(outcomes).toEqual(['large', 'small'])
    await leave(2)

    expect(outcomes).toEqual(['large', 'small', 'last'])
  })

  it('holds places from the moment there is room', async () => {
    const { tenant, clock, outcomes, submit, leave, written, fill } = start()
    await fill()
    await submit('held', 3, { timeoutMs: 1_000 })

    await leave(3)
    expect([tenant.queued, tenant.reserved]).toEqual([7, 3])
    await submit('late', 1)
    await written('held', 3)

    expect([tenant.queued, tenant.reserved, clock.armed]).toEqual([10, 0, 0])
    expect(outcomes).toEqual(['held', 'late: QueueFullError'])
  })

  it('is refused when the time is over, not before, and lets those behind in', async () => {
    const { tenant, clock, outcomes, submit, leave, fill } = start()
    await fill()
    await submit('large', 8, { timeoutMs: 1_000 })
    await submit('small', 2, { timeoutMs: 5_000 })
    await leave(2)

    await clock.elapse(999)
    expect(outcomes).toEqual([])
    await clock.elapse(1)

    expect(outcomes).toEqual(['large: QueueFullError', 'small'])
    expect([tenant.reserved, clock.armed]).toEqual([2, 0])
    await leave(8)
    await clock.elapse(10_000)
    expect(outcomes).toHaveLength(2)
  })

  it('gets no place once the caller is gone, and those behind do', async () => {
    const { tenant, clock, outcomes, submit, leave, fill } = start()
    const caller = new AbortController()
    await fill()
    await submit('gone', 8, { timeoutMs: 1_000, signal: caller.signal })
    await submit('stays', 2, { timeoutMs: 1_000 })
    await leave(2)

    caller.abort()
    await turn()
    await leave(8)

    expect(outcomes).toEqual(['gone: QueueFullError', 'stays'])
    expect([tenant.reserved, clock.armed]).toEqual([2, 0])
  })

  it('does not wait for no time, nor for a caller who has gone already', async () => {
    const { clock, outcomes, submit, leave, fill } = start()
    await fill()

    await submit('gone', 1, { timeoutMs: 1_000, signal: AbortSignal.abort() })
    await submit('no time', 1, { timeoutMs: 0 })
    await leave(10)

    expect(outcomes).toEqual(['gone: QueueFullError', 'no time: QueueFullError'])
    expect(clock.armed).toBe(0)
  })

  it('listens to its caller no longer once it is in', async () => {
    const { tenant, outcomes, submit, leave, fill } = start()
    const caller = new AbortController()
    await fill()
    await submit('in', 1, { timeoutMs: 1_000, signal: caller.signal })
    await submit('waits', 1, { timeoutMs: 1_000 })
    await leave(1)

    caller.abort()
    await turn()
    expect(outcomes).toEqual(['in'])
    await leave(1)

    expect(outcomes).toEqual(['in', 'waits'])
    expect(tenant.reserved).toBe(2)
  })

  it('is let in when its limit is raised', async () => {
    const { admission, tenants, tenant, outcomes, submit, fill } = start()
    await fill()
    await submit('held', 3, { timeoutMs: 1_000 })

    tenants.apply('acme', { maxQueuedJobs: 12 })
    admission.serve(tenant)
    await turn()
    expect(outcomes).toEqual([])
    tenants.apply('acme', { maxQueuedJobs: 13 })
    admission.serve(tenant)
    await turn()

    expect(outcomes).toEqual(['held'])
  })

  it('is let in when the write of another one failed', async () => {
    const { outcomes, submit, written } = start()
    await submit('fails', 10)
    await submit('held', 10, { timeoutMs: 1_000 })

    await written('fails', 0)

    expect(outcomes).toEqual(['fails', 'held'])
  })

  it('is refused when there is room but the store does not write', async () => {
    const { tenant, store, outcomes, submit, leave, fill } = start()
    await fill()
    await submit('a', 1, { timeoutMs: 1_000 })
    await submit('b', 1, { timeoutMs: 1_000 })
    store.canWrite = false

    await leave(2)

    expect(outcomes).toEqual(['a: OverloadedError', 'b: OverloadedError'])
    expect(tenant.reserved).toBe(0)
  })

  it('is told when the service stops, all of them, and nobody waits any more', async () => {
    const { admission, tenants, clock, outcomes, submit, fill } = start()
    const other = tenants.get('other')
    await fill()
    await fill(other)
    await submit('a', 1, { timeoutMs: 1_000 })
    await submit('b', 2, { timeoutMs: 1_000 })
    await submit('c', 1, { timeoutMs: 1_000, of: other })

    admission.close()
    await turn()
    await submit('late', 1, { timeoutMs: 1_000 })

    expect(outcomes).toEqual([
      ...['a', 'b', 'c'].map((name) => `${name}: ${ShuttingDownError.name}`),
      'late: QueueFullError',
    ])
    expect(clock.armed).toBe(0)
  })

  it('does not keep another tenant waiting', async () => {
    const { tenants, outcomes, submit, leave, fill } = start()
    const other = tenants.get('other')
    await fill()
    await fill(other)
    await submit('mine', 10, { timeoutMs: 1_000 })
    await submit('theirs', 1, { timeoutMs: 1_000, of: other })

    await leave(1, other)

    expect(outcomes).toEqual(['theirs'])
  })
})

describe('the bytes that wait', () => {
  const hold = { timeoutMs: 1_000 }

  it('are bounded for a tenant, but one may always wait', async () => {
    const { outcomes, submit, leave, fill } = start()
    await fill()

    await submit('huge', 1, { ...hold, bytes: 100 * MIB })
    await submit('too many', 1, { ...hold, bytes: 1 })
    await leave(1)
    await submit('half', 9, { ...hold, bytes: 8 * MIB })
    await submit('half again', 1, { ...hold, bytes: 8 * MIB })
    await submit('one more', 1, { ...hold, bytes: 1 })

    expect(outcomes).toEqual(['too many: QueueFullError', 'huge', 'one more: QueueFullError'])
  })

  it.each<[string, (crowd: Started & { a: Tenant; caller: AbortController }) => unknown]>([
    ['is let in', ({ leave, a }) => leave(1, a)],
    ['waited long enough', ({ clock }) => clock.elapse(10)],
    ['is gone', ({ caller }) => caller.abort()],
    [
      'is refused by the store',
      ({ store, leave, a }) => {
        store.canWrite = false
        return leave(1, a)
      },
    ],
  ])('are bounded for all tenants, and are free again when someone %s', async (_how, end) => {
    const started = start()
    const { tenants, outcomes, submit } = started
    const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'].map((id) => Object.assign(tenants.get(id), { queued: 10 }))
    const caller = new AbortController()
    await submit('a', 1, { timeoutMs: 10, bytes: 16 * MIB, signal: caller.signal, of: a })
    for (const of of [b, c, d]) await submit(of.id, 1, { ...hold, bytes: 16 * MIB, of })
    await submit('first of e', 1, { ...hold, bytes: 1, of: e })

    await submit('too many', 1, { ...hold, bytes: 1, of: e })
    expect(outcomes.splice(0)).toEqual(['too many: QueueFullError'])
    await end({ ...started, a, caller })
    await turn()
    expect(outcomes.splice(0)).toEqual([expect.stringMatching(/^a/)])
    await submit('second of e', 1, { ...hold, bytes: 1, of: e })
    await submit('c again', 1, { ...hold, bytes: 1, of: c })

    expect(outcomes).toEqual(['c again: QueueFullError'])
  })
})

/** What a random program does: to a queue of 10 jobs, or, with `limit`, of as many as it says. */
type Op =
  | { op: 'submit'; count: number; timeoutMs: number }
  | { op: 'written'; nth: number; ok: boolean }
  | { op: 'leave'; count: number }
  | { op: 'hangUp'; nth: number }
  | { op: 'limit'; limit: number }
  | { op: 'disk'; canWrite: boolean }
  | { op: 'elapse'; ms: number }
  | { op: 'close' }

const nth = fc.nat(20)
const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('submit' as const),
      count: fc.integer({ min: 0, max: 11 }),
      timeoutMs: fc.constantFrom(0, 20, 50, 1_000),
    }),
  },
  { weight: 5, arbitrary: fc.record({ op: fc.constant('written' as const), nth, ok: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ op: fc.constant('leave' as const), count: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('hangUp' as const), nth }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('limit' as const), limit: fc.integer({ min: 5, max: 15 }) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('disk' as const), canWrite: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('elapse' as const), ms: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.constant({ op: 'close' as const }) },
)

/** The rules, as simply as they can be said: one list of those who wait, in the order in which they came. */
class Model {
  queued = 0
  reserved = 0
  limit = 10
  canWrite = true
  closed = false
  readonly outcomes: string[] = []
  #now = 0
  #waiting: { name: string; count: number; until: number }[] = []
  /** Let in and not written yet. */
  readonly writing: { name: string; count: number }[] = []

  submit(name: string, count: number, timeoutMs: number): void {
    if (count > 10 || count > this.limit) this.outcomes.push(`${name}: BatchTooLargeError`)
    else if (this.#fits(count) && !(this.#waiting.length > 0 && timeoutMs > 0)) this.#enter(name, count)
    else if (timeoutMs > 0 && !this.closed) this.#waiting.push({ name, count, until: this.#now + timeoutMs })
    else this.outcomes.push(`${name}: QueueFullError`)
  }

  serve(): void {
    for (let first = this.#waiting[0]; first; first = this.#waiting[0]) {
      // The limit was lowered while it waited.
      if (first.count > this.limit) this.leave(first.name, 'BatchTooLargeError')
      else if (this.#fits(first.count)) this.#enter(first.name, this.#waiting.shift()?.count ?? 0)
      else return
    }
  }

  leave(name: string, error: string): void {
    const place = this.#waiting.findIndex((each) => each.name === name)
    if (place < 0) return
    this.#waiting.splice(place, 1)
    this.outcomes.push(`${name}: ${error}`)
  }

  elapse(ms: number): void {
    this.#now += ms
    const late = this.#waiting.filter(({ until }) => until <= this.#now).toSorted((a, b) => a.until - b.until)
    for (const { name } of late) {
      this.leave(name, 'QueueFullError')
      this.serve()
    }
  }

  close(): void {
    this.closed = true
    for (const { name } of [...this.#waiting]) this.leave(name, 'ShuttingDownError')
  }

  #enter(name: string, count: number): void {
    if (!this.canWrite) return void this.outcomes.push(`${name}: OverloadedError`)
    this.reserved += count
    this.writing.push({ name, count })
    this.outcomes.push(name)
  }

  #fits(count: number): boolean {
    return this.queued + this.reserved + count <= this.limit
  }
}

/** The program's effect on the model, and on the real one, step by step. */
async function play(program: Op[]): Promise<void> {
  const model = new Model()
  const { clock, tenants, tenant, admission, store, outcomes, submit, written, leave } = start()
  const callers: AbortController[] = []
  /** The largest limit there was: a lower one takes nothing back. */
  let highest = model.limit
  for (const step of program) {
    if (step.op === 'submit') {
      const name = String(callers.length)
      const caller = new AbortController()
      callers.push(caller)
      model.submit(name, step.count, step.timeoutMs)
      await submit(name, step.count, { timeoutMs: step.timeoutMs, signal: caller.signal })
    } else if (step.op === 'written') {
      const [entered] = model.writing.splice(step.nth % (model.writing.length || 1), 1)
      if (entered === undefined) continue
      model.reserved -= entered.count
      const count = step.ok ? entered.count : 0
      model.queued += count
      model.serve()
      await written(entered.name, count)
    } else if (step.op === 'leave') {
      const count = Math.min(step.count, model.queued)
      model.queued -= count
      model.serve()
      await leave(count)
    } else if (step.op === 'hangUp') {
      if (callers.length === 0) continue
      const place = step.nth % callers.length
      model.leave(String(place), 'QueueFullError')
      model.serve()
      callers[place].abort()
      await turn()
    } else if (step.op === 'limit') {
      model.limit = step.limit
      highest = Math.max(highest, step.limit)
      model.serve()
      tenants.apply(tenant.id, { maxQueuedJobs: step.limit })
      admission.serve(tenant)
      await turn()
    } else if (step.op === 'disk') {
      model.canWrite = step.canWrite
      store.canWrite = step.canWrite
    } else if (step.op === 'elapse') {
      model.elapse(step.ms)
      await clock.elapse(step.ms)
    } else {
      model.close()
      admission.close()
      await turn()
    }
    expect([tenant.queued, tenant.reserved]).toEqual([model.queued, model.reserved])
    expect(tenant.reserved).toBeGreaterThanOrEqual(0)
    expect(tenant.queued + tenant.reserved).toBeLessThanOrEqual(highest)
    expect(outcomes).toEqual(model.outcomes)
  }
  // Whoever still waits is told in the end, and no timer is left.
  model.close()
  admission.close()
  await turn()
  expect(outcomes).toEqual(model.outcomes)
  expect(clock.armed).toBe(0)
}

describe('one that waits', () => {
  it('is not overtaken by a smaller one that would wait as well, but by one that would not', async () => {
    const { submit, outcomes, tenant } = start()
    tenant.queued = 8
    await submit('large', 5, { timeoutMs: 1_000 })
    await submit('small', 1, { timeoutMs: 1_000 })
    expect(outcomes).toEqual([])

    await submit('at once', 1, { timeoutMs: 0 })

    expect(outcomes).toEqual(['at once'])
  })
})

describe('whatever happens, in whatever order', () => {
  it('the places given are those that the rules give, and never more than there are', async () => {
    await fc.assert(fc.asyncProperty(fc.array(op, { maxLength: 40 }), play), { numRuns: 300 })
  })
})

import { describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import type { SubmitOptions } from '../../../src/engine/engine.ts'
import type { AwayAttempt } from '../../../src/engine/local/attempts.ts'
import { LocalEngine } from '../../../src/engine/local/engine.ts'
import { LiveIndex } from '../../../src/engine/local/live-index.ts'
import { TenantMovedError } from '../../../src/errors.ts'
import { defineKind } from '../../../src/jobs/custom.ts'
import { type CommonSpec, type JobKind, StopReason } from '../../../src/jobs/kind.ts'
import { Vault } from '../../../src/secrets/vault.ts'
import type { Store } from '../../../src/store/store.ts'
import { directStore } from '../../store/sqlite/direct-store.ts'
import { FakeClock, turn } from '../../support/fake-clock.ts'
import { DEFAULTS } from './live.ts'

const ACME = 'acme'

/** Engines that share a store, as replicas do; each says in `began` and `aborted` what it runs. */
class Shared implements AsyncDisposable {
  readonly clock = new FakeClock()
  readonly store = directStore(':memory:')
  readonly engines: LocalEngine[] = []
  /** Waited for before the store says what has not drained, or what a key was answered. */
  reading: Promise<void> = Promise.resolve()
  /** Called when a job ignores its abort: none does, unless a test says so. */
  onStuck = () => refuse()

  /** A further engine, with what it began and what it was told to stop. */
  join(beforeStart?: () => void) {
    const began: string[] = []
    const aborted: string[] = []
    const release = new Map<string, (() => void)[]>()
    const work = defineKind({
      name: 'work',
      spec: z.strictObject({}),
      run: ({ name = '' }, { signal }) =>
        new Promise((resolve, reject) => {
          began.push(name)
          release.set(name, [...(release.get(name) ?? []), () => resolve(name)])
          signal.addEventListener('abort', () => {
            aborted.push(name)
            if (!name.startsWith('deaf')) reject(signal.reason)
          })
        }),
    })
    const engine = new LocalEngine({
      vault: new Vault([Buffer.alloc(32, 'key')]),
      store: this.#slow(this.store),
      clock: this.clock,
      // As the table of kinds holds it.
      kinds: new Map([['work', work as JobKind]]),
      maxConcurrency: 100,
      hostConcurrency: 1,
      tenantDefaults: { ...DEFAULTS, maxConcurrency: 2 },
      retentionMs: 1_000,
      durable: true,
      beforeStart,
      events: { stuck: () => this.onStuck(), commitFailed: refuse, retentionFailed: refuse, secretUnreadable: refuse },
    })
    this.engines.push(engine)
    const finish = (name: string) => {
      for (const end of release.get(name) ?? []) end()
    }
    return { engine, began, aborted, finish }
  }

  async submit(engine: LocalEngine, names: string[], options: SubmitOptions = {}): Promise<string> {
    const batch = { name: null, labels: {}, timeoutMs: null, maxConcurrency: null, open: false, context: {} }
    const jobs = names.map((name) => ({ kind: 'work', name }) as CommonSpec)
    const whole = { ...batch, policy: 'all_settled' as const, n: null, hedgeDelayMs: null, jobs }
    const { id } = await engine.submit(ACME, whole, options)
    await settled()
    return id
  }

  async log(id: string): Promise<string[]> {
    const row = await this.store.batch(ACME, id)
    const { events } = await this.store.log(row?.no ?? 0, { after: 0, limit: 1_000, completionsOnly: false })
    return events.map(({ type, json }) => [type, JSON.parse(json).index ?? ''].join(' ').trim())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const engine of this.engines) await engine.shutdown()
    await this.store.close()
  }

  #slow(store: Store): Store {
    return new Proxy(store, {
      get: (target, name) => {
        const value = Reflect.get(target, name)
        if (name !== 'unfinished' && name !== 'idempotent')
          return typeof value === 'function' ? value.bind(target) : value
        return async (...args: unknown[]) => {
          const rows = await value.apply(target, args)
          await this.reading
          return rows
        }
      },
    })
  }
}

function refuse(): void {
  throw new Error('Nothing of the sort was to happen.')
}

async function settled(): Promise<void> {
  for (let nth = 0; nth < 12; nth++) await turn()
}

describe('a tenant that is handed over', () => {
  it('starts nothing more here, and goes on elsewhere with nothing lost', async () => {
    await using shared = new Shared()
    const [here, there] = [shared.join(), shared.join()]
    const id = await shared.submit(here.engine, ['a', 'b', 'c'])
    expect(here.began).toEqual(['a', 'b'])

    const handed = here.engine.tenancy.handOver(ACME, 1_000)
    here.finish('a')
    await settled()
    expect(here.began).toEqual(['a', 'b'])
    await shared.clock.elapse(1_000)
    expect([await handed, here.aborted]).toEqual([true, ['b']])
    expect(here.engine.tenancy.hasWork(ACME)).toBe(false)

    expect(await there.engine.tenancy.adopt(ACME)).toBe(1)
    await settled()
    expect(there.began.toSorted()).toEqual(['b', 'c'])
    there.finish('b')
    there.finish('c')
    await settled()

    const log = await shared.log(id)
    expect(log.filter((each) => each.startsWith('job.succeeded')).toSorted()).toEqual(
      [0, 1, 2].map((i) => `job.succeeded ${i}`),
    )
    expect(log.at(-1)).toBe('batch.drained')
    expect(here.began).toEqual(['a', 'b'])
  })

  it('has no work left when all of it ends in time, and waits no longer than for that', async () => {
    await using shared = new Shared()
    const here = shared.join()
    await shared.submit(here.engine, ['a'])

    const handed = here.engine.tenancy.handOver(ACME, 60_000)
    here.finish('a')
    await settled()

    expect([await handed, here.aborted]).toEqual([false, []])
  })

  it('starts nothing more whatever its settings become meanwhile, and goes on by them when it comes back', async () => {
    await using shared = new Shared()
    const here = shared.join()
    await shared.submit(here.engine, ['a', 'b', 'c'])

    const handed = here.engine.tenancy.handOver(ACME, 1_000)
    here.engine.applyTenant(ACME, { maxConcurrency: 3, paused: false })
    here.finish('a')
    await settled()
    expect(here.began).toEqual(['a', 'b'])
    here.finish('b')
    expect(await handed).toBe(true)

    await here.engine.tenancy.adopt(ACME)
    await settled()
    expect(here.began).toEqual(['a', 'b', 'c'])
  })

  it('and taken up again at once by the same engine is there once the rest of it before has left', async () => {
    await using shared = new Shared()
    const here = shared.join()
    const id = await shared.submit(here.engine, ['a'])

    await here.engine.tenancy.handOver(ACME, 0)
    await here.engine.tenancy.adopt(ACME)
    await settled()

    expect(here.engine.tenancy.hasWork(ACME)).toBe(true)
    expect(here.engine.tenant(ACME).usage).toMatchObject({ running: 1, batches: 1 })
    await here.engine.cancel(ACME, id, null)
    expect(here.aborted).toEqual(['a', 'a'])
  })

  it('keeps its settings for when it comes back', async () => {
    await using shared = new Shared()
    const here = shared.join()
    here.engine.applyTenant(ACME, { maxConcurrency: 1 })

    await here.engine.tenancy.handOver(ACME, 0)
    await here.engine.tenancy.adopt(ACME)
    await shared.submit(here.engine, ['a', 'b'])

    expect(here.began).toEqual(['a'])
  })
})

describe('a tenant that is lost', () => {
  it('is stopped at once, and nothing of it is written any more', async () => {
    await using shared = new Shared()
    const [here, there] = [shared.join(), shared.join()]
    const id = await shared.submit(here.engine, ['a', 'b', 'c'])
    const before = await shared.log(id)

    here.engine.tenancy.lose(ACME)
    expect(here.aborted).toEqual(['a', 'b'])
    await settled()

    expect([await shared.log(id), here.began]).toEqual([before, ['a', 'b']])
    await there.engine.tenancy.adopt(ACME)
    await settled()
    expect(there.began.toSorted()).toEqual(['a', 'b'])
  })

  it('is stopped, and asked for its work, without a look at the batches of others', async () => {
    await using shared = new Shared()
    const here = shared.join()
    await shared.submit(here.engine, ['a'])
    using all = vi.spyOn(LiveIndex.prototype, 'values')

    expect(here.engine.tenancy.hasWork(ACME)).toBe(true)
    here.engine.tenancy.lose(ACME)
    expect([here.aborted, here.engine.tenancy.hasWork(ACME)]).toEqual([['a'], false])
    await settled()

    expect(all).not.toHaveBeenCalled()
  })

  it('while it is taken up: nothing of it runs here', async () => {
    await using shared = new Shared()
    const [first, here] = [shared.join(), shared.join()]
    await shared.submit(first.engine, ['a', 'b'])
    first.engine.tenancy.lose(ACME)
    await settled()
    const reading = Promise.withResolvers<void>()
    shared.reading = reading.promise

    const adopting = here.engine.tenancy.adopt(ACME)
    await settled()
    here.engine.tenancy.lose(ACME)
    reading.resolve()

    await expect(adopting).rejects.toBeInstanceOf(TenantMovedError)
    await settled()
    expect([here.began, here.engine.tenancy.hasWork(ACME)]).toEqual([[], false])
  })

  it('before it is taken up: nothing of it runs here either', async () => {
    await using shared = new Shared()
    const [first, here] = [shared.join(), shared.join()]
    await shared.submit(first.engine, ['a', 'b'])
    first.engine.tenancy.lose(ACME)
    await settled()
    const announced = Promise.withResolvers<void>()

    const adopting = here.engine.tenancy.adopt(ACME, () => announced.promise)
    here.engine.tenancy.lose(ACME)
    announced.resolve()

    await expect(adopting).rejects.toBeInstanceOf(TenantMovedError)
    await settled()
    expect([here.began, here.engine.tenancy.hasWork(ACME)]).toEqual([[], false])
  })

  it('while it is looked whether a key was used: nothing is accepted, and nothing runs', async () => {
    await using shared = new Shared()
    const here = shared.join()
    const reading = Promise.withResolvers<void>()
    shared.reading = reading.promise

    const idempotency = { key: 'once', hash: 'h' }
    const submitting = shared.submit(here.engine, ['a'], { idempotency })
    here.engine.tenancy.lose(ACME)
    reading.resolve()

    await expect(submitting).rejects.toBeInstanceOf(TenantMovedError)
    await settled()
    expect([here.began, await shared.store.idempotent(ACME, 'once')]).toEqual([[], null])
  })

  it('and taken up again by the same engine runs once, with all its slots', async () => {
    await using shared = new Shared()
    const here = shared.join()
    const id = await shared.submit(here.engine, ['a', 'b', 'c'])

    here.engine.tenancy.lose(ACME)
    expect(await here.engine.tenancy.adopt(ACME)).toBe(1)
    await settled()
    expect(here.began.slice(2).toSorted()).toEqual(['a', 'b'])
    for (const name of ['a', 'b']) here.finish(name)
    await settled()
    here.finish('c')
    await settled()

    const log = await shared.log(id)
    expect(log.filter((each) => each.startsWith('job.succeeded'))).toHaveLength(3)
    expect(log.at(-1)).toBe('batch.drained')
  })

  it.each([1, 2])(
    'and taken up again by the same engine, lost %d times: starts nothing before the last attempt has stopped',
    async (times) => {
      await using shared = new Shared()
      const here = shared.join()
      await shared.submit(here.engine, ['deaf', 'b'])

      for (let nth = 0; nth < times; nth++) here.engine.tenancy.lose(ACME)
      const adopted = here.engine.tenancy.adopt(ACME)
      await settled()
      await shared.clock.elapse(4_999)
      expect(here.began).toEqual(['deaf', 'b'])

      here.finish('deaf')
      expect(await adopted).toBe(1)
      await settled()
      expect(here.began.slice(2).toSorted()).toEqual(['b', 'deaf'])
      for (const name of ['deaf', 'b']) here.finish(name)
      await settled()
    },
  )

  it('and taken up again waits no longer than a job may take to stop', async () => {
    await using shared = new Shared()
    let stuck = 0
    shared.onStuck = () => void stuck++
    const here = shared.join()
    await shared.submit(here.engine, ['deaf'])

    here.engine.tenancy.lose(ACME)
    const adopted = here.engine.tenancy.adopt(ACME)
    await shared.clock.elapse(5_000)

    expect(await adopted).toBe(1)
    await settled()
    expect([here.began, stuck]).toEqual([['deaf', 'deaf'], 1])
    here.finish('deaf')
    await settled()
  })
})

describe('an attempt of another engine', () => {
  it('is not begun here by who has lost the right to it while its spec was read', async () => {
    await using shared = new Shared()
    const stop = new AbortController()
    const here = shared.join(() => stop.abort(new StopReason('shutdown')))
    const id = await shared.submit(shared.join().engine, ['a'])
    const no = (await shared.store.batch(ACME, id))?.no ?? 0
    const facts = { startedAt: 0, queuedMs: 0, tenantId: ACME, batchId: id, index: 0, attempt: 1, context: {} }
    const away: AwayAttempt = { ...facts, no, onRestart: 'retry', traceparent: undefined }

    const end = await here.engine.exchange.attempt(away, { signal: stop.signal, onRecorded: () => undefined })

    expect([end, here.began]).toEqual([{ type: 'unwound' }, []])
  })
})

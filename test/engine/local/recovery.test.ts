import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { BatchSubmission } from '../../../src/engine/engine.ts'
import { LocalEngine } from '../../../src/engine/local/engine.ts'
import { defineKind } from '../../../src/jobs/custom.ts'
import type { CommonSpec, JobKind } from '../../../src/jobs/kind.ts'
import { Vault } from '../../../src/secrets/vault.ts'
import type { Store } from '../../../src/store/store.ts'
import { directStore } from '../../store/sqlite/direct-store.ts'
import { FakeClock, turn } from '../../support/fake-clock.ts'
import { DEFAULTS } from './live.ts'

const ACME = 'acme'
const VAULT = new Vault([Buffer.alloc(32, 'key')])

/** Engines on one store, one after the other; each ends without another word to it. */
class Lives implements AsyncDisposable {
  /** Names of jobs in the order in which their work began, in this life. */
  began: string[] = []
  readonly #store = directStore(':memory:')
  #clock = new FakeClock()
  readonly #kinds: JobKind[]
  #dead = { value: false }
  #engine: LocalEngine | null = null

  constructor() {
    const begin = (name: string) => this.began.push(name)
    const work = defineKind({
      name: 'work',
      spec: z.strictObject({ quick: z.boolean().optional() }),
      run: async ({ quick, name = '' }, { signal }) => {
        begin(name)
        if (!quick) await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        return name
      },
    })
    // As the table of kinds holds it.
    this.#kinds = [work as JobKind]
  }

  get engine(): LocalEngine {
    if (this.#engine === null) throw new Error('Nothing lives.')
    return this.#engine
  }

  /** Somebody sets the clock of the machine; the next process goes by it. */
  setClock(now: number): void {
    this.#clock = new FakeClock({ now })
  }

  /** The process dies, and another starts; resolves with how many batches it takes up. */
  async restart({ maxConcurrency = 4, kinds = this.#kinds } = {}): Promise<number> {
    this.#dead.value = true
    const dead = { value: false }
    this.#dead = dead
    this.began = []
    this.#engine = new LocalEngine({
      vault: VAULT,
      store: mortal(this.#store, dead),
      clock: this.#clock,
      kinds: new Map(kinds.map((kind) => [kind.name, kind])),
      maxConcurrency: 100,
      hostConcurrency: 0,
      tenantDefaults: { ...DEFAULTS, maxConcurrency },
      retentionMs: 1_000,
      durable: true,
      events: { stuck: refuse, commitFailed: refuse, retentionFailed: refuse, secretUnreadable: refuse },
    })
    return await this.#engine.start()
  }

  async submit(jobs: Record<string, unknown>[], more: Partial<BatchSubmission> = {}): Promise<string> {
    const batch = { name: null, labels: {}, timeoutMs: null, maxConcurrency: null, open: false, context: {} }
    const specs = jobs.map((job) => ({ kind: 'work', ...job }) as CommonSpec)
    const view = await this.engine.submit(ACME, {
      ...batch,
      policy: 'all_settled',
      n: null,
      hedgeDelayMs: null,
      jobs: specs,
      ...more,
    })
    await settled()
    return view.id
  }

  async log(id: string): Promise<string[]> {
    const row = await this.#store.batch(ACME, id)
    const { events } = await this.#store.log(row?.no ?? 0, { after: 0, limit: 1_000, completionsOnly: false })
    return events.map(({ type, json }) => [type, JSON.parse(json).index ?? ''].join(' ').trim())
  }

  async cancel(name: string, id: string): Promise<void> {
    const jobs = await this.engine.jobs(ACME, id, { order: 'input', limit: 100 })
    const job = jobs.data.map((text) => JSON.parse(text)).find((each) => each.name === name)
    await this.engine.cancelJob(ACME, job.id, null)
    await settled()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine?.shutdown()
    await this.#store.close()
  }
}

/** A store as one process sees it: when that is dead, nothing it says arrives. */
function mortal(store: Store, dead: { value: boolean }): Store {
  return new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => (dead.value ? new Promise(() => undefined) : value(...args))
    },
  })
}

function refuse(): never {
  throw new Error('Nothing of the sort was to happen.')
}

/** Commits and what follows from them need a few turns. */
async function settled(): Promise<void> {
  for (let nth = 0; nth < 10; nth++) await turn()
}

describe('a recovery', () => {
  it('starts what was in flight in any batch before what was queued in any other', async () => {
    await using lives = new Lives()
    await lives.restart()
    const first = await lives.submit([{ name: 'a0' }, { name: 'a1' }, { name: 'a2' }], { maxConcurrency: 1 })
    const second = await lives.submit([
      { name: 'b0', priority: -9 },
      { name: 'b1', delayMs: 60_000 },
    ])
    expect(lives.began).toEqual(['a0', 'b0'])

    const count = await lives.restart({ maxConcurrency: 1 })
    await settled()
    const atOnce = [...lives.began]
    await lives.cancel('a0', first)
    await lives.cancel('b0', second)

    expect(count).toBe(2)
    expect(atOnce).toEqual(['a0'])
    expect(lives.began).toEqual(['a0', 'b0', 'a1'])
  })

  it('keeps the order of batches when the clock was set back between two processes', async () => {
    await using lives = new Lives()
    await lives.restart({ maxConcurrency: 0 })
    await lives.submit([{ name: 'first', quick: true }])
    lives.setClock(Date.UTC(2025, 11, 31))
    await lives.restart({ maxConcurrency: 0 })
    await lives.submit([{ name: 'second', quick: true }])

    await lives.restart({ maxConcurrency: 1 })
    await settled()

    expect(lives.began).toEqual(['first', 'second'])
  })

  it('that is cut off after it was written is not written again', async () => {
    await using lives = new Lives()
    await lives.restart()
    const id = await lives.submit([{ name: 'a' }, { name: 'b', onRestart: 'fail' }])

    await lives.restart({ maxConcurrency: 0 })
    await settled()
    const once = await lives.log(id)
    await lives.restart({ maxConcurrency: 0 })
    await settled()

    expect(once.slice(5)).toEqual(['job.queued 0', 'job.failed 1'])
    expect(await lives.log(id)).toEqual(once)
  })

  it('that is cut off before it was written is made anew', async () => {
    await using lives = new Lives()
    await lives.restart()
    const id = await lives.submit([{ name: 'a' }])

    await lives.restart()
    await lives.restart()
    await settled()

    expect(await lives.log(id)).toEqual([
      'batch.accepted',
      'job.queued 0',
      'job.started 0',
      'job.queued 0',
      'job.started 0',
    ])
    expect(lives.began).toEqual(['a'])
  })

  it('leaves drained batches alone and counts the others', async () => {
    await using lives = new Lives()
    await lives.restart()
    const drained = await lives.submit([{ name: 'a', quick: true }])
    await lives.submit([{ name: 'b' }])
    const before = await lives.log(drained)

    const count = await lives.restart()
    await settled()

    expect(before.at(-1)).toBe('batch.drained')
    expect(count).toBe(1)
    expect(await lives.log(drained)).toEqual(before)
    expect(lives.began).toEqual(['b'])
  })

  it('fails what was running of a kind that is not loaded any more, and so does the start of what was queued', async () => {
    await using lives = new Lives()
    await lives.restart({ maxConcurrency: 1 })
    const id = await lives.submit([{ name: 'a' }, { name: 'b' }])

    await lives.restart({ kinds: [] })
    await settled()

    const { data } = await lives.engine.jobs(ACME, id, { order: 'input', limit: 10 })
    expect(data.map((text) => JSON.parse(text)).map(({ state, error }) => [state, error.code])).toEqual([
      ['failed', 'interrupted'],
      ['failed', 'kind_error'],
    ])
  })

  it('gives back the places in the queue and the number of the newest batch', async () => {
    await using lives = new Lives()
    await lives.restart({ maxConcurrency: 1 })
    await lives.submit([{ name: 'a' }, { name: 'b' }, { name: 'c' }])

    await lives.restart({ maxConcurrency: 1 })
    await settled()
    await lives.submit([{ name: 'd', quick: true }])

    expect(lives.engine.tenant(ACME).usage).toMatchObject({ queued: 3, running: 1 })
    expect((await lives.engine.batches(ACME, { labels: {}, limit: 5 })).data).toHaveLength(2)
  })
})

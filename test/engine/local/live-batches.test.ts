import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { BatchSubmission } from '../../../src/engine/engine.ts'
import { LIVE_HEADER_CHARS } from '../../../src/engine/local/admission.ts'
import { LocalEngine } from '../../../src/engine/local/engine.ts'
import { headerOf } from '../../../src/engine/views.ts'
import { defineKind } from '../../../src/jobs/custom.ts'
import { Vault } from '../../../src/secrets/vault.ts'
import { directStore } from '../../store/sqlite/direct-store.ts'
import { FakeClock, turn } from '../../support/fake-clock.ts'
import { DEFAULTS, HEADER } from './live.ts'

/** An open batch without jobs. */
const OPEN: BatchSubmission = { ...HEADER, open: true, jobs: [], labels: { a: 'x'.repeat(200) } }
const CHARS = JSON.stringify(headerOf(OPEN)).length

/** Engines on one store; tenant `acme` may have three batches. */
function start() {
  const store = directStore(':memory:')
  const refuse = () => {
    throw new Error('Nothing is to go wrong here.')
  }
  const work = defineKind({ name: 'work', spec: z.strictObject({}), run: async () => null })
  const engines: LocalEngine[] = []
  const open = () => {
    const engine = new LocalEngine({
      vault: new Vault([Buffer.alloc(32, 'key')]),
      store,
      clock: new FakeClock(),
      kinds: new Map([['work', work]]),
      maxConcurrency: 4,
      hostConcurrency: 0,
      tenantDefaults: { ...DEFAULTS, maxLiveBatches: 3 },
      retentionMs: 1_000,
      durable: true,
      events: { stuck: refuse, commitFailed: refuse, retentionFailed: refuse, secretUnreadable: refuse },
    })
    engines.push(engine)
    return engine
  }
  const close = async () => {
    for (const engine of engines) await engine.shutdown()
    await store.close()
  }
  return { open, [Symbol.asyncDispose]: close }
}

const batchesOf = (engine: LocalEngine) => engine.tenant('acme').usage.batches

/** Batches come until one is refused; how many were taken. */
async function fill(engine: LocalEngine): Promise<number> {
  for (let taken = 0; ; taken++) {
    const isRefused = await engine.submit('acme', OPEN).then(
      () => false,
      ({ code }) => code === 'queue_full',
    )
    if (isRefused) return taken
  }
}

describe('the batches of a tenant that have not drained', () => {
  it('are counted until they drain', async () => {
    await using world = start()
    const engine = world.open()
    const { id } = await engine.submit('acme', OPEN)
    expect([await fill(engine), batchesOf(engine)]).toEqual([2, 3])

    await engine.close('acme', id)
    await turn()

    expect([batchesOf(engine), await fill(engine)]).toEqual([2, 1])
  })

  it('are not counted when they drain as they enter', async () => {
    await using world = start()
    const engine = world.open()

    for (let i = 0; i < 5; i++) await engine.submit('acme', { ...OPEN, open: false })
    await turn()

    expect(batchesOf(engine)).toBe(0)
    expect(await fill(engine)).toBe(3)
  })

  it('have headers that count from when they enter until they drain', async () => {
    await using world = start()
    const engine = world.open()
    const large = { ...OPEN, context: { note: 'x'.repeat(LIVE_HEADER_CHARS / 2) } }
    const { id } = await engine.submit('acme', large)

    await expect(engine.submit('acme', large)).rejects.toMatchObject({ code: 'queue_full' })
    await engine.close('acme', id)
    await turn()

    await expect(engine.submit('acme', large)).resolves.toMatchObject({ state: 'running' })
  })

  it('are as many after a restart, with as much in their headers', async () => {
    await using world = start()
    const first = world.open()
    await fill(first)
    await first.drain(0)

    const second = world.open()
    await second.start()

    expect([batchesOf(second), await fill(second)]).toEqual([3, 0])
    const { data } = await second.batches('acme', { labels: {}, limit: 10 })
    await second.cancel('acme', data[0].id, null)
    await turn()
    expect([batchesOf(second), await fill(second)]).toEqual([2, 1])
  })

  it('are none of a new tenant under the name of a deleted one', async () => {
    await using world = start()
    const engine = world.open()
    await fill(engine)

    await engine.deleteTenant('acme')

    expect(batchesOf(engine)).toBe(0)
    expect(await fill(engine)).toBe(3)
    await turn()
    expect(batchesOf(engine)).toBe(3)
  })

  it('go with their tenant to another engine, and come back with it', async () => {
    await using world = start()
    const [one, other] = [world.open(), world.open()]
    await fill(one)

    expect(await one.tenancy.handOver('acme', 0)).toBe(true)
    await turn()
    expect(batchesOf(one)).toBe(0)
    expect(await other.tenancy.adopt('acme')).toBe(3)
    expect([batchesOf(other), await fill(other)]).toEqual([3, 0])
    other.tenancy.lose('acme')
    await turn()
    await one.tenancy.adopt('acme')

    expect([batchesOf(other), batchesOf(one), await fill(one)]).toEqual([0, 3, 0])
  })

  it('have headers that count as they are on disk', async () => {
    await using world = start()
    const engine = world.open()
    const before = engine.tenant('acme').usage.storedBytes
    await engine.submit('acme', OPEN)

    expect(engine.tenant('acme').usage.storedBytes - before).toBeGreaterThan(CHARS)
  })
})

import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { LocalEngine } from '../../../src/engine/local/engine.ts'
import { defineKind } from '../../../src/jobs/custom.ts'
import type { CommonSpec, JobKind } from '../../../src/jobs/kind.ts'
import { Vault } from '../../../src/secrets/vault.ts'
import { directStore } from '../../store/sqlite/direct-store.ts'
import { FakeClock, turn } from '../../support/fake-clock.ts'
import { DEFAULTS } from './live.ts'

/** An engine whose jobs do not listen to their signal, and what lets them go. */
function withDeafJobs() {
  const clock = new FakeClock()
  const letGo = Promise.withResolvers<void>()
  const deaf = defineKind({ name: 'deaf', spec: z.strictObject({}), run: () => letGo.promise.then(() => null) })
  const refuse = () => {
    throw new Error('Nothing of the sort was to happen.')
  }
  const engine = new LocalEngine({
    vault: new Vault([Buffer.alloc(32, 'key')]),
    store: directStore(':memory:'),
    clock,
    kinds: new Map([['deaf', deaf as JobKind]]), // As the table of kinds holds it.
    maxConcurrency: 8,
    hostConcurrency: 0,
    tenantDefaults: DEFAULTS,
    retentionMs: 1_000,
    durable: false,
    events: { stuck: () => undefined, commitFailed: refuse, retentionFailed: refuse, secretUnreadable: refuse },
  })
  const submit = async (jobs: number) => {
    const batch = { name: null, labels: {}, timeoutMs: null, maxConcurrency: null, open: false, context: {} }
    const specs = Array.from({ length: jobs }, () => ({ kind: 'deaf' }) as CommonSpec)
    const whole = { ...batch, policy: 'all_settled' as const, n: null, hedgeDelayMs: null, jobs: specs }
    const { id } = await engine.submit('acme', whole)
    await settled()
    return id
  }
  return { engine, clock, submit, letGo: letGo.resolve }
}

async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await turn()
}

describe('jobs that ignore their abort', () => {
  it('are counted until they let go', async () => {
    const { engine, clock, submit, letGo } = withDeafJobs()
    const id = await submit(2)
    await engine.cancel('acme', id, null)
    clock.advance(4_999)
    const before = engine.census().stuck
    clock.advance(1)
    const after = engine.census().stuck
    letGo()
    await settled()

    expect([before, after, engine.census().stuck, engine.counts.stuckEver]).toEqual([0, 2, 0, 2])
    await engine.shutdown()
  })

  it('are counted of a deleted tenant as well, for they keep their slots', async () => {
    const { engine, clock, submit, letGo } = withDeafJobs()
    await submit(3)
    await engine.deleteTenant('acme')
    clock.advance(5_000)
    await settled()
    const { stuck, slots } = engine.census()
    letGo()
    await settled()

    expect([stuck, slots.used]).toEqual([3, 3])
    expect([engine.census().stuck, engine.census().slots.used]).toEqual([0, 0])
    await engine.shutdown()
  })

  it('are counted of a tenant that is another engine’s now', async () => {
    const { engine, clock, submit, letGo } = withDeafJobs()
    await submit(1)
    engine.tenancy.lose('acme')
    clock.advance(5_000)
    await settled()

    expect(engine.census().stuck).toBe(1)
    letGo()
    await settled()
    expect(engine.census().stuck).toBe(0)
    await engine.shutdown()
  })
})

import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { BatchSubmission, TenantSettings } from '../../../src/engine/engine.ts'
import { LocalEngine } from '../../../src/engine/local/engine.ts'
import type { LocalEngineOptions } from '../../../src/engine/local/options.ts'
import { OverloadedError } from '../../../src/errors.ts'
import type { CommonSpec, JobKind } from '../../../src/jobs/kind.ts'
import { Vault } from '../../../src/secrets/vault.ts'
import { directStore } from '../../store/sqlite/direct-store.ts'
import { FakeClock, turn } from '../../support/fake-clock.ts'
import { DEFAULTS } from './live.ts'

/** An engine that notes what it tells of tenants. */
function startEngine({
  kinds = [],
  ...own
}: { kinds?: JobKind[] } & Pick<Partial<LocalEngineOptions>, 'onTenant' | 'onTenantDeleted' | 'events'> = {}) {
  const told: [id: string, settings: TenantSettings][] = []
  const deleted: string[] = []
  const store = directStore(':memory:')
  const engine = new LocalEngine({
    vault: new Vault([Buffer.alloc(32, 'key')]),
    store,
    clock: new FakeClock(),
    kinds: new Map(kinds.map((kind) => [kind.name, kind])),
    maxConcurrency: 100,
    hostConcurrency: 0,
    tenantDefaults: DEFAULTS,
    retentionMs: 1_000,
    durable: true,
    onTenant: (id, settings) => told.push([id, settings]),
    onTenantDeleted: (id) => deleted.push(id),
    events: { stuck: refuse, commitFailed: refuse, retentionFailed: refuse, secretUnreadable: refuse },
    ...own,
  })
  const close = async () => {
    await engine.shutdown()
    await store.close()
  }
  return { engine, store, told, deleted, [Symbol.asyncDispose]: close }
}

function batchOf(jobs: CommonSpec[]): BatchSubmission {
  const none = { name: null, labels: {}, timeoutMs: null, maxConcurrency: null, open: false, context: {} }
  return { policy: 'all_settled', ...none, n: null, hedgeDelayMs: null, jobs }
}

function refuse(): never {
  throw new Error('Nothing is to go wrong here.')
}

const EGRESS = { egress: { deny: ['192.0.2.1'] } }

describe('onTenant', () => {
  it("is told of a tenant's settings, each time that they are applied", async () => {
    await using world = startEngine()

    world.engine.applyTenant('acme', EGRESS)
    world.engine.applyTenant('acme', {})

    expect(world.told).toEqual([
      ['acme', EGRESS],
      ['acme', {}],
    ])
  })

  it('is told before they act, and what it refuses is not applied', async () => {
    await using world = startEngine({
      onTenant: () => {
        throw new RangeError('no such entry')
      },
    })

    expect(() => world.engine.applyTenant('acme', { maxConcurrency: 9 })).toThrow(RangeError)

    expect(world.engine.tenant('acme').limits.maxConcurrency).toBe(DEFAULTS.maxConcurrency)
  })

  it('keeps what a new tenant of the same name was given meanwhile', async () => {
    await using world = startEngine()
    const { engine, told } = world
    engine.applyTenant('acme', {})

    await engine.deleteTenant('acme')
    engine.applyTenant('acme', EGRESS)
    await turn()
    await turn()

    expect(told.at(-1)).toEqual(['acme', EGRESS])
  })
})

describe('onTenantDeleted', () => {
  it('is told when every attempt was told to stop, also one that ignores it, and before the name is free', async () => {
    const deaf = Promise.withResolvers<null>()
    const signals: AbortSignal[] = []
    const kind: JobKind = {
      name: 'deaf',
      spec: z.strictObject({}),
      run: (_spec, { signal }) => {
        signals.push(signal)
        return deaf.promise
      },
    }
    const seen: boolean[][] = []
    await using world = startEngine({
      kinds: [kind],
      onTenantDeleted: () => seen.push(signals.map(({ aborted }) => aborted)),
    })
    const { engine } = world
    await engine.submit('acme', batchOf([{ kind: 'deaf' }, { kind: 'deaf' }]))
    while (signals.length < 2) await turn()

    await engine.deleteTenant('acme')

    expect(seen).toEqual([[true, true]])
    deaf.resolve(null)
  })

  it('is not told when nothing could be deleted', async () => {
    const noop = () => undefined
    const events = { stuck: noop, commitFailed: noop, retentionFailed: noop, secretUnreadable: noop }
    await using world = startEngine({ events })
    const { engine, store, deleted } = world
    engine.applyTenant('acme', {})
    await store.close()

    await expect(engine.deleteTenant('acme')).rejects.toThrow(OverloadedError)
    expect(deleted).toEqual([])
  })

  it('is told of that tenant, once', async () => {
    await using world = startEngine()
    const { engine, deleted } = world
    engine.applyTenant('acme', {})
    engine.applyTenant('other', {})

    await engine.deleteTenant('acme')
    await turn()
    await turn()

    expect(deleted).toEqual(['acme'])
  })
})

describe('a look at a tenant', () => {
  it('does not bring it back when it was deleted', async () => {
    await using world = startEngine()
    const { engine } = world
    engine.applyTenant('acme', { maxConcurrency: 9, paused: true })
    await engine.deleteTenant('acme')

    expect(engine.tenant('acme')).toEqual({
      id: 'acme',
      limits: DEFAULTS,
      paused: false,
      usage: { queued: 0, running: 0, cancelling: 0, stuck: 0, batches: 0, storedBytes: 0 },
    })
  })
})

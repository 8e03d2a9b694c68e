import { describe, expect, it } from 'vitest'
import type { TenantSettings } from '../../../src/engine/engine.ts'
import { LocalEngine } from '../../../src/engine/local/engine.ts'
import { Vault } from '../../../src/secrets/vault.ts'
import { directStore } from '../../store/sqlite/direct-store.ts'
import { FakeClock, turn } from '../../support/fake-clock.ts'
import { DEFAULTS } from './live.ts'

/** An engine that notes what it tells of tenants. */
function startEngine(onTenant?: (id: string, settings: TenantSettings) => void) {
  const told: [id: string, settings: TenantSettings][] = []
  const store = directStore(':memory:')
  const engine = new LocalEngine({
    vault: new Vault([Buffer.alloc(32, 'key')]),
    store,
    clock: new FakeClock(),
    kinds: new Map(),
    maxConcurrency: 100,
    hostConcurrency: 0,
    tenantDefaults: DEFAULTS,
    retentionMs: 1_000,
    durable: true,
    onTenant: onTenant ?? ((id, settings) => told.push([id, settings])),
    events: { stuck: refuse, commitFailed: refuse, retentionFailed: refuse, secretUnreadable: refuse },
  })
  const close = async () => {
    await engine.shutdown()
    await store.close()
  }
  return { engine, store, told, [Symbol.asyncDispose]: close }
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
    await using world = startEngine(() => {
      throw new RangeError('no such entry')
    })

    expect(() => world.engine.applyTenant('acme', { maxConcurrency: 9 })).toThrow(RangeError)

    expect(world.engine.tenant('acme').limits.maxConcurrency).toBe(DEFAULTS.maxConcurrency)
  })

  it('is told of a deleted tenant once its work was told to stop, not before', async () => {
    await using world = startEngine()
    const { engine, told } = world
    engine.applyTenant('acme', EGRESS)

    await engine.deleteTenant('acme')
    const atOnce = told.length
    await turn()
    await turn()

    expect(atOnce).toBe(1)
    expect(told.slice(1)).toEqual([['acme', {}]])
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
      usage: { queued: 0, running: 0, cancelling: 0, stuck: 0, storedBytes: 0 },
    })
  })
})

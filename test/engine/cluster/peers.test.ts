import type { Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'
import type { Bus } from '../../../src/engine/cluster/bus.ts'
import { BusLostError, BusTimeoutError, NoReplicaError, RemoteError } from '../../../src/engine/cluster/errors.ts'
import { BusPeers } from '../../../src/engine/cluster/peers.ts'
import { UnreachableError } from '../../../src/engine/cluster/router.ts'
import { NotFoundError, TenantMovedError } from '../../../src/errors.ts'
import { FakeClock, turn } from '../../support/fake-clock.ts'

/** Peers over a bus whose call ends as the test says; `listening` is what Redis says of the replica that is asked. */
function world(call: (signal: AbortSignal) => Promise<unknown>) {
  const clock = new FakeClock()
  const moved: string[] = []
  const state = { listening: 1, looked: 0, away: false }
  const redis = {
    async pubsub() {
      state.looked++
      if (state.away) throw new Error('Connection is closed.')
      return ['channel', state.listening]
    },
  } as unknown as Redis
  const bus = {
    call: (_id: string, _method: string, _args: unknown, { signal }: { signal: AbortSignal }) => call(signal),
  } as unknown as Bus
  const peers = new BusPeers({ bus, redis, clock, onMoved: (tenantId) => moved.push(tenantId) })
  const ask = (signal?: AbortSignal) => peers.ask('r2', 'cancel', ['a', 'b', null], { timeoutMs: 8_000, signal })
  return { clock, moved, state, ask }
}

/** A call that nobody answers: it ends when it is given up. */
const unanswered = (signal: AbortSignal) =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

describe('BusPeers.ask', () => {
  it.each([
    [new TenantMovedError(), TenantMovedError, ['a']],
    [new NoReplicaError(), TenantMovedError, ['a']],
    [new BusTimeoutError(5), UnreachableError, []],
    [new BusLostError(), UnreachableError, []],
    [new NotFoundError(), NotFoundError, []],
    [new RemoteError(), RemoteError, []],
  ])('says what %s means', async (error, meaning, told) => {
    const { clock, moved, ask } = world(() => Promise.reject(error))

    await expect(ask()).rejects.toBeInstanceOf(meaning)

    expect([moved, clock.armed]).toEqual([told, 0])
  })

  it('looks now and then whether the replica is there, and waits no longer than until it is gone', async () => {
    const reasons: unknown[] = []
    const { clock, state, ask } = world((signal) => {
      signal.addEventListener('abort', () => reasons.push(signal.reason))
      return unanswered(signal)
    })
    const asked = ask()
    const failed = expect(asked).rejects.toBeInstanceOf(UnreachableError)

    await clock.elapse(1_200)
    expect(state.looked).toBe(3)
    state.listening = 0
    await clock.elapse(400)

    await failed
    // What the bus counts as a call without an answer.
    expect(reasons).toEqual([expect.any(BusLostError)])
    expect([state.looked, clock.armed]).toEqual([4, 0])
  })

  it('does not take a Redis that is away for a replica that is gone', async () => {
    const { clock, state, ask } = world(unanswered)
    const gone = new AbortController()
    let over = false
    const asked = ask(gone.signal).catch(() => {
      over = true
    })
    state.away = true

    await clock.elapse(4_000)
    expect([over, state.looked]).toEqual([false, 10])
    gone.abort(new Error('the caller has gone'))
    await asked
    await turn()

    expect(clock.armed).toBe(0)
  })
})

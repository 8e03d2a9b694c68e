import { describe, expect, it } from 'vitest'
import type { Holdings } from '../../../src/engine/cluster/holdings.ts'
import { type OwnersEngine, type Peers, Router, UnreachableError } from '../../../src/engine/cluster/router.ts'
import type { BatchSubmission } from '../../../src/engine/engine.ts'
import { NotFoundError, OverloadedError, ShuttingDownError, TenantMovedError } from '../../../src/errors.ts'
import { StoreError } from '../../../src/store/error.ts'
import { FakeClock } from '../../support/fake-clock.ts'

type Taken = 'mine' | { owner: string } | Error

/** A router between a script of holders, an engine here and answers from elsewhere; each list repeats its last entry. */
function world({ taken, answers = [] }: { taken: Taken[]; answers?: unknown[] }) {
  const clock = new FakeClock()
  const said: unknown[][] = []
  const state = { accepting: true, holds: true, away: false }
  const next = <T>(list: T[]): T => (list.length > 1 ? list.shift() : list[0]) as T
  const given = (value: unknown) => (value instanceof Error ? Promise.reject(value) : Promise.resolve(value))
  const local = new Proxy({} as OwnersEngine, {
    get:
      (_, method) =>
      async (...args: unknown[]) => {
        said.push(['here', method, ...args])
        return 'here'
      },
  })
  const peers: Peers = {
    ask(replicaId, method, args, { timeoutMs }) {
      said.push([replicaId, method, ...args, timeoutMs])
      return given(next(answers))
    },
  }
  // As much of them as is used.
  const holdings = {
    take: () => given(next(taken)),
    holds: () => state.holds,
    async regain(tenantId: string) {
      said.push(['regain', tenantId])
      if (state.away) throw new StoreError('away')
    },
  } as Partial<Holdings> as Holdings
  const accepting = () => state.accepting
  const router = new Router({ local, peers, holdings, clock, patienceMs: 5_000, accepting })
  return { clock, said, state, router }
}

/** What came of a promise, if anything has. */
function outcome(promise: Promise<unknown>): { of?: unknown } {
  const seen: { of?: unknown } = {}
  promise.then(
    (value) => {
      seen.of = value
    },
    (error: unknown) => {
      seen.of = error
    },
  )
  return seen
}

const SUBMISSION = { jobs: [] } as unknown as BatchSubmission

describe('Router.ask', () => {
  it('does it here for what is ours, and asks its owner for the rest', async () => {
    const { said, router } = world({ taken: ['mine', { owner: 'r2' }], answers: ['there'] })

    expect(await router.ask('cancel', 'a', ['b', null])).toBe('here')
    expect(await router.ask('cancel', 'a', ['b', null])).toBe('there')

    expect(said).toEqual([
      ['here', 'cancel', 'a', 'b', null],
      ['r2', 'cancel', 'a', 'b', null, 8_000],
    ])
  })

  it('asks again while a tenant moves, with pauses that grow', async () => {
    const { clock, said, router } = world({
      taken: [{ owner: 'r2' }, { owner: 'r2' }, new TenantMovedError(), 'mine'],
      answers: [new TenantMovedError()],
    })

    const asked = router.ask('submit', 'a', [SUBMISSION, {}])
    await clock.elapse(20)
    expect(said).toHaveLength(2)
    await clock.elapse(40)
    await clock.elapse(79)
    expect(said).toHaveLength(2)
    await clock.elapse(1)

    expect(await asked).toBe('here')
  })

  it.each([
    'close',
    'stop',
    'cancel',
    'cancelJob',
    'reschedule',
    'job',
    'jobs',
    'inspect',
    'deleteTenant',
    'forecast',
  ] as const)('asks %s again when nobody knows whether it was done', async (method) => {
    const { clock, router } = world({ taken: [{ owner: 'r2' }, 'mine'], answers: [new UnreachableError('gone')] })

    // The arguments are nobody's business here.
    const asked = router.ask(method, 'a', [] as never)
    await clock.elapse(20)

    expect(await asked).toBe('here')
  })

  it.each(['submit', 'append'] as const)('leaves %s to whoever knows how to find out', async (method) => {
    const { router } = world({ taken: [{ owner: 'r2' }, 'mine'], answers: [new UnreachableError('gone')] })

    await expect(router.ask(method, 'a', [] as never)).rejects.toBeInstanceOf(UnreachableError)
  })

  it('passes on what its owner says of the request', async () => {
    const { router } = world({ taken: [{ owner: 'r2' }], answers: [new NotFoundError()] })

    await expect(router.ask('cancel', 'a', ['b', null])).rejects.toBeInstanceOf(NotFoundError)
  })

  it('tells the caller when nobody owns the tenant for too long, and not before', async () => {
    const { clock, router } = world({ taken: [new TenantMovedError()] })
    const seen = outcome(router.ask('cancel', 'a', ['b', null]))

    await clock.elapse(4_500)
    expect(seen.of).toBeUndefined()
    await clock.elapse(500)

    expect(seen.of).toBeInstanceOf(OverloadedError)
  })

  it('waits for room as long as the caller does, beside its own patience', async () => {
    const { clock, said, router } = world({ taken: [{ owner: 'r2' }], answers: [new TenantMovedError()] })
    const seen = outcome(router.ask('submit', 'a', [SUBMISSION, {}], { timeoutMs: 20_000 }))

    await clock.elapse(24_000)
    expect([seen.of, said[0].at(-1)]).toEqual([undefined, 28_000])
    await clock.elapse(1_000)

    expect(seen.of).toBeInstanceOf(OverloadedError)
  })

  it('gives up when the caller has', async () => {
    const { clock, said, router } = world({ taken: [new TenantMovedError()] })
    const gone = new AbortController()
    const seen = outcome(router.ask('submit', 'a', [SUBMISSION, {}], { signal: gone.signal }))

    gone.abort()
    await clock.elapse(20)

    expect([seen.of, said]).toEqual([expect.any(TenantMovedError), []])
  })

  it('takes nothing new once it stops, and looks for the next owner for a while only', async () => {
    const { clock, state, router } = world({ taken: [new TenantMovedError()] })
    const submitted = outcome(router.ask('submit', 'a', [SUBMISSION, {}]))
    const cancelled = outcome(router.ask('cancel', 'a', ['b', null]))
    await clock.elapse(20)

    state.accepting = false
    await clock.elapse(40)
    expect([submitted.of, cancelled.of]).toEqual([expect.any(ShuttingDownError), undefined])
    await clock.elapse(2_500)

    expect(cancelled.of).toBeInstanceOf(OverloadedError)
  })

  it('says that Redis is away, rather than what it said', async () => {
    const { router } = world({ taken: [new StoreError('Redis, GET: Connection is closed.')] })

    await expect(router.ask('cancel', 'a', ['b', null])).rejects.toBeInstanceOf(OverloadedError)
  })

  it('gives the waiting its signal again where it is done', async () => {
    const { said, router } = world({ taken: ['mine'] })
    const { signal } = new AbortController()

    await router.ask('submit', 'a', [SUBMISSION, { id: 'b', hold: { timeoutMs: 5, bytes: 1 } }], { signal })

    expect(said).toEqual([['here', 'submit', 'a', SUBMISSION, { id: 'b', hold: { timeoutMs: 5, bytes: 1, signal } }]])
  })
})

describe('Router.answer', () => {
  const never = new AbortController().signal

  it('does it for the others, while the tenant is ours', async () => {
    const { said, state, router } = world({ taken: ['mine'] })

    expect(await router.answer('stop', 'a', ['b'], never)).toBe('here')
    state.holds = false
    await expect(router.answer('stop', 'a', ['b'], never)).rejects.toBeInstanceOf(TenantMovedError)

    expect(said).toEqual([
      ['here', 'stop', 'a', 'b'],
      ['regain', 'a'],
    ])
  })

  it('says that the tenant has moved also where Redis does not say whose it is', async () => {
    const { state, router } = world({ taken: ['mine'] })
    Object.assign(state, { holds: false, away: true })

    await expect(router.answer('stop', 'a', ['b'], never)).rejects.toBeInstanceOf(TenantMovedError)
  })

  it.each(['drain', 'applyTenant', 'constructor', 'router'])('does no %s for anybody', async (method) => {
    const { said, router } = world({ taken: ['mine'] })

    await expect(router.answer(method, 'a', [], never)).rejects.toThrow('No replica answers')
    expect(said).toEqual([])
  })
})

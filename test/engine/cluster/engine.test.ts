import { describe, expect, it } from 'vitest'
import { ClusterEngine } from '../../../src/engine/cluster/engine.ts'
import type { Holdings } from '../../../src/engine/cluster/holdings.ts'
import { type Peers, UnreachableError } from '../../../src/engine/cluster/router.ts'
import type { BatchSubmission, BatchView } from '../../../src/engine/engine.ts'
import type { LocalEngine } from '../../../src/engine/local/engine.ts'
import { OverloadedError, ShuttingDownError, TenantMovedError } from '../../../src/errors.ts'
import type { BatchRow, Store } from '../../../src/store/store.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const SUBMISSION = { jobs: [] } as unknown as BatchSubmission
const FACTS = { counts: [], accepted: [{ from: 0, at: 0 }], error: null, winner: null, cancel: null, decided: null }

/** An engine whose tenant is elsewhere: `answer` is what comes of each call there, in order. `record` has the batches that are there. */
function world(answer: (method: string, args: unknown[], record: Map<string, string>) => unknown) {
  const asked: string[] = []
  const ids: string[] = []
  const record = new Map<string, string>()
  const first = new Map<string, BatchView>()
  const peers: Peers = {
    async ask(_replicaId, method, args) {
      asked.push(method)
      if (method === 'submit') ids.push((args[2] as { id: string }).id)
      return await answer(method, args, record)
    },
  }
  const store = {
    batch: async (_tenantId: string, id: string) =>
      record.has(id)
        ? ({
            id,
            no: 1,
            seq: 2,
            acceptedAt: 0,
            settledAt: null,
            header: '{}',
            facts: JSON.stringify(FACTS),
          } as BatchRow)
        : null,
  } as Partial<Store> as Store
  const local = {
    healthy: true,
    replay: async (_tenantId: string, { key }: { key: string }) => first.get(key) ?? null,
  } as unknown as LocalEngine
  const holdings = { take: async () => ({ owner: 'r2' }), leave: async () => undefined } as unknown as Holdings
  const clock = new FakeClock()
  const engine = new ClusterEngine({
    local,
    store,
    holdings,
    peers,
    watches: { watch: async () => () => undefined },
    clock,
    patienceMs: 5_000,
    connected: () => true,
    beforeDrain: async () => undefined,
  })
  return { engine, clock, asked, ids, record, first }
}

describe('a submission whose owner dies before it answers', () => {
  it('is answered from the record when it was accepted, and nothing is submitted again', async () => {
    const { engine, asked, ids } = world((method, args, record) => {
      if (method === 'accepted') return record.has(String(args[1])) ? { id: args[1] } : null
      record.set((args[2] as { id: string }).id, 'accepted')
      throw new UnreachableError('gone')
    })

    const view = await engine.submit('a', SUBMISSION)

    expect([asked, view.id]).toEqual([['submit', 'accepted'], ids[0]])
  })

  it('is made once more, under another id, when it is not on record once the next owner has it', async () => {
    let tries = 0
    const { engine, asked, ids } = world((method) => {
      if (method === 'submit' && tries++ === 0) throw new UnreachableError('gone')
      return method === 'submit' ? { id: 'answered' } : null
    })

    expect(await engine.submit('a', SUBMISSION)).toEqual({ id: 'answered' })

    expect(asked).toEqual(['submit', 'accepted', 'submit'])
    expect(new Set(ids).size).toBe(2)
  })

  it('is answered from the record when its owner wrote it and then had the tenant no more', async () => {
    const { engine, clock, asked, ids } = world((method, args, record) => {
      if (method === 'accepted') return record.has(String(args[1])) ? { id: args[1] } : null
      record.set((args[2] as { id: string }).id, 'accepted')
      throw new TenantMovedError()
    })

    const submitted = engine.submit('a', SUBMISSION)
    await clock.elapse(1_000)

    expect([(await submitted).id, asked]).toEqual([ids[0], ['submit', 'accepted']])
  })

  it('is made where the tenant is now when its owner wrote nothing before it moved', async () => {
    let tries = 0
    const { engine, clock, asked, ids } = world((method) => {
      if (method === 'submit' && tries++ === 0) throw new TenantMovedError()
      return method === 'submit' ? { id: 'answered' } : null
    })

    const submitted = engine.submit('a', SUBMISSION)
    await clock.elapse(1_000)

    expect([(await submitted).id, asked]).toEqual(['answered', ['submit', 'accepted', 'submit']])
    expect(new Set(ids).size).toBe(2)
  })

  it('asks of each try by the id of that try, and waits no longer for room than it was to from the first on', async () => {
    const holds: unknown[] = []
    const questions: unknown[] = []
    const { engine, clock, ids } = world(async (method, args) => {
      if (method === 'accepted') {
        questions.push(args[1])
        return null
      }
      holds.push((args[2] as { hold: { timeoutMs: number } }).hold.timeoutMs)
      if (holds.length === 3) return { id: 'answered' }
      await clock.elapse(600)
      throw new UnreachableError('gone')
    })

    await engine.submit('a', SUBMISSION, { hold: { timeoutMs: 1_000, bytes: 1 } })

    expect([holds, questions]).toEqual([[1_000, 400, 0], ids.slice(0, 2)])
    expect(new Set(ids).size).toBe(3)
  })

  it("is its owner's to answer when it has a key, whatever is on record", async () => {
    const key = { key: 'once', hash: 'h' }
    let tries = 0
    const { engine, asked, ids } = world(() => {
      if (tries++ === 0) throw new UnreachableError('gone')
      return { id: 'what its owner says' }
    })

    expect(await engine.submit('a', SUBMISSION, { idempotency: key })).toEqual({ id: 'what its owner says' })

    expect([asked, new Set(ids).size]).toEqual([['submit', 'submit'], 1])
  })
})

describe('a key that was used', () => {
  it('has the answer that its owner has, not what is on record and may be taken back', async () => {
    const key = { key: 'once', hash: 'h' }
    const { engine, asked, first } = world((method) => (method === 'replayed' ? null : { id: 'new' }))

    expect([await engine.replay('a', key), asked]).toEqual([null, []])
    first.set('once', { id: 'refused' } as BatchView)

    expect(await engine.replay('a', key)).toBeNull()
    expect(await engine.submit('a', SUBMISSION, { idempotency: key })).toEqual({ id: 'new' })
    expect(asked).toEqual(['replayed', 'replayed', 'submit'])
  })
})

describe('an append whose owner dies before it answers', () => {
  it('is not made again, and the caller is told to look', async () => {
    const { engine, asked } = world(() => {
      throw new UnreachableError('gone')
    })

    await expect(engine.append('a', 'b', [])).rejects.toBeInstanceOf(OverloadedError)

    expect(asked).toEqual(['append'])
  })
})

describe('a replica that drains', () => {
  it('takes nothing new, and goes on to answer for the rest', async () => {
    const { engine } = world(() => ({ id: 'b' }))

    await engine.drain(0)

    await expect(engine.submit('a', SUBMISSION)).rejects.toBeInstanceOf(ShuttingDownError)
    await expect(engine.append('a', 'b', [])).rejects.toBeInstanceOf(ShuttingDownError)
    expect([engine.accepting, await engine.close('a', 'b')]).toEqual([false, { id: 'b' }])
  })
})

import { describe, expect, it } from 'vitest'
import { newBatch } from '../../src/core/batch.ts'
import { step } from '../../src/core/step.ts'

/** The jobs that effects let start. */
function enqueued(effects: ReturnType<typeof step>): [number, number][] {
  return effects.flatMap((each): [number, number][] => (each.type === 'enqueue' ? [[each.from, each.to]] : []))
}

describe('jobs that are accepted and not on disk yet', () => {
  it('are queued and counted, and start only once they are committed', () => {
    const batch = newBatch({ policy: 'all_settled', open: true })
    step(batch, { type: 'accepted', jobs: [{}] }, 0)

    const accepted = step(batch, { type: 'accepted', jobs: [{}, {}], uncommitted: true }, 1)
    const committed = step(batch, { type: 'committed', from: 1, to: 3 }, 2)

    expect(batch.counts[0]).toBe(3)
    expect(enqueued(accepted)).toEqual([])
    expect(enqueued(committed)).toEqual([[1, 3]])
  })

  it('are not let go by a hedge either, when the job before them fails', () => {
    const batch = newBatch({ policy: 'hedge', hedgeDelayMs: 1_000, open: true })
    step(batch, { type: 'accepted', jobs: [{}] }, 0)
    step(batch, { type: 'granted', index: 0 }, 1)
    step(batch, { type: 'accepted', jobs: [{}], uncommitted: true }, 2)

    const failed = step(batch, { type: 'threw', index: 0, error: { type: 'E', code: 'e', message: 'm' } }, 3)
    const committed = step(batch, { type: 'committed', from: 1, to: 2 }, 4)

    expect(enqueued(failed)).toEqual([])
    expect(enqueued(committed)).toEqual([[1, 2]])
  })

  it('keep their clocks, and a delay that ran out before the commit does not start them', () => {
    const batch = newBatch({ policy: 'all_settled', open: true })
    step(batch, { type: 'accepted', jobs: [] }, 0)
    step(batch, { type: 'accepted', jobs: [{ delayMs: 5 }, { deadlineMs: 7 }], uncommitted: true }, 0)

    const delayed = step(batch, { type: 'due', timer: 'delay', index: 0 }, 5)
    step(batch, { type: 'due', timer: 'deadline', index: 1 }, 7)
    const committed = step(batch, { type: 'committed', from: 0, to: 2 }, 9)

    expect(enqueued(delayed)).toEqual([])
    expect(enqueued(committed)).toEqual([[0, 1]])
  })
})

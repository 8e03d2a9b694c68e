import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Policy } from '../../src/core/states.ts'
import { play, programs } from '../support/core-program.ts'

const POLICIES: Policy[] = ['all_settled', 'gather', 'task_group', 'any', 'race', 'quorum', 'hedge']

/** `FC_RUNS=20000` looks longer. */
const numRuns = Number(process.env.FC_RUNS ?? 150)

describe('whatever happens to a batch, in whatever order', () => {
  it.each(POLICIES)(
    '%s keeps every promise in every turn, and drains when its work is done',
    (policy) => {
      fc.assert(
        fc.property(programs(policy), (program) => {
          const watch = play(program)

          expect(watch.replay.drained).not.toBe(null)
          expect(watch.armed.size).toBe(0)
        }),
        { numRuns },
      )
    },
    600_000,
  )
})

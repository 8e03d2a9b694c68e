import { describe, expect, it } from 'vitest'
import { runRound } from '../../scripts/chaos/round.ts'

describe('a service that is killed again and again', () => {
  it.each([1, 2])(
    'loses nothing and doubles nothing, seed %i',
    async (seed) => {
      const options = { seed, kills: 2, clients: 3, batches: 3, timeoutMs: 20_000 }

      const report = await runRound(options)

      expect(report.violations, `npm run chaos -- --rounds 1 --seed ${seed} --kills 2`).toEqual([])
      expect(report).toMatchObject({ batches: 9, lost: 0, doubled: 0 })
    },
    25_000,
  )
})

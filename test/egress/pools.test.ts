import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Connection } from '../../src/egress/connection.ts'
import { IdlePools, PoolKeys } from '../../src/egress/pools.ts'

/** As much of a connection as pools look at. */
const connection = (key: string, name = key) =>
  ({ key, name, usable: true, address: '127.0.0.1' }) as unknown as Connection

describe('IdlePools', () => {
  it('knows of no pool when the last connection of the only key was taken, and gives back what is put again', () => {
    const pools = new IdlePools({ maxIdle: 4 })
    const one = connection('a')
    pools.put(one)

    expect(pools.take('a')).toBe(one)
    expect([pools.pools, pools.size, pools.take('a')]).toEqual([0, 0, undefined])
    pools.put(one)

    expect([pools.pools, pools.size, pools.peek('a')]).toEqual([1, 1, one])
  })

  it('is what a list in order of use would be, whatever is put, taken and closed', () => {
    const step = fc.record({ do: fc.constantFrom('put', 'take', 'close'), key: fc.constantFrom('a', 'b', 'c') })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (program) => {
        const pools = new IdlePools({ maxIdle: 5 })
        // By key, the key used longest ago first.
        let model: [string, Connection[]][] = []
        const ofKey = (key: string) => model.find(([name]) => name === key)?.[1] ?? []
        const drop = (one: Connection) => {
          model = model.map(([key, list]): [string, Connection[]] => [key, list.filter((each) => each !== one)])
          model = model.filter(([, list]) => list.length > 0)
        }
        program.forEach(({ do: what, key }, i) => {
          if (what === 'put') {
            const one = connection(key, `${i}`)
            model = [...model.filter(([name]) => name !== key), [key, [...ofKey(key), one]]]
            const tooMany = model.reduce((sum, [, list]) => sum + list.length, 0) > 5 ? model[0]?.[1][0] : undefined
            expect(pools.put(one)).toBe(tooMany)
            if (tooMany) drop(tooMany)
          } else if (what === 'take') {
            const newest = ofKey(key).at(-1)
            expect(pools.take(key)).toBe(newest)
            if (newest) drop(newest)
          } else {
            const [oldest] = ofKey(key)
            if (oldest) pools.remove(oldest)
            if (oldest) drop(oldest)
          }
          expect(pools.pools).toBe(model.length)
          expect(pools.size).toBe(model.reduce((sum, [, list]) => sum + list.length, 0))
        })
      }),
      { numRuns: 200 },
    )
  })
})

describe('PoolKeys', () => {
  it('has one key for a triple, and another for every other, in any order of asking', () => {
    const part = fc.constantFrom('x', 'y')
    fc.assert(
      fc.property(fc.array(fc.tuple(part, part, part), { minLength: 1, maxLength: 20 }), (asked) => {
        const keys = new PoolKeys()
        const seen = new Map<string, string>()
        for (const [origin, policy, tenant] of asked) {
          const triple = JSON.stringify([origin, policy, tenant])
          const key = keys.of(origin, policy, tenant)
          expect(seen.get(triple) ?? key).toBe(key)
          seen.set(triple, key)
        }
        expect(new Set(seen.values()).size).toBe(seen.size)
      }),
    )
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Claim, InflightBytes } from '../../../src/jobs/fetch/inflight.ts'

/** A budget, and who was granted something later. */
function start(limit: number) {
  const budget = new InflightBytes(limit)
  const called: string[] = []
  const claim = (tenantId: string, bytes: number, name = tenantId): Claim =>
    budget.claim(tenantId, bytes, () => called.push(name))
  return { budget, called, claim }
}

describe('InflightBytes', () => {
  it('grants what fits at once, and gives it back', () => {
    const { budget, called, claim } = start(100)
    const first = claim('a', 100)

    expect([first.granted, budget.total]).toEqual([true, 100])
    first.release()
    first.release()
    expect([budget.total, budget.waiting, called]).toEqual([0, 0, []])
  })

  it('leaves to others as much as a tenant has', () => {
    const { claim } = start(100)

    expect(['a', 'a', 'a', 'a', 'a', 'a'].map((name) => claim(name, 10).granted)).toEqual([
      ...Array(5).fill(true),
      false,
    ])
    expect(['b', 'b', 'b'].map((name) => claim(name, 10).granted)).toEqual([true, true, false])
    expect(['c', 'c'].map((name) => claim(name, 10).granted)).toEqual([true, false])
  })

  it('gives a tenant that has nothing whatever fits', () => {
    const { claim } = start(100)
    claim('a', 50)

    expect(claim('b', 50).granted).toBe(true)
  })

  it('calls back in order when there is room, a tenant that has nothing first', () => {
    const { called, claim } = start(100)
    const [first] = [claim('a', 25), claim('a', 25), claim('b', 50)]
    claim('a', 5, 'a again')
    claim('c', 25, 'c')
    expect(called).toEqual([])

    first.release()

    expect(called).toEqual(['c'])
  })

  it('gives to nobody else what a tenant without anything waits for', () => {
    const { called, claim } = start(100)
    const [small, large] = [claim('a', 30), claim('b', 60)]
    const waits = claim('c', 50, 'c')

    expect(claim('a', 1).granted).toBe(false)
    expect(claim('d', 1, 'd').granted).toBe(false)
    waits.release()
    expect(called).toEqual(['d'])
    large.release()
    expect(called).toEqual(['d', 'a'])
    small.release()
  })

  it('lets nobody of a tenant be overtaken', () => {
    const { called, claim } = start(100)
    const first = claim('a', 40)
    claim('a', 40, 'large')
    claim('a', 1, 'small')
    expect(called).toEqual([])

    first.release()

    expect(called).toEqual(['large', 'small'])
  })

  it('takes more than there is for all there is', () => {
    const { budget, claim, called } = start(100)
    const huge = claim('a', 1_000)

    expect([huge.granted, budget.total]).toEqual([true, 100])
    claim('b', 1_000, 'b')
    huge.release()
    expect([called, budget.total]).toEqual([['b'], 100])
  })

  it('has room for others when a body was smaller than it could have been', () => {
    const { budget, called, claim } = start(100)
    const first = claim('a', 100)
    claim('b', 60, 'b')
    first.shrink(200)
    first.shrink(50)
    expect([called, budget.total]).toEqual([[], 50])

    first.shrink(40)

    expect([called, budget.total]).toEqual([['b'], 100])
  })

  it('forgets who waits no more', () => {
    const { budget, called, claim } = start(100)
    const first = claim('a', 100)
    const gone = claim('b', 100, 'b')
    gone.shrink(10)
    gone.release()
    first.release()

    expect([called, budget.total, budget.waiting]).toEqual([[], 0, 0])
  })

  it('never gives more than it has, and in the end everybody had a turn, whoever does what', () => {
    const acts = fc.array(
      fc.record({ tenant: fc.constantFrom('a', 'b', 'c'), bytes: fc.integer({ min: 1, max: 90 }) }),
      {
        maxLength: 30,
      },
    )
    fc.assert(
      fc.property(acts, fc.infiniteStream(fc.nat()), (list, picks) => {
        const budget = new InflightBytes(100)
        const open = new Map<number, { claim: Claim; granted: boolean }>()
        let served = 0
        list.forEach(({ tenant, bytes }, i) => {
          const entry = { claim: null as unknown as Claim, granted: false }
          entry.claim = budget.claim(tenant, bytes, () => {
            entry.granted = true
          })
          entry.granted ||= entry.claim.granted
          open.set(i, entry)
          expect(budget.total).toBeLessThanOrEqual(100)
        })
        while (open.size > 0) {
          const running = [...open].filter(([, { granted }]) => granted)
          expect(running.length).toBeGreaterThan(0)
          const [i, { claim }] = running[Number(picks.next().value) % running.length] as (typeof running)[number]
          open.delete(i)
          served++
          claim.release()
          expect(budget.total).toBeLessThanOrEqual(100)
        }
        expect([served, budget.total, budget.waiting]).toEqual([list.length, 0, 0])
      }),
    )
  })

  it('lets a tenant that has nothing in as soon as anybody else is done, however many wait', () => {
    const { called, claim } = start(100)
    const slow = Array.from({ length: 5 }, () => claim('a', 20))
    for (let i = 0; i < 50; i++) claim('a', 20, 'a again')

    expect(slow.filter(({ granted }) => granted)).toHaveLength(2)
    expect(claim('b', 60).granted).toBe(true)
    expect(called).toEqual([])
  })
})

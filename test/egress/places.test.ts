import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Places } from '../../src/egress/places.ts'

const NONE = { held: 0, waiting: 0, destinations: 0 }

describe('Places', () => {
  it('are as many as the cap at each destination', () => {
    const places = new Places(2)

    expect(['a', 'a', 'a', 'b'].map((key) => places.take(key))).toEqual([true, true, false, true])
    expect(places.stats).toEqual({ held: 3, waiting: 0, destinations: 2 })
  })

  it('go to who waits, in the order in which they came', () => {
    const places = new Places(1)
    const admitted: string[] = []
    places.take('a')
    for (const name of ['first', 'second', 'third']) places.wait(['a'], () => admitted.push(name))

    places.leave('a')
    expect(admitted).toEqual(['first'])
    expect(places.take('a')).toBe(false)
    places.leave('a')
    places.leave('a')

    expect(admitted).toEqual(['first', 'second', 'third'])
    places.leave('a')
    expect(places.stats).toEqual(NONE)
  })

  it('pass over who has left the line', () => {
    const places = new Places(1)
    const admitted: string[] = []
    places.take('a')
    const leave = places.wait(['a'], () => admitted.push('gone'))
    places.wait(['a'], () => admitted.push('there'))

    leave()
    leave()
    places.leave('a')

    expect(admitted).toEqual(['there'])
  })

  it('are given once to who stands in several lines', () => {
    const places = new Places(1)
    const admitted: string[] = []
    places.take('a')
    places.take('b')
    places.wait(['a', 'b'], (key) => admitted.push(`both: ${key}`))
    places.wait(['a'], (key) => admitted.push(`one: ${key}`))

    places.leave('b')
    places.leave('a')

    expect(admitted).toEqual(['both: b', 'one: a'])
    expect(places.stats).toEqual({ held: 2, waiting: 0, destinations: 2 })
  })

  it('cost nothing when nobody is there', () => {
    const places = new Places(1)

    for (let n = 0; n < 1_000; n++) {
      places.take(`host ${n}`)
      places.leave(`host ${n}`)
    }

    expect(places.stats).toEqual(NONE)
  })

  it('hold the cap, serve in order and are all given back, whatever happens in whatever order', () => {
    const step = fc.record({
      what: fc.constantFrom('come', 'go', 'tire'),
      who: fc.nat(20),
      at: fc.constantFrom('a', 'b'),
    })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), fc.array(step, { maxLength: 60 }), (cap, steps) => {
        const places = new Places(cap)
        const held: string[] = []
        const line: { key: string; leave: () => void }[] = []
        const most = () => Math.max(0, ...['a', 'b'].map((key) => held.filter((one) => one === key).length))
        for (const { what, who, at } of steps) {
          if (what === 'come' && places.take(at)) held.push(at)
          else if (what === 'come') {
            const entry = { key: at, leave: () => undefined as undefined }
            const leave = places.wait([at], (key) => {
              expect(line.find((one) => one.key === key)).toBe(entry)
              line.splice(line.indexOf(entry), 1)
              held.push(key)
            })
            line.push(Object.assign(entry, { leave }))
          } else if (what === 'go' && held.length > 0) {
            places.leave(held.splice(who % held.length, 1)[0] ?? '')
          } else if (what === 'tire' && line.length > 0) {
            line.splice(who % line.length, 1)[0]?.leave()
          }
          expect(most()).toBeLessThanOrEqual(cap)
          expect(places.stats).toMatchObject({ held: held.length, waiting: line.length })
        }
        for (const { leave } of line.splice(0)) leave()
        for (const key of held.splice(0)) places.leave(key)
        expect(places.stats).toEqual(NONE)
      }),
    )
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Heap, type HeapItem } from '../../../src/engine/local/heap.ts'

interface Item extends HeapItem {
  key: number
}

function item(key: number): Item {
  return { key, pos: -1 }
}

const byKey = (a: Item, b: Item) => a.key < b.key

describe('Heap', () => {
  it('is a sorted list under any program of push, pop, remove and changed keys', () => {
    const op = fc.oneof(
      fc.record({ op: fc.constant('push' as const), key: fc.nat(20) }),
      fc.record({ op: fc.constantFrom('remove' as const, 'drop' as const), pick: fc.nat(50) }),
      fc.record({ op: fc.constant('update' as const), pick: fc.nat(50), key: fc.nat(20) }),
      fc.record({ op: fc.constant('pop' as const) }),
    )
    fc.assert(
      fc.property(fc.array(op, { maxLength: 200 }), (program) => {
        const heap = new Heap(byKey)
        const model: Item[] = []
        for (const step of program) {
          const picked = 'pick' in step ? model[step.pick % Math.max(1, model.length)] : undefined
          if (step.op === 'push') {
            const pushed = item(step.key)
            heap.push(pushed)
            model.push(pushed)
          } else if (step.op === 'pop') {
            const popped = heap.pop()
            expect(popped?.key).toBe(model.length === 0 ? undefined : Math.min(...model.map(({ key }) => key)))
            if (popped !== undefined) model.splice(model.indexOf(popped), 1)
          } else if (picked !== undefined && step.op === 'update') {
            picked.key = step.key
            heap.update(picked)
          } else if (picked !== undefined) {
            heap.remove(picked)
            heap.remove(picked)
            model.splice(model.indexOf(picked), 1)
          }
          expect(heap.size).toBe(model.length)
          expect(heap.peek()?.key).toBe(model.length === 0 ? undefined : Math.min(...model.map(({ key }) => key)))
        }
        const rest: number[] = []
        for (let popped = heap.pop(); popped !== undefined; popped = heap.pop()) {
          expect(popped.pos).toBe(-1)
          rest.push(popped.key)
        }
        expect(rest).toEqual(model.map(({ key }) => key).sort((a, b) => a - b))
      }),
    )
  })

  it('leaves an item of another heap alone', () => {
    const one = new Heap(byKey)
    const two = new Heap(byKey)
    const mine = item(1)
    const other = item(2)
    one.push(mine)
    two.push(other)

    one.remove(other)
    one.remove(item(3))

    expect([one.size, two.size, one.peek(), two.peek()]).toEqual([1, 1, mine, other])
  })

  it('compares O(log n) times to remove any of 100,000 items', () => {
    let comparisons = 0
    const heap = new Heap<Item>((a, b) => {
      comparisons++
      return a.key < b.key
    })
    const items = Array.from({ length: 100_000 }, (_, i) => item((i * 7_919) % 100_003))
    for (const each of items) heap.push(each)
    comparisons = 0

    for (const each of items) heap.remove(each)

    expect(heap.size).toBe(0)
    expect(comparisons / items.length).toBeLessThan(3 * Math.log2(items.length))
  })
})

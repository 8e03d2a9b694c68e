import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Column, grownBytes } from '../../src/core/column.ts'

const values = (column: Column, length: number) => Array.from({ length }, (_, index) => column.get(index))

describe('a column', () => {
  it('holds one number while all are the same, set or extended', () => {
    const column = new Column()
    column.extend(1_000_000, 30)
    column.set(999_999, 30)
    column.extend(5, 30)

    expect(column.uniform).toBe(true)
    expect(column.get(1_000_004)).toBe(30)
  })

  it('takes the first value it is extended with', () => {
    const column = new Column()
    column.extend(0, 1)
    column.extend(2, 7)

    expect(column.uniform).toBe(true)
    expect(values(column, 2)).toEqual([7, 7])
  })

  it('reads like an array, however it is filled', () => {
    const op = fc.oneof(
      fc.record({ count: fc.nat(20), value: fc.nat(3) }),
      fc.record({ index: fc.nat(60), value: fc.nat(3) }),
    )
    fc.assert(
      fc.property(fc.array(op, { maxLength: 20 }), (ops) => {
        const column = new Column()
        const model: number[] = []
        for (const step of ops) {
          if ('count' in step) {
            column.extend(step.count, step.value)
            model.push(...Array<number>(step.count).fill(step.value))
          } else if (step.index < model.length) {
            column.set(step.index, step.value)
            model[step.index] = step.value
          }
          expect(values(column, model.length)).toEqual(model)
        }
      }),
    )
  })
})

describe('grown bytes', () => {
  it('keep what they held, are zero beyond, and are left alone when they suffice', () => {
    const bytes = Uint8Array.of(1, 2, 3)

    expect([...grownBytes(bytes, 4)]).toEqual([1, 2, 3, 0, 0, 0])
    expect(grownBytes(bytes, 3)).toBe(bytes)
    expect(grownBytes(bytes, 10)).toHaveLength(10)
  })

  it('begin at exactly what is asked for', () => {
    expect(grownBytes(new Uint8Array(0), 5)).toHaveLength(5)
  })
})

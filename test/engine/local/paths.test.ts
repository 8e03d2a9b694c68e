import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { valueAt, withValue } from '../../../src/engine/local/paths.ts'

describe('a path', () => {
  it('leads to a value through objects', () => {
    expect(valueAt({ a: { b: [1] } }, ['a', 'b'])).toEqual([1])
    expect(valueAt({ a: null }, ['a', 'b'])).toBeUndefined()
    expect(valueAt({ a: 'text' }, ['a', 'length'])).toBeUndefined()
  })

  it('leads to what an object has itself, not to what it inherits', () => {
    expect(valueAt({}, ['toString'])).toBeUndefined()
    expect(valueAt({}, ['__proto__'])).toBeUndefined()
  })

  it('gives a copy another value in its place, in the same order, and leaves the rest as it is', () => {
    const object = { x: { y: 1 }, a: { first: 1, b: 2, last: 3 }, z: 0 }

    const changed = withValue(object, ['a', 'b'], null)

    expect(JSON.stringify(changed)).toBe('{"x":{"y":1},"a":{"first":1,"b":null,"last":3},"z":0}')
    expect(changed.x).toBe(object.x)
    expect(object.a.b).toBe(2)
  })

  it('makes what is missing on the way', () => {
    expect(withValue({}, ['a', 'b'], 1)).toEqual({ a: { b: 1 } })
    expect(withValue({ a: null }, ['a', 'b'], 1)).toEqual({ a: { b: 1 } })
  })

  it('finds what it has put, whatever the names, and changes no prototype', () => {
    const name = fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', '0'))

    fc.assert(
      fc.property(
        fc.dictionary(name, fc.jsonValue()),
        fc.array(name, { minLength: 1, maxLength: 4 }),
        (object, path) => {
          expect(valueAt(withValue(object, path, 'put'), path)).toBe('put')
          expect(({} as Record<string, unknown>).put).toBeUndefined()
        },
      ),
    )
  })
})

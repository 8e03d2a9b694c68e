import { describe, expect, it } from 'vitest'
import { isObject } from '../../src/json/object.ts'

describe('isObject', () => {
  it('tells objects from the other values of JSON', () => {
    expect([{}, { a: null }, Object.create(null)].map(isObject)).toEqual([true, true, true])
    expect([null, [], [{}], 'a', 1, true, undefined].map(isObject)).toEqual(Array(7).fill(false))
  })
})

import { describe, expect, it } from 'vitest'
import { isOk, rounded } from '../../../src/jobs/fetch/result.ts'

describe('isOk', () => {
  it.each([
    [200, ['2xx'], true],
    [299, ['2xx'], true],
    [300, ['2xx'], false],
    [404, ['2xx', 404], true],
    [405, ['2xx', 404], false],
    [999, ['2xx'], false],
  ] as const)('%i among %j is %s', (status, okStatus, expected) => {
    expect(isOk(status, [...okStatus])).toBe(expected)
  })
})

describe('rounded', () => {
  it('has three decimals', () => {
    expect([rounded(1.23456), rounded(0), rounded(2)]).toEqual([1.235, 0, 2])
  })
})

import { describe, expect, it } from 'vitest'
import { turns } from '../../../bench/measures/turns.ts'
import { MEASURES, USUAL } from '../../../bench/measures.ts'

describe('the turns of a round', () => {
  it('begin with another one each round', () => {
    expect([1, 2, 3, 4].map((round) => turns(['a', 'b', 'c'], round).join(''))).toEqual(['abc', 'bca', 'cab', 'abc'])
  })

  it('are none of nobody', () => {
    expect(turns([], 2)).toEqual([])
  })
})

describe('what is measured', () => {
  it('is P1 to P11 and the cluster when nothing is named', () => {
    expect(USUAL).toEqual(['P1', 'P2', 'P3', 'P4', 'P5', 'P6', 'P7', 'P8', 'P9', 'P10', 'P11', 'cluster'])
  })

  it('has a target for each of P1 to P11, with one bound', () => {
    const targets = MEASURES.filter(({ id }) => id.startsWith('P')).map(({ targets }) => targets)

    expect(targets.every(({ length }) => length > 0)).toBe(true)
    for (const { most, least } of targets.flat())
      expect([most, least].filter((bound) => bound !== undefined)).toHaveLength(1)
  })

  it('has a name of its own each', () => {
    expect(new Set(MEASURES.map(({ id }) => id.toLowerCase())).size).toBe(MEASURES.length)
  })
})

import { describe, expect, it } from 'vitest'
import { doubts, fairly } from '../../../bench/report/doubt.ts'
import { compared, outcome } from '../support.ts'

describe('what is in doubt about figures', () => {
  it.each([
    [{}, []],
    [{ command: 'npm run bench -- --only P1 --quick --write' }, ['quick']],
    [{ commit: 'abc1234-dirty' }, ['a tree with changes']],
    [{ load: 2 }, []],
    [{ load: 2.1 }, ['load 2 on 2 cores']],
    [{ load: 1.6, machine: '1 × a processor, Node 24' }, ['load 2 on 1 core']],
    [
      { command: 'npm run bench -- --quick', load: 19.3, commit: 'abc1234-dirty' },
      ['quick', 'load 19 on 2 cores', 'a tree with changes'],
    ],
  ])('is, of %j, %j', (parts, why) => {
    expect(doubts(outcome(parts))).toEqual(why)
  })
})

describe('a fair verdict', () => {
  const [share, late] = compared().targets

  it('is that of the targets where nothing is in doubt', () => {
    expect(fairly(compared(), share).verdict).toBe('met')
    expect(fairly(compared(), late).verdict).toBe('missed')
  })

  it('is none, with what was found, where something is', () => {
    const quick = { ...compared(), load: 20 }

    expect(fairly(quick, share)).toMatchObject({ verdict: 'not judged', told: '0.80 (0.75–0.80) ×' })
    expect(fairly(quick, late).verdict).toBe('not judged')
    expect(fairly(quick, { series: 'nobody', most: 1 }).verdict).toBe('not measured')
  })
})

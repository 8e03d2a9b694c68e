import { describe, expect, it } from 'vitest'
import { asked, commandOf, type Known } from '../../bench/args.ts'

const KNOWN: Known = { ids: ['P1', 'P2', 'P3', 'soak'], usual: ['P1', 'P2'], groups: { curves: ['P3', 'P2'] } }
const read = (...argv: string[]) => asked(argv, KNOWN)

describe('what npm run bench is asked for', () => {
  it('is all that is usual, three rounds of 30,000 jobs, and nothing written, when nothing is said', () => {
    expect(read()).toEqual({
      only: ['P1', 'P2'],
      rounds: 3,
      count: 30_000,
      minutes: 30,
      cases: [],
      json: undefined,
      quick: false,
      write: false,
      draw: false,
    })
  })

  it('is one round of fewer jobs with --quick', () => {
    expect(read('--quick')).toMatchObject({ quick: true, rounds: 1, count: 6_000 })
  })

  it('is what is said, also with --quick', () => {
    expect(read('--quick', '--rounds', '2', '--count', '2000', '--minutes', '0.5', '--json', 'a.json')).toMatchObject({
      rounds: 2,
      count: 2_000,
      minutes: 0.5,
      json: 'a.json',
    })
    expect(read('--cases', 'sleeps,drips').cases).toEqual(['sleeps', 'drips'])
    expect(read('--write', '--draw')).toMatchObject({ write: true, draw: true })
  })

  it('is in the order of the measures, each once, whoever names it', () => {
    expect(read('--only', 'soak,curves,P3').only).toEqual(['P2', 'P3', 'soak'])
  })

  it.each([
    [['--only', 'P1,P12'], 'there is no P12, only P1, P2, P3, soak, curves'],
    [['--rounds', '0'], '--rounds: 0 is not a positive whole number'],
    [['--rounds', '1.5'], '--rounds: 1.5 is not a positive whole number'],
    [['--rounds', 'three'], '--rounds: three is not'],
    [['--count', '1500'], '--count: 1500 is not a positive multiple of 1000'],
    [['--minutes', '-1'], '--minutes'],
    [['--minutes', '0'], '--minutes: 0 is not a positive number'],
    [['--minutes', 'Infinity'], '--minutes: Infinity is not'],
    [['--fast'], '--fast'],
    [['P1'], 'P1'],
  ])('cannot be %j', (argv, message) => {
    expect(() => read(...argv)).toThrow(message)
  })
})

describe('the command of a measure', () => {
  it('has nothing that goes without saying', () => {
    expect(commandOf('P1', read())).toBe('npm run bench -- --only P1 --write')
    expect(commandOf('P1', read('--quick'))).toBe('npm run bench -- --only P1 --quick --write')
  })

  it('asks for the same again', () => {
    const first = read(
      '--only',
      'soak',
      '--quick',
      '--rounds',
      '5',
      '--count',
      '9000',
      '--cases',
      'a,b',
      '--minutes',
      '2',
    )

    const again = read(...commandOf('soak', first).replace('npm run bench -- ', '').split(' '))

    expect(again).toEqual({ ...first, write: true })
  })

  it('says how long only of the soak', () => {
    expect(commandOf('P1', read('--minutes', '2'))).not.toContain('minutes')
  })
})

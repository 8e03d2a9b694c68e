import { describe, expect, it } from 'vitest'
import { type Asked, asked, commandOf, type Known, usage } from '../../bench/args.ts'

const KNOWN: Known = {
  ids: ['P1', 'P2', 'P3', 'soak'],
  usual: ['P1', 'P2'],
  cases: { P2: ['sleeps', 'drips'], P3: ['memory'] },
  groups: { curves: ['P3', 'P2'] },
}
const CASES = KNOWN.cases.P2

function read(...argv: string[]): Asked {
  const wanted = asked(argv, KNOWN)
  if (wanted === 'help') throw new Error('It was read as --help.')
  return wanted
}

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
    [['--cases', 'sleeps,foo'], '--cases: P1,P2 has no foo, only sleeps, drips'],
    [['--cases', 'memory'], '--cases: P1,P2 has no memory'],
    [['--only', 'P1', '--cases', 'sleeps'], '--cases: P1 has no sleeps, nor others'],
  ])('cannot be %j', (argv, message) => {
    expect(() => read(...argv)).toThrow(message)
  })

  it.each([['--fast'], ['P1'], ['--rounds'], ['--only', 'P12']])('is refused in one line: %j', (...argv) => {
    const refusal = /^[^\n]+$/

    expect(() => read(...argv)).toThrow(refusal)
    expect(() => read(...argv)).not.toThrow('To specify a positional')
  })

  it.each([['--help'], ['-h'], ['--only', 'P12', '--help']])('is help with %j', (...argv) => {
    expect(asked(argv, KNOWN)).toBe('help')
  })

  it('is told by help with all that there is', () => {
    for (const word of [...KNOWN.ids, 'curves', 'P2: sleeps,drips', 'P3: memory', '--draw', '30000; 6000'])
      expect(usage(KNOWN)).toContain(word)
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
      'P2,soak',
      '--quick',
      '--rounds',
      '5',
      '--count',
      '9000',
      '--cases',
      'sleeps,drips',
      '--minutes',
      '2',
    )

    const again = (id: string, own?: readonly string[]) =>
      read(...commandOf(id, first, own).replace('npm run bench -- ', '').split(' '))

    expect(again('soak')).toEqual({ ...first, only: ['soak'], cases: [], write: true })
    expect(again('P2', CASES)).toEqual({ ...first, only: ['P2'], minutes: 30, write: true })
  })

  it('says how long only of the soak', () => {
    expect(commandOf('P1', read('--minutes', '2'))).not.toContain('minutes')
  })
})

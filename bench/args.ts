import { parseArgs } from 'node:util'
import type { Plan } from './report/measure.ts'

/** What `npm run bench` was asked for. */
export interface Asked extends Omit<Plan, 'say'> {
  /** The measures, by their ids, in their own order. */
  only: readonly string[]
  /** A file for the outcomes of this run as JSON. */
  json?: string
  /** Put them into `docs/benchmarks`, with their charts and its page. */
  write: boolean
  /** Measure nothing; make the charts and the page from the JSON that is there. */
  draw: boolean
}

/** What there is to be asked for. */
export interface Known {
  /** All measures, in the order in which they are taken. */
  ids: readonly string[]
  /** Those that are taken when none are named. */
  usual: readonly string[]
  /** What `--cases` may name, of the measures that have some. */
  cases: Readonly<Record<string, readonly string[]>>
  /** Names for several. */
  groups: Readonly<Record<string, readonly string[]>>
}

const [ROUNDS, COUNT, QUICK_COUNT, MINUTES] = [3, 30_000, 6_000, 30]

const OPTIONS = {
  only: { type: 'string' },
  rounds: { type: 'string' },
  cases: { type: 'string', default: '' },
  count: { type: 'string' },
  minutes: { type: 'string', default: `${MINUTES}` },
  json: { type: 'string' },
  quick: { type: 'boolean', default: false },
  write: { type: 'boolean', default: false },
  draw: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const

/** What `--help` shows. */
export function usage({ ids, cases, groups }: Known): string {
  const own = Object.entries(cases).map(([id, names]) => `                 ${id}: ${names.join()}`)
  return `npm run bench: take the measures of docs/performance.md. npm run soak is the same with --only soak.

  --only A,B     some of: ${ids.join()}; groups: ${Object.keys(groups).join()}
  --quick        one round of less, to see that it runs: its figures are not judged
  --rounds N     rounds (${ROUNDS}; ${roundsOf(true)} with --quick)
  --count N      jobs of a run that counts jobs per second, in thousands (${COUNT}; ${QUICK_COUNT} with --quick)
  --cases A,B    parts of a measure that has some:
${own.join('\n')}
  --minutes N    of the soak (${MINUTES})
  --json FILE    the outcomes of this run
  --write        put them into docs/benchmarks, with charts and page
  --draw         measure nothing: charts and page from the JSON that is there
  --help
`
}

/**
 * Read a command line: `--only P1,P7`, `--rounds 3` (1 with `--quick`), `--cases` of a measure that has some, `--count` of jobs in a throughput
 * (30,000; 6,000 with `--quick`), `--minutes` of the soak (30), `--json FILE`, `--write`, `--draw`.
 * @returns 'help' when that is what is asked for.
 * @throws in one line, when an option, a measure or a case is not known, or a number is none.
 */
export function asked(argv: readonly string[], known: Known): Asked | 'help' {
  const values = valuesOf(argv)
  if (values.help) return 'help'
  const { quick, write, draw, json, cases } = values
  const only = chosen(values.only === undefined ? known.usual : values.only.split(','), known)
  return {
    only,
    rounds: whole('rounds', values.rounds ?? `${roundsOf(quick)}`),
    count: whole('count', values.count ?? `${countOf(quick)}`, 1_000),
    minutes: positive('minutes', values.minutes),
    cases: casesOf(cases.split(',').filter(Boolean), only, known),
    json,
    quick,
    write,
    draw,
  }
}

/** What is typed to have one measure taken as it was asked for, and kept. @param own - What `--cases` may name of it. */
export function commandOf(id: string, asked: Asked, own: readonly string[] = []): string {
  const { quick, rounds, count, minutes } = asked
  const cases = asked.cases.filter((name) => own.includes(name))
  const words = ['npm run bench -- --only', id]
  if (quick) words.push('--quick')
  if (rounds !== roundsOf(quick)) words.push('--rounds', `${rounds}`)
  if (count !== countOf(quick)) words.push('--count', `${count}`)
  if (cases.length > 0) words.push('--cases', cases.join())
  if (id === 'soak') words.push('--minutes', `${minutes}`)
  return [...words, '--write'].join(' ')
}

const roundsOf = (quick: boolean) => (quick ? 1 : ROUNDS)
const countOf = (quick: boolean) => (quick ? QUICK_COUNT : COUNT)

/** @throws with the first sentence of Node's: its advice about `--` helps nobody here. */
function valuesOf(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS }).values
  } catch (error) {
    throw new Error(String(error instanceof Error ? error.message : error).replace(/\. .*/s, ''))
  }
}

function casesOf(names: readonly string[], only: readonly string[], { cases }: Known): readonly string[] {
  const there = only.flatMap((id) => cases[id] ?? [])
  for (const name of names)
    if (!there.includes(name))
      throw new Error(
        `--cases: ${only.join()} has no ${name}, ${there.length === 0 ? 'nor others' : `only ${there.join(', ')}`}`,
      )
  return names
}

function chosen(names: readonly string[], { ids, groups }: Known): string[] {
  const wanted = new Set(names.flatMap((name) => groups[name] ?? [name]))
  for (const name of wanted)
    if (!ids.includes(name))
      throw new Error(`--only: there is no ${name}, only ${[...ids, ...Object.keys(groups)].join(', ')}`)
  return ids.filter((id) => wanted.has(id))
}

function whole(name: string, text: string, step = 1): number {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1 || number % step !== 0)
    throw new Error(`--${name}: ${text} is not a positive ${step === 1 ? 'whole number' : `multiple of ${step}`}`)
  return number
}

function positive(name: string, text: string): number {
  const number = Number(text)
  if (!(number > 0 && number < Infinity)) throw new Error(`--${name}: ${text} is not a positive number`)
  return number
}

import type { CheckResult, Problem } from '../../store/sqlite/check.ts'

/** A check as lines to read: the problems, and what they come to. */
export function textReport(result: CheckResult): string[] {
  const { problems, found } = result
  const cut = found > problems.length ? [`… and ${found - problems.length} more`] : []
  return [...problems.map(problemLine), ...cut, summary(result)]
}

/** A check as one line of JSON. */
export function jsonReport(file: string, { found, problems, ...counts }: CheckResult): string[] {
  const named = problems.map(({ batch = null, index = null, message }) => ({ batch, index, message }))
  return [JSON.stringify({ file, ok: found === 0, ...counts, found, problems: named })]
}

function problemLine({ batch, index, message }: Problem): string {
  const where = batch === undefined ? '' : `batch ${batch}${index === undefined ? '' : `, job ${index}`}: `
  // What a store holds can be anything; a line stays one.
  return `${where}${message}`.replaceAll(CONTROL, '?')
}

/** Control characters: a terminal would obey them. */
const CONTROL = /\p{Cc}/gu

/** `3 batches, 12 jobs, 40 events checked: ok`. */
export function summary({ batches, jobs, events, found }: CheckResult): string {
  const counted = [count(batches, 'batch', 'batches'), count(jobs, 'job'), count(events, 'event')].join(', ')
  return `${counted} checked: ${found === 0 ? 'ok' : count(found, 'problem')}`
}

/** `1 job`, `2 jobs`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`
}

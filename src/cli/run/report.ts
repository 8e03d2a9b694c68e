import type { BatchView, StreamEvent } from '../../engine/engine.ts'
import { ConfigError } from '../../errors.ts'
import { isCompletion } from '../../store/render.ts'

/** What goes to standard output, and when. */
export interface Report {
  order: 'completion' | 'input' | 'events'
  /** The line that an event is worth at once; null: none. */
  lineOf(event: StreamEvent): string | null
}

/** The report that the options ask for. @throws {ConfigError} */
export function reportOf({ order, events }: { order: string; events: boolean }): Report {
  if (order !== 'completion' && order !== 'input')
    throw new ConfigError(`--order is "completion" or "input", and not "${order}".`)
  if (events && order === 'input') throw new ConfigError('--events are in their own order: leave out --order input.')
  if (events) return { order: 'events', lineOf: ({ json }) => json }
  return { order, lineOf: order === 'completion' ? jobOf : () => null }
}

const JOB = ',"job":'

/** The view of a job out of the event that ends it, as it was written: a parse would round large numbers. */
function jobOf({ type, json }: StreamEvent): string | null {
  return isCompletion(type) ? json.slice(json.indexOf(JOB) + JOB.length, -1) : null
}

/** What an event says of its job beside the view, which may be large and is left unread. */
export function headOf({ json }: StreamEvent): { index: number } {
  // Inside a string there would be a backslash before the quote, so this is the field.
  const end = json.indexOf(JOB)
  return JSON.parse(end < 0 ? json : `${json.slice(0, end)}}`)
}

/** One line about a batch that has ended. */
export function summary({ state, counts, acceptedAt, drainedAt, error }: BatchView): string {
  const { total, succeeded, failed, timed_out, cancelled } = counts
  const ends = Object.entries({ succeeded, failed, 'timed out': timed_out, cancelled })
  const parts = ends.filter(([, count]) => count > 0).map(([name, count]) => `${count} ${name}`)
  const seconds = (Date.parse(drainedAt ?? acceptedAt) - Date.parse(acceptedAt)) / 1_000
  const why = error === null ? '' : ` ${error.type}: ${error.message}`
  const jobs = `${total} ${total === 1 ? 'job' : 'jobs'}`
  return `gatherd: ${state.replace('_', ' ')}, ${[jobs, ...parts].join(', ')}, ${seconds.toFixed(2)} s.${why}\n`
}

import type { Event, Job } from './api.ts'
import { type Paint, plain } from './screen.ts'

const NAME_WIDTH = 9
const BAR_WIDTH = 36
/** Milliseconds a column stands for at least. */
const FINEST_MS = 25

/** One job as drawn. Instants in milliseconds since the epoch. */
interface Row {
  name: string
  startedAt: number | null
  endedAt: number | null
  job: Job | null
}

/** The jobs of one batch over time: dots while queued, a bar while running, then how they ended. */
export class Chart {
  readonly title: string
  readonly #rows: Row[]
  readonly #acceptedAt: number

  constructor(options: { title: string; names: string[]; acceptedAt: string }) {
    this.title = options.title
    this.#acceptedAt = Date.parse(options.acceptedAt)
    this.#rows = options.names.map((name) => ({ name, startedAt: null, endedAt: null, job: null }))
  }

  /** Lines that `lines` gives. */
  get height(): number {
    return this.#rows.length + 1
  }

  /** Take note of an event; what to say of it where nothing can be redrawn, or null. */
  apply({ type, at, index, job }: Event): string | null {
    const row = index === undefined ? undefined : this.#rows[index]
    if (row === undefined || type === 'job.queued') return null
    const when = Date.parse(at)
    if (type === 'job.started') row.startedAt = when
    if (job !== undefined) Object.assign(row, { endedAt: when, job })
    const seconds = ((when - this.#acceptedAt) / 1_000).toFixed(2)
    const what = job === undefined ? type.replace('job.', '').replace('started', 'running') : outcomeOf(job)
    return `${seconds} s  ${row.name.padEnd(NAME_WIDTH)}  ${what}`
  }

  /** The chart as it is at `now`. */
  lines(now: number, paint: Paint = plain): string[] {
    const last = Math.max(...this.#rows.map(({ endedAt }) => endedAt ?? now))
    const scale = Math.max(FINEST_MS, (last - this.#acceptedAt) / BAR_WIDTH)
    const column = (at: number) => Math.round((at - this.#acceptedAt) / scale)
    const ended = this.#rows.filter(({ job }) => job !== null).length
    const running = this.#rows.filter(({ job, startedAt }) => job === null && startedAt !== null).length
    const state = paint('dim', `${this.#rows.length - ended - running} queued, ${running} running, ${ended} done`)
    return [`${paint('bold', this.title)}  ${state}`, ...this.#rows.map((row) => lineOf(row, now, column, paint))]
  }
}

function lineOf(row: Row, now: number, column: (at: number) => number, paint: Paint): string {
  const end = column(row.endedAt ?? now)
  const start = row.startedAt === null ? end : Math.min(column(row.startedAt), end)
  const width = row.startedAt === null ? 0 : Math.max(1, end - start)
  const name = row.name.padEnd(NAME_WIDTH)
  const bar = paint('dim', '·'.repeat(start)) + paint(colorOf(row.job), '█'.repeat(width))
  const outcome = row.job === null ? (row.startedAt === null ? 'queued' : 'running') : outcomeOf(row.job)
  return `  ${name} ${bar} ${paint(row.job === null ? 'dim' : colorOf(row.job), outcome)}`
}

function colorOf(job: Job | null): 'cyan' | 'green' | 'red' | 'yellow' {
  if (job === null) return 'cyan'
  if (job.state === 'succeeded') return 'green'
  return job.state === 'cancelled' ? 'yellow' : 'red'
}

/** How a job ended, in a few words. */
export function outcomeOf({ state, result, error, cause, startedAt }: Job): string {
  if (state === 'succeeded') return typeof result === 'object' && result?.status ? `${result.status}` : 'slept'
  if (state === 'cancelled') return `${startedAt === null ? 'never started' : 'cancelled'} (${cause})`
  return `${state.replace('_', ' ')} (${error?.code})`
}

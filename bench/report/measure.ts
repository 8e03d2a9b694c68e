import type { Book, Series } from './book.ts'
import type { Target } from './verdict.ts'

/** How much is measured. */
export interface Plan {
  rounds: number
  /** Less of everything: to see that it runs and roughly where it stands. */
  quick: boolean
  /** Jobs of a run that counts jobs per second. */
  count: number
  /** The parts of a measure that are wanted; none: all. */
  cases: readonly string[]
  /** How long the soak takes. */
  minutes: number
  /** Tell whoever waits how far it is. */
  say: (text: string) => void
}

/** Something that is measured, and what it must be. */
export interface Measure {
  /** As `--only` names it. */
  id: string
  title: string
  /** What it is with `--quick`, where that is less than the title says. */
  quickTitle?: string
  /** What `--cases` may name of it. */
  cases?: readonly string[]
  targets: readonly Target[]
  /** The series that the others of its unit are compared with, round by round. */
  base?: string
  /** What the figures of a curve are drawn over. */
  axis?: string
  /** Take the figures of all rounds. */
  run(book: Book, plan: Plan): Promise<void>
}

/** What a measure found, and what there is to know about it; this is what is kept as JSON. */
export interface Outcome {
  id: string
  title: string
  base?: string
  axis?: string
  targets: readonly Target[]
  series: Series[]
  skipped: { name: string; why: string }[]
  /** What was typed to have it measured. */
  command: string
  /** When it began, ISO 8601. */
  at: string
  seconds: number
  /** What else the machine did before it began, as `loadNow` tells. */
  load: number
  machine: string
  commit: string
}

/** The name of an outcome's files, without what follows the dot. */
export function fileOf({ id }: Pick<Outcome, 'id'>): string {
  return id.toLowerCase()
}

import type { CommonSpec } from '../jobs/kind.ts'
import type { KindColumn, PlanColumns } from './store.ts'

/** A spec without any of these keys has nothing to note. What it matches more is harmless: the spec is parsed then. */
const HAS_PLAN = /"(?:timeoutMs|deadlineMs|queueTimeoutMs|delayMs|priority|shield)":/

const NUMBERS = ['timeoutMs', 'deadlineMs', 'queueTimeoutMs', 'delayMs', 'priority'] as const

/** The columns of a batch none of whose specs has been looked at. */
export function noPlans(): PlanColumns {
  return { timeoutMs: null, deadlineMs: null, queueTimeoutMs: null, delayMs: null, priority: null, shield: null }
}

/** Note what scheduling needs of the spec at `index`, a JSON text, in columns of `count` jobs. */
export function notePlan(plans: PlanColumns, count: number, index: number, text: string): void {
  if (!HAS_PLAN.test(text)) return
  // Written by the engine, from a spec.
  const spec = JSON.parse(text) as CommonSpec
  for (const name of NUMBERS) {
    const value = spec[name]
    if (value != null) column(plans, name, count)[index] = value
  }
  if (spec.shield) column(plans, 'shield', count)[index] = 1
}

/** The kinds of `count` jobs, none of which has been looked at. */
export function noKinds(count: number): KindColumn {
  return { names: [], of: new Uint16Array(count) }
}

/** Note the kind of the job at `index`. */
export function noteKind({ names, of }: KindColumn, index: number, kind: string): void {
  const known = names.indexOf(kind)
  of[index] = known >= 0 ? known : names.push(kind) - 1
}

function column(plans: PlanColumns, name: keyof PlanColumns, count: number): Float64Array {
  const none = name === 'priority' || name === 'shield' || name === 'delayMs' ? 0 : -1
  plans[name] ??= new Float64Array(count).fill(none)
  return plans[name]
}

import fc from 'fast-check'
import type { BatchPlan, JobPlan } from '../../src/core/batch.ts'
import type { Policy } from '../../src/core/states.ts'
import { canAppend, canReschedule, type Input, isSettled } from '../../src/core/step.ts'
import { boom } from './core.ts'
import { Watch } from './core-watch.ts'

/** One thing that happens; `pick` chooses among whatever it can happen to. */
interface Move {
  type: keyof typeof MOVES
  pick: number
  ms: number
  jobs: JobPlan[]
}

/** A batch and what becomes of it. */
export interface Program {
  plan: BatchPlan
  jobs: JobPlan[]
  moves: Move[]
}

/** What a move does; with nothing to happen to, nothing. */
const MOVES = {
  grant(watch: Watch, { pick }: Move) {
    const index = choose(waiting(watch), pick)
    if (index !== undefined) watch.input({ type: 'granted', index })
  },
  return(watch: Watch, { pick }: Move) {
    const index = choose(working(watch), pick)
    if (index !== undefined) watch.input({ type: 'returned', index })
  },
  throw(watch: Watch, { pick }: Move) {
    const index = choose(working(watch), pick)
    if (index !== undefined) watch.input({ type: 'threw', index, error: boom(`Boom${index}`) })
  },
  unwind(watch: Watch, { pick }: Move) {
    const index = choose(inState(watch, 'cancelling'), pick)
    if (index !== undefined) watch.input({ type: 'unwound', index })
  },
  wait(watch: Watch, { ms }: Move) {
    watch.now += ms
  },
  fire(watch: Watch, { pick }: Move) {
    const key = choose(overdue(watch), pick)
    if (key !== undefined) watch.fire(key)
  },
  cancelJob(watch: Watch, { pick }: Move) {
    const index = choose(watch.replay.live(), pick)
    if (index !== undefined) watch.input({ type: 'cancelJob', index, reason: pick % 2 === 0 ? `reason ${pick}` : null })
  },
  cancel(watch: Watch, { pick }: Move) {
    if (!isSettled(watch.batch)) watch.input({ type: 'cancelBatch', reason: pick % 2 === 0 ? `reason ${pick}` : null })
  },
  append(watch: Watch, { jobs }: Move) {
    if (canAppend(watch.batch) === 'ok') watch.input({ type: 'accepted', jobs })
  },
  close(watch: Watch) {
    if (!isSettled(watch.batch)) watch.input({ type: 'close' })
  },
  stop(watch: Watch) {
    if (!isSettled(watch.batch)) watch.input({ type: 'stop' })
  },
  shutDown(watch: Watch) {
    if (watch.batch.phase !== 'drained') watch.input({ type: 'shutDown' })
  },
  reschedule(watch: Watch, { pick, ms }: Move) {
    const movable = watch.replay.live().filter((index) => canReschedule(watch.batch, index))
    const index = choose(movable, pick)
    if (index === undefined) return
    const [deadlineMs, timeoutMs] = [[ms], [undefined, ms], [null], [undefined, null], [ms * 2, ms]][pick % 5]
    watch.input({ type: 'reschedule', index, deadlineMs, timeoutMs, startedAt: watch.jobs[index].startedAt })
  },
  restart(watch: Watch, { pick, ms }: Move) {
    if (watch.batch.phase === 'drained') return
    watch.now += ms
    watch.restart((index) => ((pick >> (index % 5)) & 1) === 0)
  },
  stray(watch: Watch, { pick }: Move) {
    const input = choose(tooLate(watch), pick)
    if (input !== undefined) watch.stray(input)
  },
}

const WEIGHTS: Record<keyof typeof MOVES, number> = {
  grant: 8,
  return: 4,
  throw: 3,
  unwind: 4,
  wait: 4,
  fire: 6,
  cancelJob: 3,
  cancel: 2,
  append: 2,
  close: 1,
  stop: 1,
  shutDown: 1,
  reschedule: 2,
  restart: 1,
  stray: 2,
}

const clock = fc.option(fc.constantFrom(0, 5, 10, 30), { nil: undefined, freq: 2 })
const job: fc.Arbitrary<JobPlan> = fc.record(
  {
    timeoutMs: fc.oneof({ arbitrary: fc.constant(null), weight: 3 }, clock),
    deadlineMs: clock,
    queueTimeoutMs: clock,
    delayMs: fc.constantFrom(0, 0, 10, 20),
    shield: fc.boolean(),
  },
  { requiredKeys: [] },
)

const move: fc.Arbitrary<Move> = fc.record({
  // The keys of WEIGHTS are those of MOVES.
  type: fc.oneof(
    ...Object.entries(WEIGHTS).map(([type, weight]) => ({ arbitrary: fc.constant(type as Move['type']), weight })),
  ),
  pick: fc.nat(60),
  ms: fc.constantFrom(0, 1, 5, 10, 40),
  jobs: fc.array(job, { minLength: 1, maxLength: 3 }),
})

/** Programs of a policy: any number of jobs that it allows, any clocks, anything that can happen in any order. */
export function programs(policy: Policy): fc.Arbitrary<Program> {
  const mayBeEmpty = policy === 'all_settled' || policy === 'gather' || policy === 'task_group'
  return fc.record({
    plan: fc.record({
      policy: fc.constant(policy),
      n: policy === 'quorum' ? fc.integer({ min: 1, max: 3 }) : fc.constant(null),
      hedgeDelayMs: policy === 'hedge' ? fc.constantFrom(0, 5, 20) : fc.constant(null),
      timeoutMs: fc.option(fc.constantFrom(0, 10, 40, 40, 80), { freq: 2 }),
      open: fc.boolean(),
    }),
    jobs: fc.array(job, { minLength: mayBeEmpty ? 0 : 1, maxLength: 6 }),
    // Without a size fast-check keeps to ten.
    moves: fc.array(move, { maxLength: 40, size: 'max' }),
  })
}

/** Play a program, then let all work finish. Throws where the core breaks a promise. */
export function play({ plan, jobs, moves }: Program): Watch {
  // The API refuses a quorum that cannot be reached unless jobs may still come.
  const n = plan.policy === 'quorum' && !plan.open ? Math.min(plan.n ?? 0, jobs.length) : plan.n
  const watch = new Watch({ ...plan, n }, jobs)
  for (const step of moves) MOVES[step.type](watch, step)
  finish(watch)
  return watch
}

/** Close the batch, give every job its slot, let all work return and every clock run out; a job or a clock at a time. */
function finish(watch: Watch): void {
  if (watch.open) watch.input({ type: 'close' })
  for (let turns = 0; watch.replay.drained === null; turns++) {
    if (turns > 200) throw new Error(`The batch is stuck: ${watch.replay.states}`)
    const [ready] = waiting(watch)
    const [stopping] = inState(watch, 'cancelling')
    const [running] = inState(watch, 'running')
    if (stopping !== undefined) watch.input({ type: 'unwound', index: stopping })
    else if (running !== undefined) watch.input({ type: 'returned', index: running })
    else if (ready !== undefined) watch.input({ type: 'granted', index: ready })
    else fireNext(watch)
  }
  for (const input of tooLate(watch)) watch.stray(input)
}

function fireNext(watch: Watch): void {
  const [first] = [...watch.armed].sort(([, a], [, b]) => a.at - b.at)
  if (first === undefined) throw new Error(`The batch waits for nothing: ${watch.replay.states}`)
  watch.now = Math.max(watch.now, first[1].at)
  watch.fire(first[0])
}

/** Inputs that no longer apply: the races that the engine cannot rule out, lost. */
function tooLate({ batch, replay }: Watch): Input[] {
  const inputs: Input[] = []
  for (const [index, state] of replay.states.entries()) {
    const isOver = !replay.isLive(index)
    if (state !== 'queued') inputs.push({ type: 'granted', index })
    if (isOver || state === 'queued')
      inputs.push({ type: 'returned', index }, { type: 'threw', index, error: boom('Late') })
    if (state !== 'cancelling') inputs.push({ type: 'unwound', index })
    if (!canReschedule(batch, index))
      inputs.push({ type: 'reschedule', index, deadlineMs: 0, timeoutMs: 0, startedAt: 0 })
    if (isOver) {
      inputs.push({ type: 'cancelJob', index, reason: 'late' })
      for (const timer of ['timeout', 'deadline', 'queue_timeout'] as const) inputs.push({ type: 'due', timer, index })
    }
    if (state !== 'queued') inputs.push({ type: 'due', timer: 'queue_timeout', index })
  }
  if (replay.settled !== null)
    inputs.push(
      { type: 'cancelBatch', reason: 'late' },
      { type: 'stop' },
      { type: 'close' },
      { type: 'due', timer: 'batch', index: -1 },
    )
  if (replay.drained !== null) inputs.push({ type: 'shutDown' })
  return inputs
}

const inState = (watch: Watch, state: 'running' | 'cancelling') =>
  watch.replay.live().filter((index) => watch.replay.states[index] === state)

const working = (watch: Watch) => watch.replay.live().filter((index) => watch.replay.states[index] !== 'queued')

const waiting = (watch: Watch) =>
  [...watch.enqueued].filter((index) => watch.replay.states[index] === 'queued').sort((a, b) => a - b)

const overdue = (watch: Watch) => [...watch.armed].flatMap(([key, { at }]) => (at <= watch.now ? [key] : []))

function choose<T>(from: readonly T[], pick: number): T | undefined {
  return from[pick % Math.max(1, from.length)]
}

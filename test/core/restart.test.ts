import { describe, expect, it } from 'vitest'
import type { BatchPlan, JobPlan } from '../../src/core/batch.ts'
import type { LogEntry } from '../../src/core/events.ts'
import { factsOf } from '../../src/core/facts.ts'
import { restart, restoreBatch, type SavedJob } from '../../src/core/restart.ts'
import { type Cause, JOB_STATE_NAMES, Job } from '../../src/core/states.ts'
import { type Input, step } from '../../src/core/step.ts'
import { jobs, line, only, Script, T0 } from '../support/core.ts'

/** The process ends after `run`, and the next one goes on `downMs` later. */
function restarted(
  run: Script,
  plan: {
    batch?: Partial<BatchPlan>
    jobs: JobPlan[]
    saved?: Partial<SavedJob>[]
    repeats?: boolean
    downMs?: number
  },
) {
  const { batch: before } = run
  const unended = run.jobs.flatMap((name, index): SavedJob[] => {
    const attempts = before.attempts.get(index)
    const isOver = before.states[index] >= Job.succeeded
    const rest = { cause: null as Cause | null, reason: null, cancelRequests: before.cancelRequests.get(index) ?? 0 }
    if (isOver || (name === 'queued' && attempts === 0)) return []
    return [{ index, state: before.states[index], attempts, ...rest, ...plan.saved?.[index] }]
  })
  const states = before.states.slice(0, before.total)
  const saved = { states, plan: (index: number) => plan.jobs[index], unended, failures: [...before.failures] }
  const batchPlan = { policy: before.policy, ...plan.batch }
  const batch = restoreBatch(batchPlan, factsOf(before), before.seq, { settledAt: before.settledAt }, saved)
  const now = run.now + (plan.downMs ?? 0)
  const effects = restart(batch, saved, () => plan.repeats ?? true, now)
  const log: LogEntry[] = effects.flatMap((effect) => (effect.type === 'log' ? [effect.entry] : []))
  return {
    batch,
    log,
    lines: effects.map(line),
    get jobs() {
      return [...batch.states].map((state) => JOB_STATE_NAMES[state])
    },
    input: (input: Input) => step(batch, input, now).map(line),
  }
}

describe('after a restart', () => {
  it('queued jobs are queued as they were, without an event', () => {
    const after = restarted(new Script({}, jobs(3)), { jobs: jobs(3) })

    expect(after.lines).toEqual(['enqueue 0-2'])
    expect(after.batch).toMatchObject({ total: 3, liveUnshielded: 3, phase: 'running' })
  })

  it('jobs that were appended keep a place of their own in the queue', () => {
    const run = new Script({ open: true }, jobs(2))
    run.append(...jobs(2))
    run.append(...jobs(1))
    run.grant(2)

    const after = restarted(run, { jobs: jobs(5) })

    expect(only(after.lines, 'enqueue')).toEqual(['enqueue 2 resumed', 'enqueue 0-1', 'enqueue 3', 'enqueue 4'])
  })

  it('a job that was running is queued again as a new attempt, before everything else, and once', () => {
    const run = new Script({}, jobs(4))
    run.grant(0, 2)

    const after = restarted(run, { jobs: jobs(4) })

    expect(after.lines).toEqual([
      'job.queued 0',
      'job.queued 2',
      'enqueue 0 resumed',
      'enqueue 2 resumed',
      'enqueue 1',
      'enqueue 3',
    ])
    expect(after.log[0]).toMatchObject({ attempt: 2 })
    expect(after.input({ type: 'granted', index: 2 })).toEqual(['job.started 2'])
    expect(after.batch.attempts.get(2)).toBe(2)
  })

  it('a job that must not be repeated is failed, interrupted, and counts as a failure', () => {
    const run = new Script({ policy: 'task_group' }, jobs(2))
    run.grant(0)

    const after = restarted(run, { jobs: jobs(2), repeats: false })

    expect(after.lines).toEqual([
      'job.failed 0',
      'batch.aborting sibling_failed by 0',
      'job.cancelled 1 sibling_failed',
      'batch.settled failed',
      'batch.drained',
    ])
    expect(after.batch.error?.errors).toMatchObject([{ index: 0, code: 'interrupted' }])
  })

  it('what was being stopped has stopped', () => {
    const run = new Script({}, jobs(3, { timeoutMs: 5 }))
    run.grant(0, 1)
    run.due('timeout', 0)
    run.cancelJob(1, 'mine')

    const after = restarted(run, {
      jobs: jobs(3),
      saved: [{ cause: 'timeout' }, { cause: 'user', reason: 'mine' }],
    })

    expect(only(after.lines, 'job')).toEqual(['job.timed_out 0 timeout', 'job.cancelled 1 user'])
    expect(after.log[1]).toMatchObject({ reason: 'mine' })
  })

  it('a batch that was aborting goes on aborting, to the same outcome and reason', () => {
    const run = new Script({}, jobs(2))
    run.grant(0)
    run.cancel('over')
    run.cancelJob(0, 'late')

    const after = restarted(run, { jobs: jobs(2), saved: [{ cause: 'batch_cancel' }] })

    expect(after.lines).toEqual(['job.cancelled 0 batch_cancel', 'batch.settled cancelled', 'batch.drained'])
    expect(after.log[0]).toMatchObject({ reason: 'over' })
    expect(after.batch.error?.message).toBe('over')
  })

  it('the survivors of a failed gather go on, and its outcome stays', () => {
    const run = new Script({ policy: 'gather', timeoutMs: 50 }, jobs(3))
    run.grant(0, 1)
    run.throws(0)

    const after = restarted(run, { batch: { timeoutMs: 50 }, jobs: jobs(3), downMs: 10 })

    expect(after.lines).toEqual(['job.queued 1', 'enqueue 1 resumed', 'enqueue 2'])
    expect(after.batch).toMatchObject({ outcome: 'failed', settledAt: T0, phase: 'settled' })
  })

  it('clocks go on from acceptance, and those that ran out meanwhile are due now', () => {
    const plans: JobPlan[] = [
      { deadlineMs: 10 },
      { deadlineMs: 90 },
      { queueTimeoutMs: 10 },
      { delayMs: 10 },
      { delayMs: 90 },
    ]

    const after = restarted(new Script({}, plans), { jobs: plans, downMs: 30 })

    expect(after.lines).toEqual([
      'job.timed_out 0 deadline',
      'arm deadline 1 +90',
      'job.timed_out 2 queue_timeout',
      'arm delay 4 +90',
      'enqueue 1',
      'enqueue 3',
    ])
  })

  it('a job that had started waits neither for a slot in time nor for its delay', () => {
    const plans: JobPlan[] = [{ queueTimeoutMs: 10, delayMs: 5, deadlineMs: 90 }]
    const run = new Script({}, plans)
    run.after(5).due('delay', 0)
    run.grant(0)

    const after = restarted(run, { jobs: plans, downMs: 30 })

    expect(after.lines).toEqual(['job.queued 0', 'arm deadline 0 +90', 'enqueue 0 resumed'])
  })

  it('a batch whose timeout passed meanwhile times out, and nothing starts', () => {
    const run = new Script({ timeoutMs: 50 }, jobs(3))
    run.grant(1)

    const after = restarted(run, { batch: { timeoutMs: 50 }, jobs: jobs(3), downMs: 60 })

    expect(after.lines).toEqual([
      'job.queued 1',
      'batch.aborting batch_timeout',
      'job.cancelled 0 batch_timeout',
      'job.cancelled 1 batch_timeout',
      'job.cancelled 2 batch_timeout',
      'disarm batch',
      'batch.settled timed_out',
      'batch.drained',
    ])
  })

  it('a batch whose last job was stopped and whose timeout passed meanwhile has nothing left to abort', () => {
    const run = new Script({ policy: 'race', timeoutMs: 50 }, jobs(1))
    run.grant(0)
    run.cancelJob(0)

    const after = restarted(run, {
      batch: { timeoutMs: 50 },
      jobs: jobs(1),
      saved: [{ cause: 'user' }],
      downMs: 60,
    })

    expect(only(after.lines, 'batch')).toEqual(['batch.settled failed', 'batch.drained'])
    expect(after.batch.winner).toBe(0)
  })

  it('shielded jobs are still shielded', () => {
    const plans: JobPlan[] = [{}, { shield: true }]
    const run = new Script({}, plans)
    run.grant(0)
    run.cancel()

    const after = restarted(run, { jobs: plans, saved: [{ cause: 'batch_cancel' }] })

    expect(after.lines).toEqual(['job.cancelled 0 batch_cancel', 'enqueue 1', 'batch.settled cancelled'])
  })

  it('a hedge holds back what it held back, and lets the next go when an attempt was cut off for good', () => {
    const plan = { batch: { hedgeDelayMs: 100 }, jobs: [{}, { delayMs: 50 }, {}] }
    const run = () => {
      const hedge = new Script({ policy: 'hedge', ...plan.batch }, plan.jobs)
      hedge.grant(0)
      return hedge
    }

    expect(only(restarted(run(), plan).lines, 'enqueue')).toEqual(['enqueue 0 resumed'])

    const cutOff = restarted(run(), { ...plan, repeats: false })
    expect(only(cutOff.lines, 'enqueue')).toEqual([])
    expect(cutOff.input({ type: 'due', timer: 'delay', index: 1 })).toEqual(['enqueue 1'])
  })
})

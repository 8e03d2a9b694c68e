import { describe, expect, it } from 'vitest'
import type { JobPlan } from '../../src/core/batch.ts'
import { JOB_STATE_NAMES, Job } from '../../src/core/states.ts'
import type { Input } from '../../src/core/step.ts'
import { boom, jobs, only, Script } from '../support/core.ts'

/** A job beside one that keeps the batch running. */
const job = (plan: JobPlan = {}) => new Script({ timeoutMs: 1_000 }, [plan, {}])

const running = (plan?: JobPlan) => {
  const run = job(plan)
  run.grant(0)
  return run
}

describe('a job is accepted', () => {
  it('as queued, without a slot', () => {
    const run = job()

    expect(run.accepted).toEqual(['batch.accepted', 'job.queued 0-1', 'arm batch +1000', 'enqueue 0-1'])
    expect(run.jobs[0]).toBe('queued')
  })
})

describe('a queued job', () => {
  it('runs when it is granted a slot', () => {
    const run = job()

    expect(run.grant(0)).toEqual(['job.started 0'])
    expect(run.jobs[0]).toBe('running')
    expect(run.last(0)).toMatchObject({ attempt: 1 })
  })

  // test_tasks: test_cancel_with_message_before_starting_task
  it('is cancelled at once by a cancel, with cause and reason, and gives no slot back', () => {
    const run = job()

    expect(run.cancelJob(0, 'unwanted')).toEqual(['job.cancelled 0 user'])
    expect(run.last(0)).toMatchObject({ cause: 'user', reason: 'unwanted' })
  })

  it.each<[Input['type'], string]>([
    ['cancelBatch', 'batch_cancel'],
    ['stop', 'stop'],
    ['shutDown', 'shutdown'],
  ])('is cancelled at once by %s, with the cause %s', (type, cause) => {
    const run = job()

    // These inputs have a reason at most.
    const lines = run.input({ type, reason: null } as Input)

    expect(only(lines, 'job')).toEqual([`job.cancelled 0-1 ${cause}`])
    expect(only(lines, 'release')).toEqual([])
  })

  it('is cancelled at once by the timeout of its batch', () => {
    expect(only(job().due('batch'), 'job')).toEqual(['job.cancelled 0-1 batch_timeout'])
  })

  it.each(['deadline', 'queue_timeout'] as const)('is timed_out when its %s is due', (timer) => {
    const run = job({ deadlineMs: 5, queueTimeoutMs: 5 })

    expect(run.after(5).due(timer, 0)).toEqual(['disarm 0', `job.timed_out 0 ${timer}`])
    expect(run.jobs[0]).toBe('timed_out')
  })

  // test_waitfor: test_wait_for_timeout_less_then_0_or_0_coroutine_do_not_started
  it.each([
    ['timeoutMs', 'timeout'],
    ['deadlineMs', 'deadline'],
    ['queueTimeoutMs', 'queue_timeout'],
  ])('is timed_out at acceptance with %s 0, and never starts', (field, cause) => {
    const run = job({ [field]: 0 })

    expect(run.accepted).toContain(`job.timed_out 0 ${cause}`)
    expect(only(run.accepted, 'enqueue')).toEqual(['enqueue 1'])
    expect(run.grant(0)).toEqual([])
  })
})

describe('a running job', () => {
  it.each([
    ['returns', 'succeeded'],
    ['throws', 'failed'],
  ] as const)('that %s by itself is %s, and gives its slot back', (ends, state) => {
    const run = running()

    expect(run[ends](0)).toEqual([`job.${state} 0`, 'release 0'])
    expect(run.jobs[0]).toBe(state)
  })

  it.each<[string, string, (run: Script) => string[]]>([
    ['a cancel', 'user', (run) => run.cancelJob(0)],
    ['its timeout', 'timeout', (run) => run.due('timeout', 0)],
    ['its deadline', 'deadline', (run) => run.due('deadline', 0)],
    ['the abort of its batch', 'batch_cancel', (run) => run.cancel()],
    ['the timeout of its batch', 'batch_timeout', (run) => run.due('batch')],
    ['a stop', 'stop', (run) => run.stop()],
    ['the shutdown', 'shutdown', (run) => run.shutDown()],
  ])('is cancelling at %s: its controller fires, its slot is held', (_, cause, act) => {
    const run = running({ timeoutMs: 5, deadlineMs: 5 })

    const lines = act(run)

    expect(lines).toContain(`job.cancelling 0 ${cause}`)
    expect(only(lines, 'abort')).toEqual([`abort 0 ${cause}`])
    expect(only(lines, 'release')).toEqual([])
    expect(run.jobs[0]).toBe('cancelling')
  })

  it('is not reached by a queue timeout any more', () => {
    expect(running({ queueTimeoutMs: 5 }).due('queue_timeout', 0)).toEqual([])
  })

  it('does not start a second time', () => {
    const run = running()

    expect(run.grant(0)).toEqual([])
    expect(run.batch.attempts.get(0)).toBe(1)
  })

  it('does not end as unwound when nobody asked it to stop', () => {
    expect(running().unwinds(0)).toEqual([])
  })
})

describe('a cancelling job', () => {
  const cancelling = (plan?: JobPlan) => {
    const run = running(plan)
    run.cancelJob(0, 'first')
    return run
  }

  // test_tasks: test_cancel_task_ignoring
  it('takes note of a further cause without an event or a second abort', () => {
    const run = cancelling({ timeoutMs: 5, deadlineMs: 5 })

    expect(run.due('timeout', 0)).toEqual([])
    expect(run.due('deadline', 0)).toEqual([])
    expect(run.cancelJob(0, 'second')).toEqual([])
    expect(only(run.cancel('third'), 'abort')).toEqual([])
  })

  it('is cancelled when it has unwound, with its first cause, and gives its slot back only then', () => {
    const run = cancelling()

    expect(run.unwinds(0)).toEqual(['job.cancelled 0 user', 'release 0'])
    expect(run.last(0)).toMatchObject({ cause: 'user', reason: 'first' })
  })

  it.each([
    ['returns', 'succeeded'],
    ['throws', 'failed'],
  ] as const)('that %s all the same is %s', (ends, state) => {
    expect(cancelling()[ends](0)).toEqual([`job.${state} 0`, 'release 0'])
  })
})

describe('a job that has ended', () => {
  it.each<[string, (run: Script) => void]>([
    ['succeeded', (run) => run.returns(0)],
    ['failed', (run) => run.throws(0)],
    [
      'timed_out',
      (run) => {
        run.due('timeout', 0)
        run.unwinds(0)
      },
    ],
    [
      'cancelled',
      (run) => {
        run.cancelJob(0)
        run.unwinds(0)
      },
    ],
  ])('%s stays so, whatever comes', (state, end) => {
    const run = running({ timeoutMs: 5, deadlineMs: 9 })
    end(run)
    const { seq } = run.batch

    const late: string[][] = [
      run.grant(0),
      run.returns(0),
      run.throws(0),
      run.unwinds(0),
      run.cancelJob(0),
      run.due('timeout', 0),
      run.due('deadline', 0),
      run.due('queue_timeout', 0),
      run.due('delay', 0),
      run.reschedule(0, { deadlineMs: 0, timeoutMs: 0 }),
    ]

    expect(late.flat()).toEqual([])
    expect(run.jobs[0]).toBe(state)
    expect(run.batch.seq).toBe(seq)
  })
})

describe('the log', () => {
  it('begins at seq 1 and rises by one for every event, an entry of many standing for as many', () => {
    const run = new Script({ policy: 'task_group' }, jobs(5))
    run.grant(0)
    run.throws(0, boom())

    expect(run.log.map(({ seq, count, type }) => [seq, count, type])).toEqual([
      [1, 1, 'batch.accepted'],
      [2, 5, 'job.queued'],
      [7, 1, 'job.started'],
      [8, 1, 'job.failed'],
      [9, 1, 'batch.aborting'],
      [10, 4, 'job.cancelled'],
      [14, 1, 'batch.settled'],
      [15, 1, 'batch.drained'],
    ])
    expect(run.batch.seq).toBe(15)
  })

  it('has a job count in each state, and their sum is what was accepted', () => {
    const run = new Script({}, [{}, {}, {}, { timeoutMs: 0 }])
    run.grant(0, 1)
    run.returns(0)
    run.throws(1)
    run.cancelJob(2)

    expect(JOB_STATE_NAMES.map((name, state) => [name, run.batch.counts[state]])).toEqual([
      ['queued', 0],
      ['running', 0],
      ['cancelling', 0],
      ['succeeded', 1],
      ['failed', 1],
      ['timed_out', 1],
      ['cancelled', 1],
    ])
    expect(run.batch.counts[Job.succeeded]).toBe(1)
  })
})

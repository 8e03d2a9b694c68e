import { describe, expect, it } from 'vitest'
import type { BatchPlan, JobPlan } from '../../src/core/batch.ts'
import { boom, jobs, only, Script } from '../support/core.ts'

const running = (plan: JobPlan = {}, batch: Partial<BatchPlan> = {}) => {
  const run = new Script(batch, [plan])
  run.grant(0)
  return run
}

describe('of a job', () => {
  // test_waitfor: test_wait_for_race_condition
  it('a result recorded before the timer fires wins, and the timer is disarmed', () => {
    const run = running({ timeoutMs: 5 })

    expect(run.returns(0).slice(0, 2)).toEqual(['disarm 0', 'job.succeeded 0'])
    expect(run.due('timeout', 0)).toEqual([])
    expect(run.jobs).toEqual(['succeeded'])
  })

  it.each([
    ['result', 'timer'],
    ['timer', 'result'],
  ])('a %s and then a %s in one turn make exactly one terminal event', (first) => {
    const run = running({ timeoutMs: 5 })
    const acts = [() => run.returns(0), () => run.due('timeout', 0)]
    if (first === 'timer') acts.reverse()
    for (const act of acts) act()

    expect(run.log.filter(({ type }) => type === 'job.succeeded' || type === 'job.timed_out')).toHaveLength(1)
  })

  it('a cancel accepted before the result is recorded makes it cancelled', () => {
    const run = running()
    run.cancelJob(0)
    run.unwinds(0)

    expect(run.returns(0)).toEqual([])
    expect(run.jobs).toEqual(['cancelled'])
  })

  // test_waitfor: test_wait_for_cancel_suppressed; test_tasks: test_cancel_task_catching
  it.each(['user', 'timeout', 'both'])('a value returned all the same wins over %s', (cause) => {
    const run = running({ timeoutMs: 5 })
    if (cause !== 'user') run.due('timeout', 0)
    if (cause !== 'timeout') run.cancelJob(0)
    run.returns(0)

    expect(run.jobs).toEqual(['succeeded'])
    expect(run.last(0)?.cause).toBe(undefined)
  })

  // test_timeouts: test_foreign_exception_on_timeout; test_waitfor: test_wait_for_reraises_exception_during_cancellation
  it.each(['user', 'timeout', 'both'])('an error of its own wins over %s', (cause) => {
    const run = running({ timeoutMs: 5 })
    if (cause !== 'user') run.due('timeout', 0)
    if (cause !== 'timeout') run.cancelJob(0)
    run.throws(0)

    expect(run.jobs).toEqual(['failed'])
  })

  // test_timeouts: test_foreign_cancel_doesnt_timeout_if_not_expired
  it.each([
    ['timeout', 'cancel'],
    ['cancel', 'timeout'],
  ])('its own %s and then a %s make it cancelled', (first) => {
    const run = running({ timeoutMs: 5 })
    const acts = [() => run.due('timeout', 0), () => run.cancelJob(0, 'mine')]
    if (first === 'cancel') acts.reverse()
    for (const act of acts) act()
    run.unwinds(0)

    expect(run.last(0)).toMatchObject({ type: 'job.cancelled', cause: 'user', reason: 'mine' })
  })

  // test_timeouts: test_timeout_basic
  it.each(['timeout', 'deadline'] as const)('only its own %s makes it timed_out', (timer) => {
    const run = running({ timeoutMs: 5, deadlineMs: 5 })
    run.due(timer, 0)
    run.unwinds(0)

    expect(run.last(0)).toMatchObject({ type: 'job.timed_out', cause: timer, reason: null })
  })

  // test_timeouts: test_nested_timeouts
  it('the first of two own clocks is its cause', () => {
    const run = running({ timeoutMs: 5, deadlineMs: 5 })
    run.due('deadline', 0)
    run.due('timeout', 0)
    run.unwinds(0)

    expect(run.last(0)).toMatchObject({ cause: 'deadline' })
  })

  it('a slot granted to a waiter that was cancelled starts nothing', () => {
    const run = new Script({}, jobs(2))
    run.cancelJob(0)

    expect(run.grant(0)).toEqual([])
    expect(run.jobs).toEqual(['cancelled', 'queued'])
  })
})

describe('of a job and its batch', () => {
  it.each([
    ['deadline', 'batch'],
    ['batch', 'deadline'],
  ] as const)('%s and then %s at once: the job is cancelled, the batch timed_out', (...timers) => {
    const run = running({ deadlineMs: 50 }, { timeoutMs: 50, policy: 'task_group' })
    for (const timer of timers) run.due(timer, timer === 'batch' ? -1 : 0)
    run.unwinds(0)

    expect(run.jobs).toEqual(['cancelled'])
    expect(run.state).toBe('timed_out')
    expect(run.last(0)).toMatchObject({ cause: 'batch_timeout' })
  })

  it('both of zero length: the job is cancelled, the batch timed_out', () => {
    const run = new Script({ policy: 'task_group', timeoutMs: 0 }, [{ deadlineMs: 0 }, { timeoutMs: 0 }, {}])

    expect(run.jobs).toEqual(['cancelled', 'cancelled', 'cancelled'])
    expect(run.state).toBe('timed_out')
  })

  it('a real error wins over the cancel that was being carried out', () => {
    const run = running({}, { policy: 'task_group' })
    run.cancel()
    run.throws(0)

    expect(run.state).toBe('failed')
  })
})

describe('of a batch', () => {
  const two = (batch: Partial<BatchPlan>) => {
    const run = new Script({ timeoutMs: 50, ...batch }, jobs(2))
    run.grant(0, 1)
    return run
  }

  it.each<[string, (run: Script) => void]>([
    ['a cancel', (run) => run.cancel()],
    ['a timeout', (run) => run.due('batch')],
    ['a stop', (run) => run.stop()],
  ])('a real error wins over %s that comes after it', (_, act) => {
    const run = two({ policy: 'task_group' })
    run.throws(0)
    act(run)
    run.unwinds(1)

    expect(run.state).toBe('failed')
    expect(run.group).toEqual([[0, 'Boom']])
  })

  it.each<[string, (run: Script) => void]>([
    ['a cancel', (run) => run.cancel()],
    ['a timeout', (run) => run.due('batch')],
    ['a stop', (run) => run.stop()],
  ])('a real error of the unwinding wins over %s', (_, act) => {
    const run = two({ policy: 'gather' })
    act(run)
    run.throws(0)
    run.unwinds(1)

    expect(run.state).toBe('failed')
  })

  // test_tasks: test_cancel_gather_2
  it.each([
    ['cancel', 'timeout'],
    ['timeout', 'cancel'],
  ])('a %s and then a %s make it cancelled', (first) => {
    const run = two({})
    const acts = [() => run.cancel('mine'), () => run.due('batch')]
    if (first === 'timeout') acts.reverse()
    for (const act of acts) act()
    run.unwinds(0)
    run.unwinds(1)

    expect(run.state).toBe('cancelled')
    expect(run.batch.error).toMatchObject({ type: 'CancelledError', message: 'mine' })
  })

  it('its timeout fired and every job then succeeds while unwinding: timed_out', () => {
    const run = two({})
    run.due('batch')
    run.returns(0)
    run.returns(1)

    expect(run.jobs).toEqual(['succeeded', 'succeeded'])
    expect(run.state).toBe('timed_out')
  })

  it.each(['any', 'hedge', 'race', 'quorum'] as const)(
    '%s that is cancelled counts no errors, for nothing was decided',
    (policy) => {
      const run = two({ policy, n: 1 })
      run.cancel()
      run.throws(0)
      run.unwinds(1)

      expect(run.state).toBe('cancelled')
    },
  )

  it('a failure that was decided stays when a cancel comes while it unwinds', () => {
    const run = new Script({ policy: 'quorum', n: 2 }, jobs(3))
    run.grant(0, 1, 2)
    run.throws(0, boom('One'))
    run.throws(1, boom('Two'))
    run.cancel()
    run.unwinds(2)

    expect(run.state).toBe('failed')
    expect(run.group).toEqual([
      [0, 'One'],
      [1, 'Two'],
    ])
  })

  it('a success that was decided gives way to a cancel that is accepted while it unwinds', () => {
    const run = two({ policy: 'any' })
    run.returns(0)
    run.cancel()
    run.unwinds(1)

    expect(run.state).toBe('cancelled')
    expect(run.batch.winner).toBe(0)
  })

  it('a stop is no error, and gives way to a cancel and to a timeout', () => {
    const end = (act: (run: Script) => void) => {
      const run = two({})
      run.stop()
      act(run)
      run.unwinds(0)
      run.unwinds(1)
      return run.state
    }

    expect(end(() => undefined)).toBe('succeeded')
    expect(end((run) => run.cancel())).toBe('cancelled')
    expect(end((run) => run.due('batch'))).toBe('timed_out')
  })

  it('its timeout comes too late when it has settled', () => {
    const run = two({})
    run.returns(0)
    run.returns(1)

    expect(run.due('batch')).toEqual([])
    expect(
      only(
        run.log.map(({ type }) => type),
        'batch.settled',
      ),
    ).toHaveLength(1)
    expect(run.state).toBe('succeeded')
  })
})

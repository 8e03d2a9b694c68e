import { describe, expect, it } from 'vitest'
import { canReschedule } from '../../src/core/step.ts'
import { jobs, Script, T0 } from '../support/core.ts'

describe('a new deadlineMs', () => {
  // test_timeouts: test_reschedule
  it('counts from acceptance, and replaces the old clock', () => {
    const run = new Script({}, jobs(2, { deadlineMs: 20 }))

    expect(run.after(10).reschedule(1, { deadlineMs: 50 })).toEqual(['arm deadline 1 +50'])
  })

  it('counts from the append for a job that was appended', () => {
    const run = new Script({ open: true }, jobs(2))
    run.after(100).append({}, {})
    run.after(100).append({})

    expect(run.reschedule(1, { deadlineMs: 500 })).toEqual(['arm deadline 1 +500'])
    expect(run.reschedule(3, { deadlineMs: 500 })).toEqual(['arm deadline 3 +600'])
    expect(run.reschedule(4, { deadlineMs: 500 })).toEqual(['arm deadline 4 +700'])
  })

  it('that is past ends the job now, queued or running', () => {
    const run = new Script({}, jobs(3))
    run.grant(0)
    run.after(10)

    expect(run.reschedule(1, { deadlineMs: 10 })).toEqual(['job.timed_out 1 deadline'])
    expect(run.reschedule(0, { deadlineMs: 3 })).toEqual(['job.cancelling 0 deadline', 'abort 0 deadline'])
  })

  it('of null takes the clock away', () => {
    const run = new Script({}, jobs(1, { deadlineMs: 20 }))

    expect(run.reschedule(0, { deadlineMs: null })).toEqual(['disarm deadline 0'])
  })
})

describe('a new timeoutMs', () => {
  it('counts from the start of the attempt that runs', () => {
    const run = new Script({}, jobs(1, { timeoutMs: 20 }))
    run.after(5).grant(0)

    expect(run.after(10).reschedule(0, { timeoutMs: 50 }, T0 + 5)).toEqual(['arm timeout 0 +55'])
  })

  it('is kept for later while the job is queued, and for that job only', () => {
    const run = new Script({}, jobs(3, { timeoutMs: 20 }))

    expect(run.reschedule(1, { timeoutMs: 50 })).toEqual([])
    expect(run.after(5).grant(0, 1)).toEqual([
      'job.started 0',
      'arm timeout 0 +25',
      'job.started 1',
      'arm timeout 1 +55',
    ])
  })

  it('that is past ends a running job now', () => {
    const run = new Script({}, jobs(1))
    run.grant(0)

    expect(run.after(10).reschedule(0, { timeoutMs: 10 })).toEqual(['job.cancelling 0 timeout', 'abort 0 timeout'])
  })

  // test_timeouts: test_timeout_zero
  it('of zero ends the job now, queued or running', () => {
    const run = new Script({}, jobs(3))
    run.grant(0)

    expect(run.reschedule(0, { timeoutMs: 0 })).toEqual(['job.cancelling 0 timeout', 'abort 0 timeout'])
    expect(run.reschedule(1, { timeoutMs: 0 })).toEqual(['job.timed_out 1 timeout'])
  })

  it('of null takes the clock away, of the attempt that runs and of one to come', () => {
    const run = new Script({}, jobs(2, { timeoutMs: 20 }))
    run.grant(0)

    expect(run.reschedule(0, { timeoutMs: null })).toEqual(['disarm timeout 0'])
    run.reschedule(1, { timeoutMs: null })
    expect(run.grant(1)).toEqual(['job.started 1'])
  })

  it('given to a job without any clock is disarmed when that ends', () => {
    const run = new Script({}, jobs(2))
    run.grant(0)
    run.reschedule(0, { timeoutMs: 50 })

    expect(run.returns(0)).toEqual(['disarm 0', 'job.succeeded 0', 'release 0'])
  })
})

describe('both at once', () => {
  it('move both clocks', () => {
    const run = new Script({}, jobs(1))
    run.grant(0)

    expect(run.reschedule(0, { deadlineMs: 50, timeoutMs: 40 })).toEqual(['arm deadline 0 +50', 'arm timeout 0 +40'])
  })

  it('of which the deadline is past: the job ends for that, and its timeout is left alone', () => {
    const run = new Script({}, jobs(1, { timeoutMs: 90 }))
    run.grant(0)

    expect(run.after(10).reschedule(0, { deadlineMs: 5, timeoutMs: 70 })).toEqual([
      'job.cancelling 0 deadline',
      'abort 0 deadline',
    ])
    expect(run.batch.timeouts.get(0)).toBe(90)
  })

  it('absent change nothing', () => {
    const run = new Script({}, jobs(1, { timeoutMs: 20, deadlineMs: 30 }))

    expect(run.reschedule(0, {})).toEqual([])
  })
})

describe('reschedule against expiry', () => {
  it('expiry first: it is refused, and changes nothing', () => {
    const run = new Script({}, [{ timeoutMs: 20 }, { deadlineMs: 20 }, {}])
    run.grant(0)
    run.due('timeout', 0)
    run.due('deadline', 1)

    expect([0, 1].map((index) => canReschedule(run.batch, index))).toEqual([false, false])
    expect(run.reschedule(0, { deadlineMs: 500, timeoutMs: 500 })).toEqual([])
    expect(run.reschedule(1, { deadlineMs: 500 })).toEqual([])
    expect(run.jobs).toEqual(['cancelling', 'timed_out', 'queued'])
  })

  it('reschedule first: the old time is no longer armed', () => {
    const run = new Script({}, jobs(1, { deadlineMs: 20 }))
    expect(canReschedule(run.batch, 0)).toBe(true)

    // An `arm` replaces the timer of the same kind and job.
    expect(run.after(19).reschedule(0, { deadlineMs: 60 })).toEqual(['arm deadline 0 +60'])
    expect(run.jobs).toEqual(['queued'])
  })
})

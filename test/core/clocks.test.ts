import { describe, expect, it } from 'vitest'
import { jobs, only, Script } from '../support/core.ts'

describe('timeoutMs', () => {
  it('counts from the start of the attempt', () => {
    const run = new Script({}, jobs(1, { timeoutMs: 20 }))
    expect(only(run.accepted, 'arm')).toEqual([])

    expect(run.after(30).grant(0)).toEqual(['job.started 0', 'arm timeout 0 +50'])
  })

  // test_timeouts: test_timeout_disabled
  it.each([undefined, null])('is no clock when it is %s', (timeoutMs) => {
    const run = new Script({}, jobs(1, { timeoutMs }))

    expect(run.grant(0)).toEqual(['job.started 0'])
  })

  it('differs from job to job', () => {
    const run = new Script({}, [{ timeoutMs: 10 }, {}, { timeoutMs: 30 }, { timeoutMs: 30 }])

    expect(only(run.grant(0, 1, 2, 3), 'arm')).toEqual(['arm timeout 0 +10', 'arm timeout 2 +30', 'arm timeout 3 +30'])
  })
})

describe('deadlineMs', () => {
  it('counts from acceptance, and goes on through the start', () => {
    const run = new Script({}, jobs(1, { deadlineMs: 20 }))

    expect(only(run.accepted, 'arm')).toEqual(['arm deadline 0 +20'])
    expect(run.after(5).grant(0)).toEqual(['job.started 0', 'disarm queue_timeout 0'])
    expect(run.after(15).due('deadline', 0)).toEqual(['job.cancelling 0 deadline', 'abort 0 deadline'])
  })

  it('of a job appended later counts from the append', () => {
    const run = new Script({ open: true }, [])

    expect(only(run.after(100).append({ deadlineMs: 20 }), 'arm')).toEqual(['arm deadline 0 +120'])
  })
})

describe('queueTimeoutMs', () => {
  it('counts from acceptance, and is over when the job starts', () => {
    const run = new Script({}, jobs(1, { queueTimeoutMs: 20 }))

    expect(only(run.accepted, 'arm')).toEqual(['arm queue_timeout 0 +20'])
    expect(run.grant(0)).toContain('disarm queue_timeout 0')
  })

  it('goes on while a delay holds the job back', () => {
    const run = new Script({}, jobs(1, { queueTimeoutMs: 20, delayMs: 50 }))

    expect(run.after(20).due('queue_timeout', 0)).toEqual([
      'disarm 0',
      'job.timed_out 0 queue_timeout',
      'batch.settled succeeded',
      'batch.drained',
    ])
  })
})

describe('delayMs', () => {
  it('holds the job back and no other', () => {
    const run = new Script({}, [{}, { delayMs: 30 }, {}])

    expect(run.accepted).toEqual(['batch.accepted', 'job.queued 0-2', 'arm delay 1 +30', 'enqueue 0', 'enqueue 2'])
    expect(run.after(30).due('delay', 1)).toEqual(['enqueue 1'])
  })

  it('of zero is none', () => {
    expect(new Script({}, jobs(1, { delayMs: 0 })).accepted).toContain('enqueue 0')
  })

  it('is forgotten with the job', () => {
    const run = new Script({}, [{ delayMs: 30 }, {}])

    expect(run.cancelJob(0)).toEqual(['disarm 0', 'job.cancelled 0 user'])
    expect(run.due('delay', 0)).toEqual([])
  })

  it('is forgotten when the batch aborts', () => {
    const run = new Script({}, jobs(2, { delayMs: 30 }))

    expect(only(run.cancel(), 'disarm')).toEqual(['disarm 0', 'disarm 1'])
  })
})

describe("the batch's timeoutMs", () => {
  it('counts from its acceptance, not from an append', () => {
    const run = new Script({ timeoutMs: 50 }, jobs(1))

    expect(only(run.accepted, 'arm')).toEqual(['arm batch +50'])
    expect(only(run.after(10).append({}), 'arm')).toEqual([])
  })

  it('of zero ends it at acceptance: no job starts', () => {
    const run = new Script({ timeoutMs: 0 }, jobs(2))

    expect(run.state).toBe('timed_out')
    expect(run.jobs).toEqual(['cancelled', 'cancelled'])
    expect(only(run.accepted, 'enqueue')).toEqual([])
    expect(only(run.accepted, 'arm')).toEqual([])
  })

  it.each([undefined, null])('is no clock when it is %s', (timeoutMs) => {
    expect(only(new Script({ timeoutMs }, jobs(1)).accepted, 'arm')).toEqual([])
  })

  it('is disarmed when the batch settles', () => {
    const run = new Script({ timeoutMs: 50 }, jobs(1))
    run.grant(0)

    expect(run.returns(0)).toContain('disarm batch')
  })

  it('goes on while the batch unwinds', () => {
    const run = new Script({ timeoutMs: 50 }, jobs(1))
    run.grant(0)

    expect(only(run.stop(), 'disarm')).toEqual([])
  })
})

describe('of a job that ends', () => {
  it.each<[string, (run: Script) => string[]]>([
    ['returns', (run) => run.returns(0)],
    ['throws', (run) => run.throws(0)],
    [
      'unwinds',
      (run) => {
        run.cancelJob(0)
        return run.unwinds(0)
      },
    ],
  ])('every clock is disarmed when it %s', (_, end) => {
    const run = new Script({}, [{ timeoutMs: 10, deadlineMs: 20 }, {}])
    run.grant(0)

    expect(end(run)[0]).toBe('disarm 0')
  })

  it('there is nothing to disarm when it has no clock', () => {
    const run = new Script({}, jobs(2))
    run.grant(0)

    expect(run.returns(0)).toEqual(['job.succeeded 0', 'release 0'])
  })

  it('no clock is armed when it ended at acceptance', () => {
    const run = new Script({}, [{ timeoutMs: 0, deadlineMs: 10, queueTimeoutMs: 10, delayMs: 10 }, {}])

    expect(only(run.accepted, 'arm')).toEqual([])
  })

  it('a clock armed before it ended at acceptance is disarmed', () => {
    const run = new Script({}, [{ deadlineMs: 10, queueTimeoutMs: 0 }, {}])

    expect(run.accepted.indexOf('disarm 0')).toBeGreaterThan(run.accepted.indexOf('arm deadline 0 +10'))
  })
})

import { describe, expect, it } from 'vitest'
import { jobs, only, Script } from '../support/core.ts'

describe('all_settled', () => {
  it('is decided when every job has ended', () => {
    const run = new Script({}, jobs(2))
    run.grant(0, 1)
    run.returns(1)

    expect(run.state).toBe('running')

    expect(run.returns(0)).toEqual(['job.succeeded 0', 'batch.settled succeeded', 'batch.drained', 'release 0'])
  })

  // test_tasks: GatherTestsBase.test_return_exceptions
  it('succeeds even when every job fails', () => {
    const run = new Script({}, [{}, { timeoutMs: 5 }, {}])
    run.grant(0, 1)
    run.throws(0)
    run.due('timeout', 1)
    run.unwinds(1)
    run.cancelJob(2)

    expect(run.jobs).toEqual(['failed', 'timed_out', 'cancelled'])
    expect(run.state).toBe('succeeded')
    expect(run.batch.error).toBe(null)
    expect(run.batch.winner).toBe(null)
  })

  it('lets the rest go on after a failure', () => {
    const run = new Script({}, jobs(3))
    run.grant(0, 1)

    expect(run.throws(0)).toEqual(['job.failed 0', 'release 0'])
    expect(run.jobs).toEqual(['failed', 'running', 'queued'])
  })

  // test_tasks: FutureGatherTests.test_constructor_empty_sequence_use_running_loop
  it('succeeds at once without jobs', () => {
    const run = new Script({}, [])

    expect(run.accepted).toEqual(['batch.accepted', 'batch.settled succeeded', 'batch.drained'])
    expect(run.batch.settledAt).toBe(run.now)
  })

  it('counts no errors: with a real error and a batch timeout it is timed_out', () => {
    const run = new Script({ timeoutMs: 50 }, jobs(2))
    run.grant(0, 1)
    run.throws(0)
    run.due('batch')
    run.throws(1)

    expect(run.state).toBe('timed_out')
    expect(run.batch.error).toMatchObject({ type: 'TimeoutError' })
  })

  it('counts no errors: with a real error and a cancel it is cancelled', () => {
    const run = new Script({}, jobs(2))
    run.grant(0, 1)
    run.throws(0)
    run.cancel('enough')
    run.unwinds(1)

    expect(run.state).toBe('cancelled')
    expect(run.batch.error).toEqual({ type: 'CancelledError', code: 'cancelled', message: 'enough' })
  })

  it('succeeds when all jobs had to end before they started', () => {
    const run = new Script({}, jobs(2, { timeoutMs: 0 }))

    expect(run.state).toBe('succeeded')
    expect(only(run.accepted, 'job.timed_out')).toEqual(['job.timed_out 0 timeout', 'job.timed_out 1 timeout'])
    expect(only(run.accepted, 'enqueue')).toEqual([])
  })
})

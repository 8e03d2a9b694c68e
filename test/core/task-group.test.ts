import { describe, expect, it } from 'vitest'
import { boom, jobs, only, Script } from '../support/core.ts'

const group = (count: number) => new Script({ policy: 'task_group' }, jobs(count))

describe('task_group', () => {
  // test_taskgroups: test_taskgroup_01
  it('succeeds when every job has succeeded', () => {
    const run = group(2)
    run.grant(0, 1)
    run.returns(0)
    run.returns(1)

    expect(run.state).toBe('succeeded')
    expect(run.batch).toMatchObject({ error: null, winner: null })
  })

  it('succeeds at once without jobs', () => {
    expect(group(0).state).toBe('succeeded')
  })

  // test_taskgroups: test_taskgroup_04
  it('cancels the rest at the first failure, running and queued, in input order', () => {
    const run = group(4)
    run.grant(0, 1)

    expect(run.throws(1)).toEqual([
      'job.failed 1',
      'batch.aborting sibling_failed by 1',
      'job.cancelling 0 sibling_failed',
      'abort 0 sibling_failed',
      'job.cancelled 2-3 sibling_failed',
      'release 1',
    ])
  })

  it('settles only when the last cancelled job has unwound', () => {
    const run = group(2)
    run.grant(0, 1)
    run.throws(0)
    expect(run.state).toBe('aborting')

    expect(run.unwinds(1)).toEqual([
      'job.cancelled 1 sibling_failed',
      'batch.settled failed',
      'batch.drained',
      'release 1',
    ])
  })

  // test_taskgroups: test_cancel_children_on_child_error
  it('fails with an ExceptionGroup of the real errors in completion order, never of a cancellation', () => {
    const run = group(4)
    run.grant(0, 1, 2, 3)
    run.throws(3, boom('First'))
    run.unwinds(0)
    run.throws(2, boom('Second'))
    run.throws(1, boom('Third'))

    expect(run.batch.error).toMatchObject({ type: 'ExceptionGroup', code: 'exception_group' })
    expect(run.group).toEqual([
      [3, 'First'],
      [2, 'Second'],
      [1, 'Third'],
    ])
  })

  it('says in the group which job an error is of, with its code and message', () => {
    const run = group(1)
    run.grant(0)
    run.throws(0, boom('Alone'))

    expect(run.batch.error?.errors).toEqual([{ index: 0, ...boom('Alone') }])
  })

  it('takes a job that timed out for a failure', () => {
    const run = new Script({ policy: 'task_group' }, [{ timeoutMs: 5 }, {}])
    run.grant(0, 1)
    run.due('timeout', 0)
    expect(run.state).toBe('running')

    run.unwinds(0)
    expect(run.state).toBe('aborting')

    run.unwinds(1)
    expect(run.group).toEqual([[0, 'TimeoutError']])
  })

  it('takes a job that timed out in the queue for a failure', () => {
    const run = new Script({ policy: 'task_group' }, [{ queueTimeoutMs: 5 }, {}])
    run.grant(1)

    expect(only(run.due('queue_timeout', 0), 'batch')).toEqual(['batch.aborting sibling_failed by 0'])
  })

  // test_taskgroups: test_taskgroup_03
  it('goes on when a job is cancelled by itself, and succeeds if nothing fails', () => {
    const run = group(2)
    run.grant(0, 1)
    run.cancelJob(0)

    expect(run.unwinds(0)).toEqual(['job.cancelled 0 user', 'release 0'])
    run.returns(1)

    expect(run.state).toBe('succeeded')
    expect(run.batch.error).toBe(null)
  })

  it('succeeds even when every job is cancelled by itself', () => {
    const run = group(2)
    run.cancelJob(0)
    run.cancelJob(1)

    expect(run.state).toBe('succeeded')
  })

  // test_taskgroups: test_taskgroup_20a, test_taskgroup_21a
  it('adds the error of a clean-up to the group', () => {
    const run = group(2)
    run.grant(0, 1)
    run.throws(0, boom('Cause'))
    run.throws(1, boom('CleanUp'))

    expect(run.jobs).toEqual(['failed', 'failed'])
    expect(run.group).toEqual([
      [0, 'Cause'],
      [1, 'CleanUp'],
    ])
  })

  it('keeps a result that still arrives while it aborts', () => {
    const run = group(2)
    run.grant(0, 1)
    run.throws(0)
    run.returns(1)

    expect(run.jobs).toEqual(['failed', 'succeeded'])
    expect(run.state).toBe('failed')
  })

  // test_taskgroups: test_taskgroup_18
  it('is failed when it was cancelled and a job throws in its clean-up', () => {
    const run = group(2)
    run.grant(0, 1)
    run.cancel()
    run.unwinds(0)
    run.throws(1, boom('CleanUp'))

    expect(run.state).toBe('failed')
    expect(run.group).toEqual([[1, 'CleanUp']])
  })

  // test_taskgroups: test_cancellation
  it('is cancelled when it was cancelled and nothing fails', () => {
    const run = group(2)
    run.grant(0, 1)
    run.cancel('test')
    run.unwinds(0)
    run.unwinds(1)

    expect(run.state).toBe('cancelled')
    expect(run.batch.error).toMatchObject({ type: 'CancelledError', message: 'test' })
  })

  it('needs no abort when the failed job was the last', () => {
    const run = group(2)
    run.grant(0, 1)
    run.returns(0)

    expect(run.throws(1)).toEqual(['job.failed 1', 'batch.settled failed', 'batch.drained', 'release 1'])
  })

  it('ends when a job fails while it is open and nothing else is live', () => {
    const run = new Script({ policy: 'task_group', open: true }, jobs(1))
    run.grant(0)

    expect(run.throws(0)).toEqual([
      'job.failed 0',
      'batch.aborting sibling_failed by 0',
      'batch.settled failed',
      'batch.drained',
      'release 0',
    ])
  })

  it('starts none of its jobs when one has to fail at acceptance', () => {
    const run = new Script({ policy: 'task_group' }, [{}, { timeoutMs: 0 }, { delayMs: 5, deadlineMs: 9 }])

    expect(run.jobs).toEqual(['cancelled', 'timed_out', 'cancelled'])
    expect(run.state).toBe('failed')
    expect(only(run.accepted, 'enqueue')).toEqual([])
    expect(only(run.accepted, 'arm')).toEqual([])
  })
})

import { describe, expect, it } from 'vitest'
import { canAppend, isSettled } from '../../src/core/step.ts'
import { boom, jobs, only, Script } from '../support/core.ts'

const gather = (count: number) => new Script({ policy: 'gather' }, jobs(count))

describe('gather', () => {
  // test_tasks: GatherTestsBase.test_success
  it('succeeds when every job has succeeded, in whatever order', () => {
    const run = gather(3)
    run.grant(0, 1, 2)
    run.returns(1)
    run.returns(0)

    expect(run.returns(2)).toEqual(['job.succeeded 2', 'batch.settled succeeded', 'batch.drained', 'release 2'])
  })

  it('succeeds at once without jobs', () => {
    expect(gather(0).state).toBe('succeeded')
  })

  // test_tasks: GatherTestsBase.test_one_exception
  it('fails at the first failure in time, and the others go on', () => {
    const run = gather(4)
    run.grant(0, 1, 2)
    run.returns(1)

    expect(run.after(5).throws(2, boom('Second'))).toEqual(['job.failed 2', 'batch.settled failed', 'release 2'])

    expect(run.batch.error).toEqual({ ...boom('Second'), index: 2 })
    expect(run.jobs).toEqual(['running', 'succeeded', 'failed', 'queued'])
  })

  it('still starts its queued jobs after it has failed', () => {
    const run = gather(2)
    run.grant(0)
    run.throws(0)

    expect(run.grant(1)).toEqual(['job.started 1'])
  })

  it('has two moments: settledAt at its first failure, drainedAt at its last end', () => {
    const run = gather(2)
    run.grant(0, 1)
    run.after(10).throws(0)
    const settledAt = run.now

    expect(run.batch).toMatchObject({ settledAt, drainedAt: null })

    expect(run.after(10).returns(1)).toEqual(['job.succeeded 1', 'batch.drained', 'release 1'])
    expect(run.batch).toMatchObject({ settledAt, drainedAt: settledAt + 10 })
  })

  // test_tasks: CoroutineGatherTests.test_exception_marking
  it('keeps its first error whatever fails after it', () => {
    const run = gather(3)
    run.grant(0, 1, 2)
    run.throws(1, boom('First'))
    const { error } = run.batch
    run.throws(0, boom('Later'))
    run.cancelJob(2)
    run.unwinds(2)

    expect(run.batch.error).toEqual(error)
    expect(run.state).toBe('failed')
    expect(run.batch.phase).toBe('drained')
  })

  it('fails with the TimeoutError of a job that timed out', () => {
    const run = new Script({ policy: 'gather' }, [{ deadlineMs: 5 }, {}])
    run.due('deadline', 0)

    expect(run.state).toBe('failed')
    expect(run.batch.error).toMatchObject({ index: 0, type: 'TimeoutError', code: 'deadline' })
  })

  // test_tasks: FutureGatherTests.test_one_cancellation
  it('takes a job cancelled by itself for an error of type CancelledError, and the siblings go on', () => {
    const run = gather(2)
    run.grant(0, 1)
    run.cancelJob(0, 'not this one')

    expect(run.unwinds(0)).toEqual(['job.cancelled 0 user', 'batch.settled failed', 'release 0'])

    expect(run.batch.error).toEqual({ index: 0, type: 'CancelledError', code: 'cancelled', message: 'not this one' })
    expect(run.jobs).toEqual(['cancelled', 'running'])
  })

  // test_tasks: test_cancel_gather_1
  it('is deaf to a cancel once it has failed, and its survivors are left alone', () => {
    const run = gather(2)
    run.grant(0, 1)
    run.throws(0)

    expect(isSettled(run.batch)).toBe(true)
    expect(run.cancel('late')).toEqual([])
    expect(run.stop()).toEqual([])
    expect(run.jobs).toEqual(['failed', 'running'])
    expect(run.batch.cancel).toBe(null)
  })

  it('has no timeout any more once it has failed', () => {
    const run = new Script({ policy: 'gather', timeoutMs: 50 }, jobs(2))
    run.grant(0, 1)

    expect(run.throws(0)).toContain('disarm batch')
    expect(run.due('batch')).toEqual([])
    expect(run.state).toBe('failed')
  })

  it('leaves no timeout armed when a job fails it at acceptance', () => {
    const run = new Script({ policy: 'gather', timeoutMs: 50 }, [{ timeoutMs: 0 }, {}])

    const armed = run.accepted.lastIndexOf('arm batch +50')
    expect(run.state).toBe('failed')
    expect(run.accepted.lastIndexOf('disarm batch')).toBeGreaterThan(armed)
  })

  it('lets a survivor be cancelled by itself after it has failed', () => {
    const run = gather(2)
    run.grant(0, 1)
    run.throws(0)

    expect(run.cancelJob(1)).toEqual(['job.cancelling 1 user', 'abort 1 user'])
  })

  it('takes no more jobs once it has failed, open or not', () => {
    const run = new Script({ policy: 'gather', open: true }, jobs(2))
    run.grant(0, 1)
    expect(canAppend(run.batch)).toBe('ok')

    run.throws(0)

    expect(canAppend(run.batch)).toBe('finished')
    expect(run.batch.open).toBe(false)
  })

  // test_tasks: CoroutineGatherTests.test_cancellation_broadcast
  it('cancels its jobs when it is cancelled, and settles when the last has ended', () => {
    const run = gather(3)
    run.grant(0, 1)

    expect(only(run.cancel(), 'job.')).toEqual([
      'job.cancelling 0 batch_cancel',
      'job.cancelling 1 batch_cancel',
      'job.cancelled 2 batch_cancel',
    ])
    run.unwinds(0)
    expect(run.state).toBe('aborting')

    run.unwinds(1)
    expect(run.state).toBe('cancelled')
  })

  it('counts the first error of a clean-up, and a cancellation never, while it aborts', () => {
    const run = gather(3)
    run.grant(0, 1, 2)
    run.cancel()
    run.unwinds(0)
    run.throws(2, boom('First'))
    run.throws(1, boom('Second'))

    expect(run.state).toBe('failed')
    expect(run.batch.error).toMatchObject({ index: 2, type: 'First' })
  })
})

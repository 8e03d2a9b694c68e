import { describe, expect, it } from 'vitest'
import { reasonOf, stopError } from '../../src/core/batch.ts'
import { isSettled } from '../../src/core/step.ts'
import { jobs, only, Script } from '../support/core.ts'

describe('a cancel of a job', () => {
  // test_tasks: test_task_cancel_message_getter; semantics.md 7: CPython keeps the last before the start
  it('keeps its first reason for good, null included', () => {
    const run = new Script({}, jobs(3))
    run.grant(0, 1)
    run.cancelJob(0, 'first')
    run.cancelJob(0, 'second')
    run.cancelJob(1, null)
    run.cancelJob(1, 'late')
    run.unwinds(0)
    run.unwinds(1)

    expect(run.last(0)).toMatchObject({ reason: 'first' })
    expect(run.last(1)).toMatchObject({ reason: null })
    expect(reasonOf(run.batch, 0)).toBe('first')
  })

  it('counts how often it was asked for, until the job has ended', () => {
    const run = new Script({}, jobs(2))
    run.grant(0)
    run.cancelJob(0)
    run.cancelJob(0)
    run.unwinds(0)
    run.cancelJob(0)

    expect([...run.batch.cancelRequests]).toEqual([[0, 2]])
  })

  // test_tasks: test_cancel_done
  it('changes nothing of a job that has ended', () => {
    const run = new Script({}, jobs(2))
    run.grant(0)
    run.returns(0)

    expect(run.cancelJob(0, 'late')).toEqual([])
    expect(reasonOf(run.batch, 0)).toBe(null)
  })

  it('touches no sibling', () => {
    const run = new Script({}, jobs(3))
    run.grant(0, 1)
    run.cancelJob(1)
    run.unwinds(1)

    expect(run.jobs).toEqual(['running', 'cancelled', 'queued'])
  })

  it('after the abort of its batch leaves the first cause and reason', () => {
    const run = new Script({}, jobs(1))
    run.grant(0)
    run.cancel('batch')
    run.cancelJob(0, 'job')
    run.unwinds(0)

    expect(run.last(0)).toMatchObject({ cause: 'batch_cancel', reason: 'batch' })
    expect(run.batch.cancelRequests.get(0)).toBe(1)
  })

  it('before the abort of its batch keeps its own cause and reason', () => {
    const run = new Script({}, jobs(1))
    run.grant(0)
    run.cancelJob(0, 'job')
    run.cancel('batch')
    run.unwinds(0)

    expect(run.last(0)).toMatchObject({ cause: 'user', reason: 'job' })
  })

  it('after its own timeout fired gives the reason', () => {
    const run = new Script({}, jobs(1, { timeoutMs: 5 }))
    run.grant(0)
    run.due('timeout', 0)
    run.cancelJob(0, 'mine')
    run.unwinds(0)

    expect(run.last(0)).toMatchObject({ type: 'job.cancelled', reason: 'mine' })
  })
})

describe('a cancel of a batch', () => {
  it('keeps its first reason and its time for good', () => {
    const run = new Script({}, jobs(1))
    run.grant(0)
    run.after(5).cancel('first')
    const cancel = { reason: 'first', at: run.now }
    run.after(5).cancel('second')
    expect(run.batch.cancel).toEqual(cancel)

    run.unwinds(0)
    run.cancel('third')

    expect(run.batch.cancel).toEqual(cancel)
    expect(run.batch.error?.message).toBe('first')
  })

  it('gives its reason to its jobs, queued and running', () => {
    const run = new Script({}, jobs(3))
    run.grant(1)
    run.cancel('over')
    run.unwinds(1)

    expect([0, 1, 2].map((index) => run.last(index)?.reason)).toEqual(['over', 'over', 'over'])
  })

  it('may have no reason', () => {
    const run = new Script({}, jobs(1))
    run.cancel()

    expect(run.last(0)).toMatchObject({ reason: null })
    expect(run.batch.error?.message).toBe('The batch was cancelled.')
  })

  it('is accepted while the batch aborts for another cause, and its jobs keep that cause without a reason', () => {
    const run = new Script({}, jobs(1))
    run.grant(0)
    run.stop()
    expect(isSettled(run.batch)).toBe(false)

    expect(run.cancel('mine')).toEqual([])
    run.unwinds(0)

    expect(run.last(0)).toMatchObject({ cause: 'stop', reason: null })
    expect(run.batch).toMatchObject({ outcome: 'cancelled', cancel: { reason: 'mine' } })
  })

  it('comes too late once the batch has settled', () => {
    const run = new Script({}, jobs(1))
    run.cancelJob(0)

    expect(isSettled(run.batch)).toBe(true)
    expect(run.cancel('late')).toEqual([])
    expect(run.batch.cancel).toBe(null)
  })

  it('ends an open batch without live jobs', () => {
    const run = new Script({ open: true }, [])

    expect(only(run.cancel(), 'batch')).toEqual([
      'batch.aborting batch_cancel',
      'batch.settled cancelled',
      'batch.drained',
    ])
  })

  // test_tasks: test_cancel_gather_2; test_taskgroups: test_cancellation
  it('reaches every live job and none that has ended', () => {
    const run = new Script({}, jobs(4))
    run.grant(0, 1, 2)
    run.returns(0)
    run.cancelJob(1)

    expect(run.cancel()).toEqual([
      'batch.aborting batch_cancel',
      'job.cancelling 2 batch_cancel',
      'abort 2 batch_cancel',
      'job.cancelled 3 batch_cancel',
    ])
  })
})

describe('the error of a job that was stopped', () => {
  it.each([
    ['timeout', 'TimeoutError', 'timeout', 'The attempt was not finished within its timeoutMs.'],
    ['deadline', 'TimeoutError', 'deadline', 'The job was not finished by its deadlineMs after acceptance.'],
    ['queue_timeout', 'TimeoutError', 'queue_timeout', 'The job did not start within its queueTimeoutMs.'],
    ['user', 'CancelledError', 'cancelled', 'The job was cancelled.'],
    [null, 'CancelledError', 'cancelled', 'The job was cancelled.'],
    ['sibling_failed', 'CancelledError', 'cancelled', 'The job was cancelled: sibling_failed.'],
  ] as const)('for %s is a %s', (cause, type, code, message) => {
    expect(stopError(cause, null)).toEqual({ type, code, message })
  })

  it('says the reason of a cancel', () => {
    expect(stopError('user', 'because')).toMatchObject({ message: 'because' })
  })
})

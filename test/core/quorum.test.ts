import { describe, expect, it } from 'vitest'
import { boom, jobs, Script } from '../support/core.ts'

const quorum = (n: number, count: number) => new Script({ policy: 'quorum', n }, jobs(count))

describe('quorum', () => {
  it('is decided by the n-th success, not before, and cancels the rest', () => {
    const run = quorum(2, 4)
    run.grant(0, 1, 2)

    expect(run.returns(2)).toEqual(['job.succeeded 2', 'release 2'])
    expect(run.returns(0)).toEqual([
      'job.succeeded 0',
      'batch.aborting decided by 0',
      'job.cancelling 1 decided',
      'abort 1 decided',
      'job.cancelled 3 decided',
      'release 0',
    ])
    run.unwinds(1)

    expect(run.batch).toMatchObject({ outcome: 'succeeded', error: null })
  })

  it('forgets the errors of others when it is reached', () => {
    const run = quorum(1, 2)
    run.grant(0, 1)
    run.throws(0)
    run.returns(1)

    expect(run.batch).toMatchObject({ outcome: 'succeeded', error: null })
  })

  it('fails as soon as it is impossible, and cancels the rest', () => {
    const run = quorum(2, 3)
    run.grant(0, 1)
    run.throws(0)
    expect(run.state).toBe('running')

    expect(run.throws(1)).toEqual([
      'job.failed 1',
      'batch.aborting decided by 1',
      'job.cancelled 2 decided',
      'batch.settled failed',
      'batch.drained',
      'release 1',
    ])
  })

  it('fails with every error, those of clean-ups too', () => {
    const run = quorum(3, 4)
    run.grant(0, 1, 2, 3)
    run.throws(3, boom('First'))
    run.throws(0, boom('Second'))
    run.unwinds(1)
    run.throws(2, boom('CleanUp'))

    expect(run.state).toBe('failed')
    expect(run.group).toEqual([
      [3, 'First'],
      [0, 'Second'],
      [2, 'CleanUp'],
    ])
  })

  it('stays failed when the missing successes arrive while it aborts', () => {
    const run = quorum(2, 3)
    run.grant(0, 1, 2)
    run.throws(0)
    run.throws(1)
    run.returns(2)

    expect(run.jobs).toEqual(['failed', 'failed', 'succeeded'])
    expect(run.state).toBe('failed')
  })

  it('can still be reached while exactly as many jobs live as are missing', () => {
    const run = quorum(2, 3)
    run.grant(0, 1, 2)
    run.throws(0)
    run.returns(1)
    run.returns(2)

    expect(run.state).toBe('succeeded')
  })

  it('is impossible when too many are cancelled by themselves, with no error to tell of', () => {
    const run = quorum(2, 2)
    run.grant(0)
    run.cancelJob(1)
    run.unwinds(0)

    expect(run.state).toBe('failed')
    expect(run.group).toEqual([])
  })

  it('is impossible at the close at the latest', () => {
    const run = new Script({ policy: 'quorum', n: 2, open: true }, jobs(1))
    run.grant(0)
    run.throws(0)
    expect(run.state).toBe('running')

    run.append({})
    run.grant(1)

    expect(run.close()).toEqual(['batch.aborting decided', 'job.cancelling 1 decided', 'abort 1 decided'])
    run.unwinds(1)

    expect(run.state).toBe('failed')
  })
})

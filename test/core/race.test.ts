import { describe, expect, it } from 'vitest'
import { boom, jobs, Script } from '../support/core.ts'

const race = (count: number) => new Script({ policy: 'race' }, jobs(count))

describe('race', () => {
  // test_tasks: test_wait_first_completed
  it('is decided by the first end, a success, and cancels the rest', () => {
    const run = race(3)
    run.grant(0, 1)

    expect(run.returns(1)).toEqual([
      'job.succeeded 1',
      'batch.aborting decided by 1',
      'job.cancelling 0 decided',
      'abort 0 decided',
      'job.cancelled 2 decided',
      'release 1',
    ])
    run.unwinds(0)

    expect(run.batch).toMatchObject({ outcome: 'succeeded', winner: 1, error: null })
  })

  it('is decided by a failure too, and fails with the error of the winner', () => {
    const run = race(2)
    run.grant(0, 1)
    run.throws(0, boom('First'))
    run.throws(1, boom('CleanUp'))

    expect(run.batch).toMatchObject({ outcome: 'failed', winner: 0 })
    expect(run.batch.error).toEqual({ index: 0, ...boom('First') })
  })

  it('is decided by a timeout', () => {
    const run = new Script({ policy: 'race' }, [{}, { queueTimeoutMs: 5 }])
    run.grant(0)
    run.due('queue_timeout', 1)
    run.unwinds(0)

    expect(run.batch).toMatchObject({ outcome: 'failed', winner: 1, error: { index: 1, code: 'queue_timeout' } })
  })

  it('is decided by a job cancelled by itself, and fails with CancelledError', () => {
    const run = race(2)
    run.grant(0, 1)
    run.cancelJob(1, 'mine')
    run.unwinds(1)
    run.unwinds(0)

    expect(run.batch).toMatchObject({
      outcome: 'failed',
      winner: 1,
      error: { index: 1, type: 'CancelledError', message: 'mine' },
    })
  })

  it('keeps its first winner when others succeed while it aborts', () => {
    const run = race(2)
    run.grant(0, 1)
    run.throws(1)
    run.returns(0)

    expect(run.batch).toMatchObject({ outcome: 'failed', winner: 1 })
  })

  it('is not decided by a job that is only being cancelled', () => {
    const run = race(2)
    run.grant(0, 1)
    run.cancelJob(0)
    expect(run.state).toBe('running')

    run.returns(1)

    expect(run.batch.winner).toBe(1)
  })

  it('is over with its only job', () => {
    const run = race(1)
    run.grant(0)

    expect(run.returns(0)).toEqual(['job.succeeded 0', 'batch.settled succeeded', 'batch.drained', 'release 0'])
    expect(run.batch.winner).toBe(0)
  })

  it('ends an open batch: the race is over, whoever might still come', () => {
    const run = new Script({ policy: 'race', open: true }, jobs(1))
    run.grant(0)
    run.returns(0)

    expect(run.batch).toMatchObject({ outcome: 'succeeded', open: false, winner: 0 })
  })
})

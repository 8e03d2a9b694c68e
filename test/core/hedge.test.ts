import { describe, expect, it } from 'vitest'
import { boom, jobs, only, Script } from '../support/core.ts'

const hedge = (count: number, hedgeDelayMs = 100) => new Script({ policy: 'hedge', hedgeDelayMs }, jobs(count))

describe('hedge', () => {
  it('lets only its first job start', () => {
    expect(only(hedge(3).accepted, 'enqueue')).toEqual(['enqueue 0'])
  })

  it('counts the delay from the start of a job, not from its acceptance', () => {
    const run = hedge(2)
    expect(only(run.accepted, 'arm')).toEqual([])

    expect(run.after(30).grant(0)).toEqual(['job.started 0', 'arm hedge +130'])
  })

  // test_staggered: test_first_timeout_second_successful
  it('lets the next job start after the delay', () => {
    const run = hedge(3)
    run.grant(0)

    expect(run.after(100).due('hedge')).toEqual(['enqueue 1'])
    expect(run.grant(1)).toEqual(['job.started 1', 'arm hedge +200'])
    run.returns(1)
    run.unwinds(0)

    expect(run.jobs).toEqual(['cancelled', 'succeeded', 'cancelled'])
    expect(run.batch).toMatchObject({ outcome: 'succeeded', winner: 1 })
  })

  it('runs no delay when no job is left to start', () => {
    const run = hedge(2)
    run.grant(0)
    run.after(100).due('hedge')

    expect(run.grant(1)).toEqual(['job.started 1'])
  })

  // test_staggered: test_first_error_second_successful
  it('lets the next job start when one fails, without waiting for the delay', () => {
    const run = hedge(3)
    run.grant(0)

    expect(run.throws(0)).toEqual(['job.failed 0', 'disarm hedge', 'enqueue 1', 'release 0'])
  })

  it('lets one job start for each that fails, even of two that run', () => {
    const run = hedge(5)
    run.grant(0)
    run.due('hedge')
    run.grant(1)

    expect(only(run.throws(0), 'enqueue')).toEqual(['enqueue 2'])
    expect(only(run.throws(1), 'enqueue')).toEqual(['enqueue 3'])
    expect(run.jobs).toEqual(['failed', 'failed', 'queued', 'queued', 'queued'])
  })

  it('lets the next job start when one is cancelled by itself or times out', () => {
    const run = new Script({ policy: 'hedge', hedgeDelayMs: 100 }, jobs(3, { queueTimeoutMs: 5 }))
    expect(only(run.cancelJob(0), 'enqueue')).toEqual(['enqueue 1'])

    expect(only(run.due('queue_timeout', 1), 'enqueue')).toEqual(['enqueue 2'])
  })

  it('passes over a job that ended while it was held back', () => {
    const run = hedge(3)
    run.grant(0)
    expect(only(run.cancelJob(1), 'enqueue')).toEqual([])

    expect(run.due('hedge')).toEqual(['enqueue 2'])
  })

  // test_staggered: test_none_successful
  it('fails with every error when none succeeds', () => {
    const run = hedge(2)
    run.grant(0)
    run.throws(0, boom('One'))
    run.grant(1)
    run.throws(1, boom('Two'))

    expect(run.state).toBe('failed')
    expect(run.group).toEqual([
      [0, 'One'],
      [1, 'Two'],
    ])
  })

  // test_staggered: test_one_successful
  it('never starts the others when the first succeeds within the delay', () => {
    const run = hedge(3)
    run.grant(0)

    expect(run.returns(0)).toEqual([
      'job.succeeded 0',
      'batch.aborting decided by 0',
      'job.cancelled 1-2 decided',
      'disarm hedge',
      'batch.settled succeeded',
      'batch.drained',
      'release 0',
    ])
  })

  // test_staggered: test_multiple_winners
  it('has one winner when two succeed', () => {
    const run = hedge(2)
    run.grant(0)
    run.due('hedge')
    run.grant(1)
    run.returns(1)
    run.returns(0)

    expect(run.batch).toMatchObject({ outcome: 'succeeded', winner: 1 })
  })

  it('starts nothing more when its delay runs out while it aborts', () => {
    const run = hedge(3)
    run.grant(0)
    run.cancel()

    expect(run.due('hedge')).toEqual([])
    expect(run.jobs).toEqual(['cancelling', 'cancelled', 'cancelled'])
  })

  it('waits for its delay with a job that has not got its slot yet', () => {
    const run = hedge(3)
    run.grant(0)
    run.due('hedge')

    expect(run.throws(0)).toEqual(['job.failed 0', 'enqueue 2', 'release 0'])
    expect(run.grant(1)).toEqual(['job.started 1'])
  })

  it('queues the next job once, after its own delay, when the first must end at acceptance', () => {
    const run = new Script({ policy: 'hedge', hedgeDelayMs: 100 }, [{ timeoutMs: 0 }, {}, { delayMs: 30 }])
    expect(only(run.accepted, 'enqueue')).toEqual(['enqueue 1'])

    expect(only(run.cancelJob(1), 'enqueue')).toEqual([])

    expect(run.after(30).due('delay', 2)).toEqual(['enqueue 2'])
  })

  it('does not pass a delay over when it lets the next job start at acceptance', () => {
    const run = new Script({ policy: 'hedge', hedgeDelayMs: 100 }, [{ timeoutMs: 0 }, { delayMs: 30 }])

    expect(only(run.accepted, 'enqueue')).toEqual([])
    expect(run.due('delay', 1)).toEqual(['enqueue 1'])
  })

  it('lets shielded jobs that it held back start when it is decided: they are deaf to the abort', () => {
    const run = new Script({ policy: 'hedge', hedgeDelayMs: 100 }, [{}, { shield: true }, {}, { shield: true }])
    run.grant(0)

    expect(only(run.returns(0), 'enqueue')).toEqual(['enqueue 1', 'enqueue 3'])
    expect(run.jobs).toEqual(['succeeded', 'queued', 'cancelled', 'queued'])
    run.grant(1)
    run.returns(1)
    run.cancelJob(3)

    expect(run.batch).toMatchObject({ outcome: 'succeeded', phase: 'drained', winner: 0 })
  })

  it('queues a shielded job once when its timeout of zero ends it at acceptance', () => {
    const run = new Script({ policy: 'hedge', hedgeDelayMs: 100, timeoutMs: 0 }, [{}, { shield: true }])

    expect(run.jobs).toEqual(['cancelled', 'queued'])
    expect(only(run.accepted, 'enqueue')).toEqual(['enqueue 1'])
  })

  describe('with jobs appended', () => {
    it('holds them back while an earlier one is on its way', () => {
      const run = hedge(1)

      expect(only(run.append({}, {}), 'enqueue')).toEqual([])
      expect(run.grant(0)).toContain('arm hedge +100')
    })

    it('runs the delay from now when the newest has started already', () => {
      const run = hedge(1)
      run.grant(0)

      expect(run.after(40).append({})).toEqual(['job.queued 1', 'arm hedge +140'])
    })

    it('does not run the delay twice', () => {
      const run = hedge(2)
      run.grant(0)

      expect(only(run.after(40).append({}), 'arm')).toEqual([])
    })

    it('lets the first of them start at once when the newest has failed meanwhile', () => {
      const run = hedge(2)
      run.grant(0)
      run.due('hedge')
      run.grant(1)
      run.throws(1)

      expect(only(run.append({}), 'enqueue')).toEqual(['enqueue 2'])
    })

    it('runs the delay when the newest is being cancelled and does not unwind', () => {
      const run = hedge(1)
      run.grant(0)
      run.cancelJob(0)

      expect(run.append({})).toContain('arm hedge +100')
    })

    it('lets the first of them start when nothing is live', () => {
      const run = new Script({ policy: 'hedge', hedgeDelayMs: 100, open: true }, jobs(1))
      run.grant(0)
      run.throws(0)

      expect(only(run.append({}, {}), 'enqueue')).toEqual(['enqueue 1'])
    })
  })
})

import { describe, expect, it } from 'vitest'
import { jobs, only, Script } from '../support/core.ts'

const position = (lines: string[], prefix: string) => lines.findIndex((text) => text.startsWith(prefix))

describe('the turn in which a job ends', () => {
  it('ends the job, applies the policy, settles, and only then gives the slot back', () => {
    const run = new Script({ policy: 'task_group', timeoutMs: 50 }, [{ timeoutMs: 5 }, { deadlineMs: 9 }])
    run.grant(0)

    expect(run.throws(0)).toEqual([
      'disarm 0',
      'job.failed 0',
      'batch.aborting sibling_failed by 0',
      'disarm 1',
      'job.cancelled 1 sibling_failed',
      'disarm batch',
      'batch.settled failed',
      'batch.drained',
      'release 0',
    ])
  })

  // semantics.md 7: asyncio's semaphore starts a queued sibling after a failure
  it('starts no sibling after a failure: they have ended before the slot is free', () => {
    const run = new Script({ policy: 'task_group' }, jobs(20))
    run.grant(0, 1)

    const lines = run.throws(0)

    expect(lines.at(-1)).toBe('release 0')
    expect(position(lines, 'job.cancelled 2-19')).toBeLessThan(position(lines, 'release'))
    expect(run.grant(2)).toEqual([])
  })

  it('lets the policy act on live jobs in input order, whatever their state', () => {
    const run = new Script({ policy: 'any' }, [{}, {}, { shield: true }, {}, {}, {}])
    run.grant(1, 3, 4)

    expect(run.returns(3)).toEqual([
      'job.succeeded 3',
      'batch.aborting decided by 3',
      'job.cancelled 0 decided',
      'job.cancelling 1 decided',
      'abort 1 decided',
      'job.cancelling 4 decided',
      'abort 4 decided',
      'job.cancelled 5 decided',
      'release 3',
    ])
  })

  it('gives back no slot of a job that never had one', () => {
    const run = new Script({ policy: 'race' }, jobs(3))

    expect(only(run.cancelJob(0), 'release')).toEqual([])
    expect(run.batch.phase).toBe('drained')
  })

  it('gives a slot back when the work has stopped, never when it is asked to', () => {
    const run = new Script({}, jobs(2))
    run.grant(0, 1)

    expect(only(run.cancel(), 'release')).toEqual([])
    expect(only(run.unwinds(0), 'release')).toEqual(['release 0'])
    expect(only(run.throws(1), 'release')).toEqual(['release 1'])
  })

  it('stamps everything that it logs with its own time', () => {
    const run = new Script({ policy: 'race' }, jobs(3))
    run.grant(0, 1)
    run.after(7).returns(0)

    expect(run.log.slice(-3).map(({ at }) => at)).toEqual([run.now, run.now, run.now])
  })

  it('logs long runs of queued jobs as one entry each, broken by the shielded and the started', () => {
    const run = new Script({}, [...jobs(3), { shield: true }, ...jobs(4)])
    run.grant(5)

    expect(only(run.cancel(), 'job')).toEqual([
      'job.cancelled 0-2 batch_cancel',
      'job.cancelled 4 batch_cancel',
      'job.cancelling 5 batch_cancel',
      'job.cancelled 6-7 batch_cancel',
    ])
  })
})

describe('a timer, a cancel and an acceptance enter the same turn', () => {
  it('a queue timeout that fails a group cancels the rest in its turn', () => {
    const run = new Script({ policy: 'task_group' }, [{ queueTimeoutMs: 5 }, {}])

    expect(run.due('queue_timeout', 0)).toEqual([
      'disarm 0',
      'job.timed_out 0 queue_timeout',
      'batch.aborting sibling_failed by 0',
      'job.cancelled 1 sibling_failed',
      'batch.settled failed',
      'batch.drained',
    ])
  })

  it('a cancel of a queued job that ends a race does so in its turn', () => {
    const run = new Script({ policy: 'race' }, jobs(2))

    expect(run.cancelJob(1)).toEqual([
      'job.cancelled 1 user',
      'batch.aborting decided by 1',
      'job.cancelled 0 decided',
      'batch.settled failed',
      'batch.drained',
    ])
  })

  it('a job with nothing left of its time is queued and ended in the turn of its acceptance', () => {
    const run = new Script({ policy: 'race' }, [{}, { timeoutMs: 0 }])

    expect(run.accepted).toEqual([
      'batch.accepted',
      'job.queued 0-1',
      'job.timed_out 1 timeout',
      'batch.aborting decided by 1',
      'job.cancelled 0 decided',
      'batch.settled failed',
      'batch.drained',
    ])
  })
})

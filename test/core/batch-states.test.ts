import { describe, expect, it } from 'vitest'
import { factsOf, stateName } from '../../src/core/facts.ts'
import { isSettled } from '../../src/core/step.ts'
import { boom, jobs, only, Script } from '../support/core.ts'

describe('a running batch', () => {
  it('settles when every job has ended and it is closed', () => {
    const run = new Script({}, jobs(1))
    run.grant(0)
    expect(run.state).toBe('running')

    run.after(5).returns(0)

    expect(run.state).toBe('succeeded')
    expect(run.batch).toMatchObject({ settledAt: run.now, drainedAt: run.now })
  })

  it.each<[string, string, (run: Script) => string[]]>([
    ['a decision', 'decided', (run) => run.returns(0)],
    ['a cancel', 'batch_cancel', (run) => run.cancel()],
    ['a stop', 'stop', (run) => run.stop()],
    ['its timeout', 'batch_timeout', (run) => run.due('batch')],
    ['the shutdown', 'shutdown', (run) => run.shutDown()],
  ])('aborts at %s, and says why', (_, cause, act) => {
    const run = new Script({ policy: 'any', timeoutMs: 50 }, jobs(2))
    run.grant(0, 1)

    const lines = act(run)

    const by = cause === 'decided' ? ' by 0' : ''
    expect(only(lines, 'batch')).toEqual([`batch.aborting ${cause}${by}`])
    expect(run.state).toBe('aborting')
  })

  it('ends without batch.aborting when nothing is left to stop', () => {
    const run = new Script({ policy: 'race' }, jobs(1))
    run.grant(0)

    expect(only(run.returns(0), 'batch')).toEqual(['batch.settled succeeded', 'batch.drained'])
  })
})

describe('an aborting batch', () => {
  it('stays so until its last unshielded job has ended', () => {
    const run = new Script({}, jobs(3))
    run.grant(0, 1, 2)
    run.cancel()
    run.unwinds(2)
    run.unwinds(0)
    expect(run.state).toBe('aborting')
    expect(isSettled(run.batch)).toBe(false)

    expect(run.unwinds(1)).toEqual([
      'job.cancelled 1 batch_cancel',
      'batch.settled cancelled',
      'batch.drained',
      'release 1',
    ])
  })

  it('aborts once: further reasons to end it change neither the cause nor a job', () => {
    const run = new Script({ timeoutMs: 50 }, jobs(2))
    run.grant(0, 1)
    run.stop()

    expect([run.cancel(), run.stop(), run.due('batch'), run.shutDown(), run.close()].flat()).toEqual([])
  })

  it('is not decided a second time by what its jobs become', () => {
    const run = new Script({ policy: 'task_group' }, jobs(3))
    run.grant(0, 1, 2)
    run.throws(0)

    expect(run.throws(1)).toEqual(['job.failed 1', 'release 1'])
  })
})

describe('a settled batch', () => {
  it('never changes: not its state, its error, its stamps or its winner', () => {
    const run = new Script({ policy: 'any', timeoutMs: 50 }, [{}, {}, { shield: true }])
    run.grant(0, 1, 2)
    run.returns(0)
    run.after(1).unwinds(1)
    const { outcome, error, settledAt, winner } = run.batch

    run.after(1).cancel('late')
    run.stop()
    run.close()
    run.due('batch')
    run.after(1).throws(2)

    expect(run.batch).toMatchObject({
      outcome,
      error,
      settledAt,
      winner,
      cancel: null,
      timeoutFired: false,
    })
    expect(run.batch.drainedAt).toBe(run.now)
  })

  it('does not add late errors to its group', () => {
    const run = new Script({ policy: 'task_group' }, [{}, { shield: true }])
    run.grant(0, 1)
    run.throws(0, boom('First'))
    expect(run.state).toBe('failed')

    run.throws(1, boom('Late'))

    expect(run.group).toEqual([[0, 'First']])
  })

  it('drains when its last job has ended, and not twice', () => {
    const run = new Script({ policy: 'gather' }, jobs(3))
    run.grant(0, 1, 2)
    run.throws(0)

    expect(run.returns(1)).toEqual(['job.succeeded 1', 'release 1'])
    expect(run.returns(2)).toEqual(['job.succeeded 2', 'batch.drained', 'release 2'])
    expect(run.shutDown()).toEqual([])
  })
})

describe('the error of a batch', () => {
  it('is null when it succeeded, and filled when it timed out or was cancelled', () => {
    const ended = (act: (run: Script) => void) => {
      const run = new Script({ timeoutMs: 50 }, jobs(1))
      act(run)
      return [run.state, run.batch.error?.type ?? null]
    }

    expect(ended((run) => run.stop())).toEqual(['succeeded', null])
    expect(ended((run) => run.due('batch'))).toEqual(['timed_out', 'TimeoutError'])
    expect(ended((run) => run.cancel())).toEqual(['cancelled', 'CancelledError'])
  })

  it('counts the errors in its message', () => {
    const message = (count: number) => {
      const run = new Script({ policy: 'any' }, jobs(count, { timeoutMs: 0 }))
      return run.batch.error?.message
    }

    expect([message(1), message(2)]).toEqual(['1 job of the batch failed.', '2 jobs of the batch failed.'])
  })
})

describe('the facts of a batch', () => {
  it('are a copy: later turns do not change them', () => {
    const run = new Script({ policy: 'any', open: true }, jobs(2))
    const before = factsOf(run.batch)
    const copy = structuredClone(before)
    run.append({})
    run.grant(0)
    run.returns(0)

    expect(before).toEqual(copy)
    expect(factsOf(run.batch)).toMatchObject({
      outcome: 'succeeded',
      winner: 0,
      counts: [0, 0, 0, 1, 0, 0, 2],
      open: false,
    })
  })

  it('survive being written down as JSON', () => {
    const run = new Script({ policy: 'task_group', timeoutMs: 50 }, jobs(2))
    run.grant(0)
    run.throws(0)
    const facts = factsOf(run.batch)

    expect(JSON.parse(JSON.stringify(facts))).toEqual(facts)
  })

  it('name the state as callers see it', () => {
    expect(stateName({ phase: 'running', outcome: null })).toBe('running')
    expect(stateName({ phase: 'aborting', outcome: null })).toBe('aborting')
    expect(stateName({ phase: 'settled', outcome: 'failed' })).toBe('failed')
    expect(stateName({ phase: 'drained', outcome: 'timed_out' })).toBe('timed_out')
  })
})

it('a batch touches no other: two played in turns are each as if alone', () => {
  const alone = new Script({ policy: 'task_group' }, jobs(2))
  const one = new Script({ policy: 'task_group' }, jobs(2))
  const other = new Script({ policy: 'race' }, jobs(2))
  one.grant(0, 1)
  other.grant(0, 1)
  one.throws(0)
  other.returns(1)
  one.unwinds(1)
  alone.grant(0, 1)
  alone.throws(0)
  alone.unwinds(1)

  expect(one.log).toEqual(alone.log)
  expect(other.jobs).toEqual(['cancelling', 'succeeded'])
})

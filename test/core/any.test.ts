import { describe, expect, it } from 'vitest'
import { boom, jobs, only, Script } from '../support/core.ts'

const any = (count: number) => new Script({ policy: 'any' }, jobs(count))

describe('any', () => {
  it('is decided by the first success, and cancels the rest', () => {
    const run = any(3)
    run.grant(0, 1)

    expect(run.returns(1)).toEqual([
      'job.succeeded 1',
      'batch.aborting decided by 1',
      'job.cancelling 0 decided',
      'abort 0 decided',
      'job.cancelled 2 decided',
      'release 1',
    ])
  })

  it('succeeds with the winner, once the rest has unwound', () => {
    const run = any(2)
    run.grant(0, 1)
    run.returns(1)
    expect(run.state).toBe('aborting')

    run.unwinds(0)

    expect(run.state).toBe('succeeded')
    expect(run.batch).toMatchObject({ winner: 1, error: null })
  })

  it('goes on after a failure, and the error is forgotten when one succeeds', () => {
    const run = any(2)
    run.grant(0, 1)

    expect(run.throws(0)).toEqual(['job.failed 0', 'release 0'])
    run.returns(1)

    expect(run.batch).toMatchObject({ outcome: 'succeeded', winner: 1, error: null })
  })

  it('fails with every error in completion order when none succeeds', () => {
    const run = new Script({ policy: 'any' }, [{}, { timeoutMs: 5 }, {}])
    run.grant(0, 1, 2)
    run.throws(2, boom('Third'))
    run.due('timeout', 1)
    run.unwinds(1)
    run.throws(0, boom('One'))

    expect(run.state).toBe('failed')
    expect(run.group).toEqual([
      [2, 'Third'],
      [1, 'TimeoutError'],
      [0, 'One'],
    ])
    expect(run.batch.winner).toBe(null)
  })

  it('does not fail while one that is being cancelled can still return a value', () => {
    const run = any(2)
    run.grant(0, 1)
    run.cancelJob(1)
    run.throws(0)
    expect(run.state).toBe('running')

    run.returns(1)

    expect(run.batch).toMatchObject({ outcome: 'succeeded', winner: 1 })
  })

  it('fails with an empty ExceptionGroup when every job is cancelled by itself', () => {
    const run = any(2)
    run.cancelJob(0)
    run.cancelJob(1)

    expect(run.state).toBe('failed')
    expect(run.batch.error).toMatchObject({ type: 'ExceptionGroup', errors: [] })
  })

  it('keeps its winner when a second success arrives while it aborts', () => {
    const run = any(2)
    run.grant(0, 1)
    run.returns(1)
    run.returns(0)

    expect(run.jobs).toEqual(['succeeded', 'succeeded'])
    expect(run.batch.winner).toBe(1)
  })

  it('stays succeeded when the clean-up of a loser throws', () => {
    const run = any(2)
    run.grant(0, 1)
    run.returns(0)
    run.throws(1)

    expect(run.jobs).toEqual(['succeeded', 'failed'])
    expect(run.batch).toMatchObject({ outcome: 'succeeded', error: null })
  })

  it('waits for jobs to come while it is open, though all so far have failed', () => {
    const run = new Script({ policy: 'any', open: true }, jobs(1))
    run.grant(0)
    run.throws(0, boom('Early'))
    expect(run.state).toBe('running')

    run.append({})
    run.grant(1)
    run.returns(1)

    expect(run.batch).toMatchObject({ outcome: 'succeeded', winner: 1 })
  })

  it('fails at the close when none can succeed any more', () => {
    const run = new Script({ policy: 'any', open: true }, jobs(1))
    run.grant(0)
    run.throws(0, boom('Early'))

    expect(run.close()).toEqual(['batch.settled failed', 'batch.drained'])
    expect(run.group).toEqual([[0, 'Early']])
  })

  it('fails when every job has to end at acceptance', () => {
    const run = new Script({ policy: 'any' }, jobs(2, { timeoutMs: 0 }))

    expect(run.state).toBe('failed')
    expect(run.group).toEqual([
      [0, 'TimeoutError'],
      [1, 'TimeoutError'],
    ])
    expect(only(run.accepted, 'batch')).toEqual(['batch.accepted', 'batch.settled failed', 'batch.drained'])
  })
})

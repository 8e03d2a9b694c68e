import { describe, expect, it } from 'vitest'
import type { BatchPlan } from '../../src/core/batch.ts'
import { canAppend } from '../../src/core/step.ts'
import { jobs, only, Script } from '../support/core.ts'

describe('append', () => {
  // test_taskgroups: test_taskgroup_02, test_taskgroup_24
  it('adds jobs to a closed batch while one of its jobs is live', () => {
    const run = new Script({ policy: 'task_group' }, jobs(1))
    run.grant(0)
    expect(canAppend(run.batch)).toBe('ok')

    expect(run.append({}, {})).toEqual(['job.queued 1-2', 'enqueue 1-2'])
    run.returns(0)

    expect(run.state).toBe('running')
    expect(run.jobs).toEqual(['succeeded', 'queued', 'queued'])
  })

  it('before the last job ends lets the group go on, after it is refused', () => {
    const run = new Script({ policy: 'task_group' }, jobs(1))
    run.grant(0)
    run.append({})
    run.returns(0)
    expect(run.state).toBe('running')

    run.grant(1)
    run.returns(1)

    expect(canAppend(run.batch)).toBe('finished')
  })

  it('is refused while the batch aborts, and while it has settled with live shielded jobs', () => {
    const run = new Script({ open: true }, [{}, { shield: true }])
    run.grant(0, 1)
    run.cancel()
    expect(canAppend(run.batch)).toBe('shutting_down')
    expect(run.batch.open).toBe(false)

    run.unwinds(0)

    expect(canAppend(run.batch)).toBe('finished')
  })

  it('keeps the input order, and with it the indexes', () => {
    const run = new Script({ open: true }, jobs(2))
    run.append({})
    run.append({}, {})

    expect(run.log.filter(({ type }) => type === 'job.queued').map(({ index, count }) => [index, count])).toEqual([
      [0, 2],
      [2, 1],
      [3, 2],
    ])
  })

  it('of a job without time fails a group at once', () => {
    const run = new Script({ policy: 'task_group', open: true }, jobs(1))
    run.grant(0)

    expect(run.append({}, { timeoutMs: 0 }, {})).toEqual([
      'job.queued 1-3',
      'job.timed_out 2 timeout',
      'batch.aborting sibling_failed by 2',
      'job.cancelling 0 sibling_failed',
      'abort 0 sibling_failed',
      'job.cancelled 1 sibling_failed',
      'job.cancelled 3 sibling_failed',
    ])
  })

  it('makes a quorum possible again that would have been lost', () => {
    const run = new Script({ policy: 'quorum', n: 2, open: true }, jobs(1))
    run.append({})
    run.grant(0, 1)
    run.returns(0)
    run.returns(1)

    expect(run.batch).toMatchObject({ outcome: 'succeeded' })
  })
})

describe('open', () => {
  it('keeps a batch running without live jobs until it is closed', () => {
    const run = new Script({ open: true }, jobs(1))
    run.grant(0)
    run.returns(0)
    expect(run.state).toBe('running')
    expect(canAppend(run.batch)).toBe('ok')

    expect(run.close()).toEqual(['batch.settled succeeded', 'batch.drained'])
  })

  it('keeps a batch without any job running', () => {
    const run = new Script({ open: true }, [])

    expect(run.accepted).toEqual(['batch.accepted'])
    expect(run.state).toBe('running')
  })
})

describe('close', () => {
  it('lets live jobs go on, and the batch settle with the last of them', () => {
    const run = new Script({ open: true }, jobs(1))
    run.grant(0)

    expect(run.close()).toEqual([])
    expect(run.state).toBe('running')

    run.returns(0)

    expect(run.state).toBe('succeeded')
  })

  it('still allows an append while a job is live', () => {
    const run = new Script({ open: true }, jobs(1))
    run.close()

    expect(canAppend(run.batch)).toBe('ok')
  })

  it('may be called twice, and after the end', () => {
    const run = new Script({ open: true }, jobs(1))
    run.close()
    run.close()
    run.cancelJob(0)

    expect(run.close()).toEqual([])
    expect(run.state).toBe('succeeded')
  })

  it('settles each policy as if the jobs so far were all there ever were', () => {
    const outcome = (policy: BatchPlan['policy']) => {
      const run = new Script({ policy, open: true, n: 1 }, jobs(1))
      run.cancelJob(0)
      run.close()
      return run.state
    }

    expect(['all_settled', 'task_group', 'any', 'quorum', 'hedge'].map((policy) => outcome(policy as 'any'))).toEqual([
      'succeeded',
      'succeeded',
      'failed',
      'failed',
      'failed',
    ])
  })

  it('fails a race that nobody ran', () => {
    const run = new Script({ policy: 'race', open: true }, [])
    run.close()

    expect(run.state).toBe('failed')
    expect(run.batch).toMatchObject({ winner: null, error: { type: 'ExceptionGroup', errors: [] } })
  })
})

describe('stop', () => {
  it('ends a batch early without an error: the rest is cancelled, the state is succeeded', () => {
    const run = new Script({ policy: 'task_group', open: true }, jobs(3))
    run.grant(0, 1)
    run.returns(0)

    expect(run.stop()).toEqual(['batch.aborting stop', 'job.cancelling 1 stop', 'abort 1 stop', 'job.cancelled 2 stop'])
    run.unwinds(1)

    expect(run.state).toBe('succeeded')
    expect(run.batch.error).toBe(null)
  })

  it('is idempotent, while it unwinds and after', () => {
    const run = new Script({}, jobs(1))
    run.grant(0)
    run.stop()

    expect(run.stop()).toEqual([])
    run.unwinds(0)
    expect(run.stop()).toEqual([])
    expect(run.state).toBe('succeeded')
  })

  it('ends an open batch without live jobs at once', () => {
    const run = new Script({ open: true }, [])

    expect(run.stop()).toEqual(['batch.aborting stop', 'batch.settled succeeded', 'batch.drained'])
  })

  it.each(['any', 'race', 'quorum', 'hedge'] as const)('succeeds without a winner for %s', (policy) => {
    const run = new Script({ policy, n: 1 }, jobs(2))
    run.grant(0)
    run.stop()
    run.unwinds(0)

    expect(run.batch).toMatchObject({ outcome: 'succeeded', winner: null, error: null })
  })

  it('takes no winner that only arrives while it unwinds', () => {
    const run = new Script({ policy: 'any' }, jobs(2))
    run.grant(0)
    run.stop()
    run.returns(0)

    expect(run.batch).toMatchObject({ outcome: 'succeeded', winner: null })
  })

  it('is failed by an error of the unwinding', () => {
    const run = new Script({ policy: 'task_group' }, jobs(1))
    run.grant(0)
    run.stop()
    run.throws(0)

    expect(run.state).toBe('failed')
    expect(
      only(
        run.log.map(({ type }) => type),
        'batch.settled',
      ),
    ).toHaveLength(1)
  })
})

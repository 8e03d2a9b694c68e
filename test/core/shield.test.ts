import { describe, expect, it } from 'vitest'
import { boom, jobs, only, Script } from '../support/core.ts'

describe('a shielded job', () => {
  // test_tasks: test_shield_effect, test_gather_shield
  it.each<[string, (run: Script) => string[]]>([
    ['the abort of its batch', (run) => run.throws(0)],
    ['the cancel of its batch', (run) => run.cancel()],
    ['the timeout of its batch', (run) => run.due('batch')],
    ['the stop of its batch', (run) => run.stop()],
  ])('is deaf to %s, running or queued', (_, act) => {
    const run = new Script({ policy: 'task_group', timeoutMs: 50 }, [{}, { shield: true }, { shield: true }])
    run.grant(0, 1)

    const lines = act(run)

    expect(lines.filter((text) => / [12]( |$)/.test(text))).toEqual([])
    expect(run.jobs.slice(1)).toEqual(['running', 'queued'])
  })

  it('that was queued when its batch aborted starts later', () => {
    const run = new Script({}, [{}, { shield: true }])
    run.cancel()
    expect(run.state).toBe('cancelled')

    expect(run.grant(1)).toEqual(['job.started 1'])
    expect(run.returns(1)).toEqual(['job.succeeded 1', 'batch.drained', 'release 1'])
  })

  it('does not keep an aborting batch from settling, only from draining', () => {
    const run = new Script({ policy: 'task_group' }, [{}, {}, { shield: true }])
    run.grant(0, 1, 2)
    run.throws(0)

    expect(run.after(5).unwinds(1)).toEqual(['job.cancelled 1 sibling_failed', 'batch.settled failed', 'release 1'])
    expect(run.batch).toMatchObject({ settledAt: run.now, drainedAt: null })

    expect(run.after(5).returns(2)).toEqual(['job.succeeded 2', 'batch.drained', 'release 2'])
    expect(run.batch.drainedAt).toBe(run.now)
  })

  it('keeps a batch that nobody aborts waiting like any other job', () => {
    const run = new Script({}, [{}, { shield: true }])
    run.grant(0, 1)
    run.returns(0)
    expect(run.state).toBe('running')

    run.returns(1)

    expect(run.state).toBe('succeeded')
  })

  // test_tasks: test_shield_cancel_inner
  it('is still cancelled by itself, before and after its batch has settled', () => {
    const run = new Script({}, jobs(2, { shield: true }))
    run.grant(0)
    run.stop()
    expect(run.state).toBe('succeeded')

    expect(run.cancelJob(1, 'mine')).toEqual(['job.cancelled 1 user'])
    expect(run.cancelJob(0)).toEqual(['job.cancelling 0 user', 'abort 0 user'])
    expect(run.unwinds(0)).toEqual(['job.cancelled 0 user', 'batch.drained', 'release 0'])
  })

  it('keeps its own clocks', () => {
    const run = new Script({}, [
      { shield: true, timeoutMs: 5 },
      { shield: true, deadlineMs: 5 },
    ])
    run.grant(0)
    run.cancel()

    expect(run.due('deadline', 1)).toEqual(['disarm 1', 'job.timed_out 1 deadline'])
    run.due('timeout', 0)
    run.unwinds(0)

    expect(run.jobs).toEqual(['timed_out', 'timed_out'])
  })

  it('keeps waiting for its delay when its batch aborts, and then may start', () => {
    const run = new Script({}, [{}, { shield: true, delayMs: 5 }])
    run.cancel()

    expect(run.after(5).due('delay', 1)).toEqual(['enqueue 1'])
  })

  it('fails its batch as any job does', () => {
    const run = new Script({ policy: 'task_group' }, [{}, { shield: true }])
    run.grant(0, 1)

    expect(only(run.throws(1), 'batch')).toEqual(['batch.aborting sibling_failed by 1'])
  })

  it('adds its error to the group when it fails before the batch has settled', () => {
    const run = new Script({ policy: 'task_group' }, [{}, {}, { shield: true }])
    run.grant(0, 1, 2)
    run.throws(0, boom('First'))
    run.throws(2, boom('Shielded'))
    run.unwinds(1)

    expect(run.group).toEqual([
      [0, 'First'],
      [2, 'Shielded'],
    ])
  })

  it('wins a race and decides an any', () => {
    for (const policy of ['race', 'any'] as const) {
      const run = new Script({ policy }, [{}, { shield: true }])
      run.grant(0, 1)
      run.returns(1)
      run.unwinds(0)

      expect(run.batch).toMatchObject({ outcome: 'succeeded', winner: 1 })
    }
  })

  it('is accepted into a batch that its siblings have to abort at once, and may start', () => {
    const run = new Script({ policy: 'task_group' }, [{ timeoutMs: 0 }, { shield: true }, {}])

    expect(run.jobs).toEqual(['timed_out', 'queued', 'cancelled'])
    expect(only(run.accepted, 'enqueue')).toEqual(['enqueue 1'])
  })
})

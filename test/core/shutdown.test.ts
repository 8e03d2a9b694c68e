import { describe, expect, it } from 'vitest'
import { boom, jobs, only, Script } from '../support/core.ts'

describe('the service shuts down and keeps nothing', () => {
  it('cancels what is queued and stops what runs, with the cause shutdown', () => {
    const run = new Script({}, jobs(3))
    run.grant(0)

    expect(run.shutDown()).toEqual([
      'batch.aborting shutdown',
      'job.cancelling 0 shutdown',
      'abort 0 shutdown',
      'job.cancelled 1-2 shutdown',
    ])
    run.unwinds(0)

    expect(run.state).toBe('cancelled')
    expect(run.batch.error).toMatchObject({ type: 'CancelledError', message: 'The service was shut down.' })
  })

  it('spares no shielded job: afterwards there is no live one', () => {
    const run = new Script({}, [{}, { shield: true }, { shield: true }, {}, { shield: true, delayMs: 5 }])
    run.grant(0, 1)

    expect(run.shutDown()).toEqual([
      'batch.aborting shutdown',
      'job.cancelling 0 shutdown',
      'abort 0 shutdown',
      'job.cancelling 1 shutdown',
      'abort 1 shutdown',
      'disarm 4',
      'job.cancelled 2-4 shutdown',
    ])
    run.unwinds(0)
    run.unwinds(1)

    expect(run.jobs).toEqual(['cancelled', 'cancelled', 'cancelled', 'cancelled', 'cancelled'])
    expect(run.batch.phase).toBe('drained')
  })

  it('stops the shielded jobs of a batch that aborts already', () => {
    const run = new Script({}, [{}, { shield: true }, { shield: true }])
    run.grant(0, 1)
    run.cancel('mine')

    expect(run.shutDown()).toEqual(['job.cancelling 1 shutdown', 'abort 1 shutdown', 'job.cancelled 2 shutdown'])
    run.unwinds(0)
    run.unwinds(1)

    expect(run.last(0)).toMatchObject({ cause: 'batch_cancel', reason: 'mine' })
    expect(run.batch).toMatchObject({ outcome: 'cancelled', phase: 'drained', cancel: { reason: 'mine' } })
  })

  it('stops the survivors of a gather that has failed, and changes nothing of its outcome', () => {
    const run = new Script({ policy: 'gather' }, jobs(3))
    run.grant(0, 1)
    run.throws(0, boom('First'))
    const { error, settledAt } = run.batch

    expect(run.after(5).shutDown()).toEqual([
      'job.cancelling 1 shutdown',
      'abort 1 shutdown',
      'job.cancelled 2 shutdown',
    ])
    expect(run.after(5).unwinds(1)).toEqual(['job.cancelled 1 shutdown', 'batch.drained', 'release 1'])

    expect(run.batch).toMatchObject({ outcome: 'failed', error, settledAt, shutDown: false })
  })

  it('stops the shielded jobs of a batch that has settled', () => {
    const run = new Script({}, [{}, { shield: true }])
    run.stop()
    expect(run.state).toBe('succeeded')

    expect(run.shutDown()).toEqual(['job.cancelled 1 shutdown', 'batch.drained'])
    expect(run.state).toBe('succeeded')
  })

  it('loses to a real error', () => {
    const run = new Script({ policy: 'task_group' }, jobs(1))
    run.grant(0)
    run.shutDown()
    run.throws(0)

    expect(run.state).toBe('failed')
  })

  it('wins over a timeout that fired as well', () => {
    const run = new Script({ timeoutMs: 5 }, jobs(1))
    run.grant(0)
    run.due('batch')
    run.shutDown()
    run.unwinds(0)

    expect(run.state).toBe('cancelled')
    expect(run.last(0)).toMatchObject({ type: 'job.cancelled', cause: 'batch_timeout' })
  })

  it('is the cause of a job that its own timeout was stopping', () => {
    const run = new Script({}, jobs(1, { timeoutMs: 5 }))
    run.grant(0)
    run.due('timeout', 0)
    run.shutDown()
    run.unwinds(0)

    expect(run.last(0)).toMatchObject({ type: 'job.cancelled', cause: 'shutdown' })
  })

  it('ends an open batch without jobs', () => {
    const run = new Script({ open: true }, [])

    expect(only(run.shutDown(), 'batch')).toEqual([
      'batch.aborting shutdown',
      'batch.settled cancelled',
      'batch.drained',
    ])
  })

  it('changes nothing of a batch that has drained', () => {
    const run = new Script({}, [])

    expect(run.shutDown()).toEqual([])
    expect(run.batch.shutDown).toBe(false)
  })

  it('may be told twice', () => {
    const run = new Script({}, [{}, { shield: true }])
    run.grant(0, 1)
    run.shutDown()

    expect(run.shutDown()).toEqual([])
  })
})

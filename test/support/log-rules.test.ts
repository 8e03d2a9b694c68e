import { describe, expect, it } from 'vitest'
import { countsOf, ENDS, LIVE, mayMove, stateAfter } from './log-rules.ts'

const STATES = [...LIVE, ...ENDS]

describe('the rules that logs are held against', () => {
  it('have every move of semantics.md 2, and no other', () => {
    const moves = STATES.flatMap((from) => STATES.filter((to) => mayMove(from, to)).map((to) => `${from} → ${to}`))

    expect(moves).toEqual([
      ...['queued → running', 'queued → timed_out', 'queued → cancelled'],
      ...['running → cancelling', 'running → succeeded', 'running → failed'],
      ...['cancelling → succeeded', 'cancelling → failed', 'cancelling → timed_out', 'cancelling → cancelled'],
    ])
  })

  it('let no job out of its end, nor into a state that there is not', () => {
    expect([...ENDS].flatMap((end) => STATES.filter((to) => mayMove(end, to)))).toEqual([])
    expect(mayMove('queued', 'lost')).toBe(false)
  })

  it('name the state after an event', () => {
    expect(['job.started', 'job.queued', 'job.timed_out'].map(stateAfter)).toEqual(['running', 'queued', 'timed_out'])
  })

  it('count the jobs of each state, those of none too', () => {
    expect(countsOf(['queued', 'failed', 'failed'])).toEqual({
      ...{ total: 3, queued: 1, running: 0, cancelling: 0 },
      ...{ succeeded: 0, failed: 2, timed_out: 0, cancelled: 0 },
    })
  })
})

import { describe, expect, it } from 'vitest'
import { impatience } from '../../src/cli/signals.ts'
import { FakeClock } from '../support/fake-clock.ts'

/** Signals, each with the milliseconds before it; gives how often the end was asked for after each. */
function ends(...signals: [afterMs: number, signal: string][]): number[] {
  const clock = new FakeClock()
  let count = 0
  const hurry = impatience(clock, () => count++)
  return signals.map(([afterMs, signal]) => {
    clock.advance(afterMs)
    hurry(signal)
    return count
  })
}

describe('a second signal', () => {
  it('ends the process at once, and the first one does not', () => {
    expect(ends([0, 'SIGTERM'], [500, 'SIGTERM'])).toEqual([0, 1])
    expect(ends([0, 'SIGINT'], [60_000, 'SIGINT'])).toEqual([0, 1])
  })

  it("is the first one when it comes right behind it: a terminal's Ctrl-C under npm", () => {
    expect(ends([0, 'SIGINT'], [0, 'SIGINT'], [499, 'SIGINT'])).toEqual([0, 0, 0])
  })

  it('counts from the first one, however many come between', () => {
    expect(ends([0, 'SIGINT'], [300, 'SIGINT'], [200, 'SIGINT'])).toEqual([0, 0, 1])
  })

  it('is another one at any time when it is of another sort', () => {
    expect(ends([0, 'SIGTERM'], [0, 'SIGINT'])).toEqual([0, 1])
    expect(ends([0, 'SIGINT'], [1, 'SIGTERM'])).toEqual([0, 1])
  })
})

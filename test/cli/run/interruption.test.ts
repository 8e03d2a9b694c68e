import { describe, expect, it } from 'vitest'
import { Interruption } from '../../../src/cli/run/interruption.ts'
import { StillClock } from '../../support/fake-parts.ts'
import { FakeIo } from '../fake-io.ts'

describe('Interruption', () => {
  it('stops the work at the first signal, and ends the process at once at a second one that comes later', () => {
    const io = new FakeIo([])
    const clock = new StillClock()
    let stops = 0
    const stop = async () => void stops++
    using interruption = new Interruption({ io, clock, stop })

    io.signal('SIGINT')
    clock.advance(501)
    io.signal('SIGTERM')

    expect(stops).toBe(1)
    expect(interruption.status).toBe(130)
    expect(io.exits).toEqual([143])
  })

  it('has no status while there was no signal', () => {
    const io = new FakeIo([])
    using interruption = new Interruption({ io, clock: new StillClock(), stop: async () => undefined })

    expect(interruption.status).toBeNull()
    expect(io.listening).toBe(1)
  })
})

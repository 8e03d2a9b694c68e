import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MAX_TIMER_MS } from '../../../src/clock.ts'
import { type Timer, type TimerOwner, Timers } from '../../../src/engine/local/timers.ts'
import { type BadHabits, FakeClock } from '../../support/fake-clock.ts'

const DAY = 86_400_000

/** Timers over a fake clock, and what fired when. */
function start(options: { now?: number } & BadHabits = {}) {
  const clock = new FakeClock({ now: 0, ...options })
  const timers = new Timers({ clock })
  const fired: { index: number; at: number }[] = []
  const owner: TimerOwner = { due: (_kind, index) => fired.push({ index, at: clock.now() }) }
  return { clock, timers, fired, owner }
}

describe('Timers', () => {
  it('calls the owner once, with the kind and the index, at its time', () => {
    const { clock, timers } = start()
    const calls: unknown[] = []
    timers.arm({ due: (...args) => calls.push(args) }, 'deadline', 7, 100)

    clock.advance(99)
    expect(calls).toEqual([])
    clock.advance(1)
    clock.advance(DAY)

    expect(calls).toEqual([['deadline', 7]])
    expect([timers.size, clock.armed]).toEqual([0, 0])
  })

  it('fires in the order of their times, whatever the order in which they were armed', () => {
    const { clock, timers, fired, owner } = start()
    for (const at of [50, 10, 40, 20, 30]) timers.arm(owner, 'sleep', at, at)

    clock.advance(100)

    expect(fired).toEqual([10, 20, 30, 40, 50].map((at) => ({ index: at, at })))
  })

  it('never fires early on a platform that does', () => {
    const { clock, timers, fired, owner } = start({ earlyMs: 0.9 })
    for (const at of [0.5, 1, 1.25, 10.75, 1_000.125]) timers.arm(owner, 'sleep', at * 1_000, at)

    clock.advance(2_000)

    expect(fired).toHaveLength(5)
    for (const { index, at } of fired) expect(at).toBeGreaterThanOrEqual(index / 1_000)
    for (const { index, at } of fired) expect(at).toBeLessThan(index / 1_000 + 1)
  })

  it('keeps waits longer than the platform can, and wakes seldom for them', () => {
    const { clock, timers, fired, owner } = start({ overflows: true, earlyMs: 0.9 })
    timers.arm(owner, 'sleep', 1, 100 * DAY)

    clock.advance(100 * DAY - 1)
    expect(fired).toEqual([])
    clock.advance(2)

    expect(fired.map(({ index }) => index)).toEqual([1])
    expect(fired[0].at).toBeGreaterThanOrEqual(100 * DAY)
    expect(clock.asked).toBeLessThan(20 + (100 * DAY) / MAX_TIMER_MS)
  })

  it('fires what is over already in the next turn, not inside arm', () => {
    const { clock, timers, fired, owner } = start({ now: 1_000 })

    timers.arm(owner, 'sleep', 1, 500)
    expect(fired).toEqual([])
    clock.advance(0)

    expect(fired).toEqual([{ index: 1, at: 1_000 }])
  })

  it('does not fire what was cancelled, before or after its time, once or twice', () => {
    const { clock, timers, fired, owner } = start()
    const first = timers.arm(owner, 'sleep', 1, 10)
    timers.arm(owner, 'sleep', 2, 20)
    timers.cancel(first)
    timers.cancel(first)

    clock.advance(30)
    timers.cancel(first)

    expect(fired).toEqual([{ index: 2, at: 20 }])
  })

  it('lets go of the platform when nothing is armed', () => {
    const { clock, timers, owner } = start()
    const armed = [1, 2, 3].map((at) => timers.arm(owner, 'sleep', at, at))

    for (const timer of armed) timers.cancel(timer)

    expect([timers.size, clock.armed]).toEqual([0, 0])
  })

  it('holds one timer of the platform, however many are armed', () => {
    const { clock, timers, fired, owner } = start()
    for (let i = 0; i < 100_000; i++) timers.arm(owner, 'sleep', i, 1 + ((i * 7_919) % 1_000))

    expect([timers.size, clock.armed]).toEqual([100_000, 1])
    clock.advance(1_000)

    expect(fired).toHaveLength(100_000)
    expect(clock.asked).toBeLessThan(2_100)
    for (let i = 1; i < fired.length; i++) if (fired[i].at < fired[i - 1].at) throw new Error('out of order')
  })

  it('lets a callback arm and cancel others', () => {
    const { clock, timers, fired, owner } = start()
    const doomed: Timer[] = []
    timers.arm(
      {
        due() {
          for (const timer of doomed) timers.cancel(timer)
          timers.arm(owner, 'sleep', 3, clock.now())
          timers.arm(owner, 'sleep', 4, clock.now() + 5)
        },
      },
      'sleep',
      0,
      10,
    )
    doomed.push(timers.arm(owner, 'sleep', 1, 10), timers.arm(owner, 'sleep', 2, 12))

    clock.advance(100)

    expect(fired).toEqual([
      { index: 3, at: 10 },
      { index: 4, at: 15 },
    ])
  })

  it('fires the others all the same when a callback throws', () => {
    const { clock, timers, fired, owner } = start()
    timers.arm(
      {
        due() {
          throw new Error('boom')
        },
      },
      'sleep',
      0,
      10,
    )
    timers.arm(owner, 'sleep', 1, 20)

    expect(() => clock.advance(15)).toThrow('boom')
    clock.advance(15)
    timers.arm(owner, 'sleep', 2, 40)
    clock.advance(15)

    expect(fired.map(({ index }) => index)).toEqual([1, 2])
  })

  it('forgets everything when it is closed, also by a callback', () => {
    const { clock, timers, fired, owner } = start()
    timers.arm({ due: () => timers.close() }, 'sleep', 0, 10)
    timers.arm(owner, 'sleep', 1, 10)
    timers.arm(owner, 'sleep', 2, 20)

    clock.advance(100)

    expect(fired).toEqual([])
    expect([timers.size, clock.armed]).toEqual([0, 0])
  })

  it('agrees with a sorted list under any program, on a platform that is early and overflows', () => {
    const op = fc.oneof(
      fc.record({
        op: fc.constant('arm' as const),
        in: fc.oneof(fc.nat(50), fc.double({ min: 0, max: 9, noNaN: true }), fc.constant(40 * DAY)),
      }),
      fc.record({ op: fc.constant('cancel' as const), pick: fc.nat(50) }),
      fc.record({ op: fc.constant('advance' as const), ms: fc.oneof(fc.nat(30), fc.constant(20 * DAY)) }),
    )
    fc.assert(
      fc.property(fc.array(op, { maxLength: 60 }), fc.constantFrom(0, 0.5, 0.9), (program, earlyMs) => {
        const { clock, timers, fired, owner } = start({ earlyMs, overflows: true })
        const armed = new Map<number, Timer>()
        let last = 0
        for (const step of program) {
          if (step.op === 'arm') armed.set(last, timers.arm(owner, 'sleep', last++, clock.now() + step.in))
          else if (step.op === 'cancel') {
            const [index, timer] = [...armed][step.pick % Math.max(1, armed.size)] ?? []
            if (timer !== undefined) timers.cancel(timer)
            if (index !== undefined) armed.delete(index)
          } else clock.advance(step.ms)
          for (const { index, at } of fired.splice(0)) {
            const timer = armed.get(index)
            if (timer === undefined) throw new Error('fired twice, or after it was cancelled')
            if (at < timer.at) throw new Error('early')
            armed.delete(index)
          }
          const late = [...armed.values()].filter((timer) => timer.at < clock.now() - 1)
          if (late.length > 0) throw new Error('late')
          if (timers.size !== armed.size) throw new Error('size')
        }
      }),
      { numRuns: 300 },
    )
  })
})

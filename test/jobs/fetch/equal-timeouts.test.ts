import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type EqualTimeout, EqualTimeouts } from '../../../src/jobs/fetch/equal-timeouts.ts'
import { ManualClock } from '../attempt.ts'

const DELAY = 100

function start() {
  const clock = new ManualClock()
  const timeouts = new EqualTimeouts({ delayMs: DELAY, clock })
  const fired: [name: string, at: number][] = []
  const began = clock.now()
  const arm = (name: string) => timeouts.arm({ timedOut: () => fired.push([name, clock.now() - began]) })
  return { clock, timeouts, fired, arm }
}

describe('EqualTimeouts', () => {
  it('tells each owner when its own time is up, in order, over one timer of the clock', () => {
    const { clock, fired, arm } = start()
    arm('a')
    clock.advance(30)
    arm('b')
    arm('c')
    expect(clock.armed).toBe(1)

    clock.advance(69)
    expect(fired).toEqual([])
    clock.advance(1)
    expect(fired).toEqual([['a', 100]])
    clock.advance(30)

    expect(fired).toEqual([
      ['a', 100],
      ['b', 130],
      ['c', 130],
    ])
    expect(clock.armed).toBe(0)
  })

  it('holds no timer when nobody waits any more', () => {
    const { clock, timeouts, arm } = start()
    const [a, b] = [arm('a'), arm('b')]

    timeouts.cancel(a)
    expect(clock.armed).toBe(1)
    timeouts.cancel(b)
    timeouts.cancel(b)

    expect(clock.armed).toBe(0)
  })

  it('lets an owner that is told arm another and cancel one that is due with it', () => {
    const { clock, timeouts, fired, arm } = start()
    let due: EqualTimeout | undefined
    timeouts.arm({
      timedOut() {
        if (due) timeouts.cancel(due)
        arm('next')
      },
    })
    due = arm('cancelled')

    clock.advance(DELAY)
    expect(fired).toEqual([])
    clock.advance(DELAY)

    expect(fired).toEqual([['next', 2 * DELAY]])
  })

  it('is never early and never forgets, whatever is armed and cancelled in between', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('arm' as const) }),
      fc.record({ do: fc.constant('cancel' as const), nth: fc.nat(20) }),
      fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 150 }) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (program) => {
        const { clock, timeouts, fired, arm } = start()
        const model: { name: string; dueAt: number; timeout: EqualTimeout; over: boolean }[] = []
        const expected: string[] = []
        let now = 0
        for (const each of program) {
          if (each.do === 'arm') {
            const name = `${model.length}`
            model.push({ name, dueAt: now + DELAY, timeout: arm(name), over: false })
          } else if (each.do === 'cancel') {
            const one = model[each.nth]
            if (one === undefined) continue
            timeouts.cancel(one.timeout)
            one.over = true
          } else {
            now += each.ms
            clock.advance(each.ms)
            for (const one of model.filter(({ over, dueAt }) => !over && dueAt <= now)) {
              one.over = true
              expected.push(one.name)
            }
          }
          expect(fired.map(([name]) => name)).toEqual(expected)
          expect(clock.armed).toBe(model.some(({ over }) => !over) ? 1 : 0)
        }
      }),
      { numRuns: 200 },
    )
  })
})

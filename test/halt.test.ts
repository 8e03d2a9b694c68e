import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Halt, type HaltListener, type HaltSignal } from '../src/halt.ts'

const reason = new Error('why')

/** Something to listen with, and who was told. */
function listenersOf(told: string[], signal: HaltSignal, leaves: boolean): HaltListener[] {
  const listeners = ['a', 'b', 'c'].map((name) => ({
    handleEvent() {
      told.push(name)
      // One of those that are told later leaves meanwhile.
      if (leaves && name === 'a') signal.removeEventListener('abort', listeners[1])
    },
  }))
  return listeners
}

type Call = { call: 'add' | 'remove'; which: number } | { call: 'abort' }

const calls = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ call: fc.constantFrom('add' as const, 'remove' as const), which: fc.nat(2) }) },
    { weight: 1, arbitrary: fc.record({ call: fc.constant('abort' as const) }) },
  ),
  { maxLength: 12 },
)

function run(signal: HaltSignal, abort: () => void, program: Call[], leaves: boolean): string[] {
  const told: string[] = []
  const listeners = listenersOf(told, signal, leaves)
  for (const step of program) {
    if (step.call === 'abort') abort()
    else if (step.call === 'add') signal.addEventListener('abort', listeners[step.which])
    else signal.removeEventListener('abort', listeners[step.which])
    told.push(`${signal.aborted}`)
  }
  return told
}

describe('Halt', () => {
  it('tells whom an AbortController tells, in the same order', () => {
    fc.assert(
      fc.property(calls, fc.boolean(), (program, leaves) => {
        const halt = new Halt()
        const controller = new AbortController()

        const told = run(halt, () => halt.abort(reason), program, leaves)

        expect(told).toEqual(run(controller.signal, () => controller.abort(reason), program, leaves))
      }),
      { numRuns: 300 },
    )
  })

  it('keeps the reason of the first abort, and throws it', () => {
    const halt = new Halt()
    expect(() => halt.throwIfAborted()).not.toThrow()

    halt.abort(reason)
    halt.abort(new Error('later'))

    expect([halt.aborted, halt.reason]).toEqual([true, reason])
    expect(() => halt.throwIfAborted()).toThrow(reason)
  })

  it.each([['before'], ['after']])('has a signal that aborts with it, asked for %s the abort', (when) => {
    const halt = new Halt()
    const early = when === 'before' ? halt.signal : undefined
    expect(early?.aborted ?? false).toBe(false)

    halt.abort(reason)

    expect([halt.signal.aborted, halt.signal.reason]).toEqual([true, reason])
    expect(halt.signal).toBe(early ?? halt.signal)
  })

  it('has aborted, and its signal with it, when the first listener hears of it', () => {
    const halt = new Halt()
    const { signal } = halt
    const seen: unknown[] = []
    halt.addEventListener('abort', { handleEvent: () => seen.push(halt.aborted, halt.reason, signal.aborted) })

    halt.abort(reason)

    expect(seen).toEqual([true, reason, true])
  })
})

import { describe, expect, it } from 'vitest'
import { Turns } from '../../src/json/turns.ts'

/** Turns that go round when the test says so. */
function start() {
  const due: (() => void)[] = []
  const done: string[] = []
  const turns = new Turns({ nextTurn: (go) => due.push(go) })
  const begin = (tenantId: string, name: string, steps: number, signal = new AbortController().signal) => {
    let left = steps
    const step = () => {
      done.push(name)
      return --left === 0
    }
    return turns.run(tenantId, step, signal)
  }
  const go = async (rounds: number) => {
    for (let i = 0; i < rounds; i++) {
      expect(due.length).toBeLessThanOrEqual(1)
      due.shift()?.()
      await Promise.resolve()
    }
  }
  return { begin, go, done, due, turns }
}

describe('Turns', () => {
  it('does one step a turn, and nothing before the first', async () => {
    const { begin, go, done, due } = start()
    const work = begin('t', 'a', 3)

    expect(done).toEqual([])
    await go(1)
    expect(done).toEqual(['a'])
    await go(2)

    await work
    expect(done).toEqual(['a', 'a', 'a'])
    expect(due).toEqual([])
  })

  it('takes turns between tenants, and finishes what a tenant began first', async () => {
    const { begin, go, done } = start()
    const all = [begin('t', 'a', 3), begin('t', 'b', 2), begin('u', 'c', 3)]

    await go(8)

    await Promise.all(all)
    expect(done.join('')).toBe('acacacbb')
  })

  it('takes up work that comes in between', async () => {
    const { begin, go, done } = start()
    const first = begin('t', 'a', 3)
    await go(1)
    const second = begin('u', 'b', 1)
    await go(3)

    await Promise.all([first, second])
    expect(done.join('')).toBe('aaba')
  })

  it('ends at once when it is aborted, first in line or last, and does no more steps', async () => {
    const { begin, go, done } = start()
    const stop = new AbortController()
    const [a, b, c] = [begin('t', 'a', 9, stop.signal), begin('t', 'b', 1), begin('t', 'c', 9, stop.signal)]
    await go(1)
    stop.abort(new Error('gone'))

    await expect(a).rejects.toThrow('gone')
    await expect(c).rejects.toThrow('gone')
    await go(3)
    await b
    expect(done.join('')).toBe('ab')
  })

  it('does nothing for what was aborted before', async () => {
    const { begin, done, due } = start()

    await expect(begin('t', 'a', 1, AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone')
    expect([done, due]).toEqual([[], []])
  })

  it('fails with what a step throws, and goes on with the rest', async () => {
    const { begin, go, turns, done } = start()
    const failing = turns.run(
      't',
      () => {
        throw new Error('broken')
      },
      new AbortController().signal,
    )
    const other = begin('t', 'a', 1)
    failing.catch(() => undefined)
    await go(2)

    await expect(failing).rejects.toThrow('broken')
    await other
    expect(done).toEqual(['a'])
  })

  it('lets the event loop go round between two steps', async () => {
    let rounds = 0
    const seen: number[] = []
    const count = () => {
      rounds++
      if (seen.length < 5) setImmediate(count)
    }
    setImmediate(count)

    await new Turns().run('t', () => seen.push(rounds) === 5, new AbortController().signal)

    expect(new Set(seen).size).toBe(5)
  })
})

import { describe, expect, it } from 'vitest'
import type { Hold } from '../../../src/engine/engine.ts'
import { OnceOnly } from '../../../src/engine/local/once-only.ts'
import { OverloadedError } from '../../../src/errors.ts'
import { turn } from '../../support/fake-clock.ts'

const HOLD: Hold = { timeoutMs: 1_000, bytes: 1 }

/** Waits for room until its signal says that nobody wants it. */
const waiting = (hold: Hold | undefined): Promise<string> =>
  new Promise((_, reject) => hold?.signal?.addEventListener('abort', () => reject(new Error('given up'))))

describe('submissions under an id', () => {
  it('are made, one after the other, as long as nobody has asked for it', async () => {
    const once = new OnceOnly()

    expect(await once.run('a', undefined, async (hold) => hold)).toBeUndefined()
    expect(await once.run('a', HOLD, async (hold) => hold?.timeoutMs)).toBe(1_000)
    await expect(once.run('a', HOLD, () => Promise.reject(new Error('its own')))).rejects.toThrow('its own')
    expect(await once.run('a', undefined, async () => 'again')).toBe('again')
  })

  it('are not made while there is one', async () => {
    const once = new OnceOnly()
    const first = Promise.withResolvers<string>()
    const running = once.run('a', undefined, () => first.promise)

    await expect(once.run('a', undefined, async () => 'second')).rejects.toThrow(OverloadedError)
    expect(await once.run('b', undefined, async () => 'another')).toBe('another')
    first.resolve('first')

    expect(await running).toBe('first')
  })

  it('wait for room no longer once somebody asks, who is answered when they have ended', async () => {
    const once = new OnceOnly()
    const order: string[] = []
    const submitted = once.run('a', HOLD, waiting).catch((error: Error) => order.push(error.message))
    const other = once.run('b', HOLD, waiting)

    await once.close('a').then(() => order.push('asked'))

    await submitted
    expect(order).toEqual(['given up', 'asked'])
    other.catch(() => undefined)
    expect(await Promise.race([other, turn().then(() => 'waits')])).toBe('waits')
  })

  it('end before somebody who asks is answered, also when they wait for no room', async () => {
    const once = new OnceOnly()
    const written = Promise.withResolvers<string>()
    const submitted = once.run('a', HOLD, () => written.promise)
    let isAnswered = false
    const asked = once.close('a').then(() => {
      isAnswered = true
    })
    await turn()
    expect(isAnswered).toBe(false)

    written.resolve('on record')

    await asked
    expect(await submitted).toBe('on record')
  })

  it('still go by the signal of their own caller', async () => {
    const once = new OnceOnly()
    const caller = new AbortController()
    const submitted = once.run('a', { ...HOLD, signal: caller.signal }, waiting)

    caller.abort()

    await expect(submitted).rejects.toThrow('given up')
  })

  it('are refused for good once somebody has asked', async () => {
    const once = new OnceOnly()
    await once.close('a')
    await once.close('a')
    let made = 0

    await expect(once.run('a', HOLD, async () => made++)).rejects.toThrow('nothing was accepted')
    await expect(once.run('a', undefined, async () => made++)).rejects.toThrow(OverloadedError)
    expect([made, await once.run('b', undefined, async () => 'b')]).toEqual([0, 'b'])
  })

  it('are forgotten ten thousand questions later, and no sooner', async () => {
    const once = new OnceOnly()
    for (let nth = 0; nth <= 10_000; nth++) await once.close(`${nth}`)

    expect(await once.run('0', undefined, async () => 'made')).toBe('made')
    await expect(once.run('1', undefined, async () => 'made')).rejects.toThrow(OverloadedError)
  })
})

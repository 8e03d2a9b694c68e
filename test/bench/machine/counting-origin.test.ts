import { request } from 'undici'
import { describe, expect, it, vi } from 'vitest'
import { countingOrigin } from '../../../bench/machine/counting-origin.ts'

describe('the target that counts', () => {
  it('finds those that are beyond the cap, and only those', async () => {
    await using origin = await countingOrigin(2)
    const held = new AbortController()
    const hang = () => request(`${origin.url}/hang`, { signal: held.signal }).catch(() => undefined)
    const calls = [hang(), hang()]
    await vi.waitFor(() => expect(origin.peak).toBe(2))
    expect(origin.violations).toBe(0)

    calls.push(hang())

    await vi.waitFor(() => expect(origin.violations).toBe(1))
    expect(origin.peak).toBe(3)
    held.abort()
    await Promise.all(calls)
  })

  it('has nobody left when its callers have hung up', async () => {
    await using origin = await countingOrigin(1)
    const held = new AbortController()
    const call = request(`${origin.url}/hang`, { signal: held.signal }).catch(() => undefined)
    await vi.waitFor(() => expect(origin.open).toBe(1))

    held.abort()
    await call

    await vi.waitFor(() => expect(origin.open).toBe(0))
  })

  it('forgets how many there were, not how many there are', async () => {
    await using origin = await countingOrigin(1)
    const held = new AbortController()
    const call = request(`${origin.url}/hang`, { signal: held.signal }).catch(() => undefined)
    await vi.waitFor(() => expect(origin.peak).toBe(1))

    origin.forget()

    expect([origin.peak, origin.open, origin.requests]).toEqual([0, 1, 1])
    held.abort()
    await call
  })

  it('answers, drips and resets by the path', async () => {
    await using origin = await countingOrigin(1)

    const texts = ['ok', 'drip'].map(async (path) => (await request(`${origin.url}/${path}`)).body.text())
    const reset = request(`${origin.url}/reset`)

    await expect(reset).rejects.toThrow()
    expect(await Promise.all(texts)).toEqual(['ok', 'xxxxxxxxx'])
    expect(origin.open).toBe(0)
  })
})

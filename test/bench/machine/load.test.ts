import { loadavg } from 'node:os'
import { describe, expect, it } from 'vitest'
import { loadNow, runnableIn } from '../../../bench/machine/load.ts'

describe('what else a machine does', () => {
  it.each([
    ['3.88 5.54 10.73 7/266 12823\n', 6],
    ['0.00 0.01 0.05 1/266 12823\n', 0],
    ['0.00 0.01 0.05 0/266 12823\n', 0],
    ['', Infinity],
    ['0.00 0.01 0.05 x/266 12823\n', Infinity],
  ])('is read of %j', (text, runnable) => {
    expect(runnableIn(text)).toBe(runnable)
  })

  it('is no more than the load of the last minute', async () => {
    const before = loadavg()[0]
    const load = await loadNow()

    expect(load).toBeGreaterThanOrEqual(0)
    expect(load).toBeLessThanOrEqual(Math.max(before, loadavg()[0]))
  })
})

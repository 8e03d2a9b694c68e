import { beforeEach, describe, expect, it } from 'vitest'
import { Refresh } from '../../../src/engine/cluster/refresh.ts'
import { FakeClock } from '../../support/fake-clock.ts'

describe('Refresh', () => {
  let clock: FakeClock
  let refresh: Refresh
  /** Ends of the reads that were begun, in order. */
  let reads: PromiseWithResolvers<void>[]

  beforeEach(() => {
    clock = new FakeClock()
    reads = []
    refresh = new Refresh({
      clock,
      read() {
        reads.push(Promise.withResolvers())
        return reads[reads.length - 1].promise
      },
    })
  })

  /** The newest read ends after so long. */
  const endAfter = async (ms: number) => {
    clock.advance(ms)
    reads[reads.length - 1].resolve()
    await Promise.resolve()
    await Promise.resolve()
  }

  it('reads at once when it is told, also when it has rested', async () => {
    refresh.wake()
    expect(reads).toHaveLength(1)

    await endAfter(10)
    clock.advance(40)
    refresh.wake()

    expect(reads).toHaveLength(2)
  })

  it('rests four times as long as the read took, and then reads once for all that it was told meanwhile', async () => {
    refresh.wake()
    refresh.wake()
    await endAfter(10)
    refresh.wake()
    refresh.wake()

    clock.advance(39)
    expect(reads).toHaveLength(1)
    clock.advance(1)
    expect(reads).toHaveLength(2)

    await endAfter(10)
    clock.advance(1_000)
    expect(reads).toHaveLength(2)
  })

  it('reads again when it was told while it read: that read may have begun too early', async () => {
    refresh.wake()
    refresh.wake()
    expect(reads).toHaveLength(1)

    await endAfter(1)
    clock.advance(4)

    expect(reads).toHaveLength(2)
  })

  it('never rests for more than a second', async () => {
    refresh.wake()
    await endAfter(60_000)
    refresh.wake()

    clock.advance(999)
    expect(reads).toHaveLength(1)
    clock.advance(1)
    expect(reads).toHaveLength(2)
  })

  it('does not read by itself', async () => {
    refresh.wake()
    await endAfter(10)

    clock.advance(60_000)

    expect(reads).toHaveLength(1)
    expect(clock.armed).toBe(0)
  })

  it.each([
    ['while it rests', 10],
    ['while it reads', 0],
  ])('reads no more once it is stopped %s', async (_when, ms) => {
    refresh.wake()
    if (ms > 0) await endAfter(ms)
    refresh.wake()
    refresh.stop()
    await endAfter(1)

    refresh.wake()
    clock.advance(60_000)

    expect(reads).toHaveLength(1)
    expect(clock.armed).toBe(0)
  })
})

import { describe, expect, it } from 'vitest'
import { FakeClock } from '../../support/fake-clock.ts'
import { liveBatch } from './live.ts'

/** A live batch at instant 0, and the clocks that ran out. */
function start() {
  const clock = new FakeClock({ now: 0 })
  const due: [string, number][] = []
  const live = liveBatch({ clock, onDue: (kind, index) => due.push([kind, index]) })
  return { clock, due, live }
}

describe('LiveBatch', () => {
  it('tells which clock of which job ran out, once', () => {
    const { clock, due, live } = start()
    live.arm('deadline', 0, 10)
    live.arm('timeout', 0, 20)
    live.arm('deadline', 1, 30)
    live.arm('batch', -1, 40)

    clock.advance(100)

    expect(due).toEqual([
      ['deadline', 0],
      ['timeout', 0],
      ['deadline', 1],
      ['batch', -1],
    ])
    expect(clock.armed).toBe(0)
  })

  it('replaces a clock of the same kind and job only', () => {
    const { clock, due, live } = start()
    live.arm('deadline', 0, 10)
    live.arm('queue_timeout', 0, 20)
    live.arm('deadline', 1, 15)

    live.arm('deadline', 0, 50)
    clock.advance(30)
    expect(due).toEqual([
      ['deadline', 1],
      ['queue_timeout', 0],
    ])
    clock.advance(30)

    expect(due.at(-1)).toEqual(['deadline', 0])
  })

  it('forgets one clock of a job, or all of them, and not those of others', () => {
    const { clock, due, live } = start()
    for (const kind of ['timeout', 'deadline', 'queue_timeout', 'delay'] as const)
      for (const index of [0, 1]) live.arm(kind, index, 10)
    live.arm('hedge', -1, 10)

    live.disarm('deadline', 1)
    live.disarm('deadline', 1)
    live.disarm(undefined, 0)
    clock.advance(20)

    expect(due.toSorted()).toEqual([
      ['delay', 1],
      ['hedge', -1],
      ['queue_timeout', 1],
      ['timeout', 1],
    ])
  })

  it('calls nobody back once it is closed', () => {
    const { clock, due, live } = start()
    live.arm('deadline', 0, 10)

    live.close()
    live.close()
    clock.advance(20)

    expect([due, clock.armed]).toEqual([[], 0])
  })

  it('tells its listeners of every publication until they stop listening, also while it tells them', () => {
    const { live } = start()
    const heard: string[] = []
    const stopFirst = live.onPublish(() => {
      heard.push(`first ${live.publishedSeq}`)
      stopFirst()
    })
    const stopSecond = live.onPublish(() => heard.push(`second ${live.publishedSeq}`))

    live.publish(3)
    live.publish(5)
    stopSecond()
    live.publish(6)

    expect(heard).toEqual(['first 3', 'second 3', 'second 5'])
  })

  it('reads a page of the log once for all who ask for it at the same time, and anew after a publication', async () => {
    const { live } = start()
    let reads = 0
    const read = async () => ({ events: [], after: ++reads })

    const both = await Promise.all([live.page('0', read), live.page('0', read), live.page('7', read)])
    live.publish(1)
    const later = await live.page('0', read)

    expect(both.map(({ after }) => after)).toEqual([1, 1, 2])
    expect(later.after).toBe(3)
  })

  it('knows the place in the order of acceptance of every job', () => {
    const { live } = start()
    expect(live.orderOf(0)).toBe(0)

    live.orders.push({ from: 0, order: 4 }, { from: 10, order: 9 }, { from: 11, order: 12 })

    expect([0, 9, 10, 11, 99].map((index) => live.orderOf(index))).toEqual([4, 4, 9, 12, 12])
  })
})

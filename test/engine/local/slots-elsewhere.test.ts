import { describe, expect, it } from 'vitest'
import { Slots } from '../../../src/engine/local/slots.ts'
import { turn } from '../../support/fake-clock.ts'
import { FairWorld, type ModelJob } from './fair-model.ts'

/** Slots over a fair queue; jobs and guests end when the test says so. */
function start(concurrency: number, jobs = 0) {
  const world = new FairWorld({ tenants: [{ maxConcurrency: 1e6 }] })
  const started: { job: ModelJob; end(): void }[] = []
  let changes = 0
  const slots: Slots = new Slots({
    concurrency,
    fair: world.fair,
    run(grant) {
      const job = world.granted(grant)
      const { promise, resolve } = Promise.withResolvers<void>()
      const end = () => {
        world.release(job)
        resolve()
      }
      started.push({ job, end })
      return promise
    },
  })
  slots.onChange = () => {
    changes++
  }
  const submit = (count: number) => {
    world.submit(
      world.tenants[0],
      null,
      Array.from({ length: count }, () => ({})),
    )
    slots.kick()
  }
  if (jobs > 0) submit(jobs)
  return { world, slots, started, submit, changes: () => changes }
}

describe('Slots and guests', () => {
  it('a guest has a slot until it ends, and jobs get it then', async () => {
    const { slots, started, submit } = start(1)
    const { promise, resolve } = Promise.withResolvers<void>()

    const hosted = slots.host(() => promise)
    expect(slots.host(() => promise)).toBeNull()
    submit(1)
    await turn()
    expect([started.length, slots.free, slots.isShort]).toEqual([0, 0, true])
    resolve()
    await hosted
    await turn()

    expect([started.length, slots.isShort]).toEqual([1, false])
  })

  it('takes none where a job waits, or when it has stopped', async () => {
    const waiting = start(1, 2)
    const stopped = start(1)
    stopped.slots.stop()
    await turn()

    expect([waiting, stopped].map(({ slots }) => slots.host(async () => undefined))).toEqual([null, null])
  })

  it('gives a job away only when it waits for nothing but a slot', async () => {
    const free = start(2, 1)
    const short = start(2, 3)
    const stopped = start(2, 3)
    await turn()
    stopped.slots.stop()

    expect([free, short, stopped].map(({ slots }) => slots.takeElsewhere()?.index ?? null)).toEqual([null, 2, null])
    expect(short.slots.takeElsewhere()).toBeNull()
    expect(short.slots.running).toBe(2)
  })

  it('says when that may have changed', async () => {
    const { changes, submit } = start(1, 1)
    await turn()
    const before = changes()

    submit(1)

    expect(changes()).toBeGreaterThan(before)
  })
})

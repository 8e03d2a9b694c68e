import { describe, expect, it } from 'vitest'
import { newBatch } from '../../src/core/batch.ts'
import type { Effect } from '../../src/core/events.ts'
import { Job, type Policy } from '../../src/core/states.ts'
import { type Input, step } from '../../src/core/step.ts'

/** A batch whose first jobs run. */
function start(policy: Policy, jobs: number, running: number) {
  const batch = newBatch({ policy })
  const apply = (input: Input, now = 1_000) => step(batch, input, now)
  apply({ type: 'accepted', jobs: Array.from({ length: jobs }, () => ({ timeoutMs: 50 })) })
  for (let index = 0; index < running; index++) apply({ type: 'granted', index })
  return { batch, apply }
}

const logged = (effects: Effect[]) =>
  effects.flatMap((effect) => (effect.type === 'log' ? [`${effect.entry.type} ${effect.entry.index}`] : []))
const others = (effects: Effect[]) => effects.filter(({ type }) => type !== 'log')

describe('an attempt whose process is gone', () => {
  it('is made again: the job waits before all others, without its clock, and its place is free', () => {
    const { batch, apply } = start('all_settled', 2, 1)

    const effects = apply({ type: 'interrupted', index: 0, repeats: true })

    expect(logged(effects)).toEqual(['job.queued 0'])
    expect(others(effects)).toEqual([
      { type: 'disarm', timer: 'timeout', index: 0 },
      { type: 'enqueue', from: 0, to: 1, resumed: true },
      { type: 'release', index: 0 },
    ])
    expect(batch.states[0]).toBe(Job.queued)
    expect(batch.counts[Job.running]).toBe(0)
  })

  it('says which attempt the next one is, and that has its whole time', () => {
    const { apply } = start('all_settled', 1, 1)

    const [again] = apply({ type: 'interrupted', index: 0, repeats: true })
    const granted = apply({ type: 'granted', index: 0 }, 1_040)

    expect(again).toMatchObject({ entry: { attempt: 2 } })
    expect(granted).toContainEqual({ type: 'arm', timer: 'timeout', index: 0, at: 1_090 })
    expect(granted).toContainEqual(expect.objectContaining({ entry: expect.objectContaining({ attempt: 2 }) }))
  })

  it('fails its job if it is not to be made again, and the policy sees that', () => {
    const { batch, apply } = start('task_group', 3, 2)

    const effects = apply({ type: 'interrupted', index: 0, repeats: false })

    expect(logged(effects)).toEqual(['job.failed 0', 'batch.aborting -1', 'job.cancelling 1', 'job.cancelled 2'])
    expect(batch.failures).toMatchObject([{ index: 0, code: 'interrupted' }])
    expect(effects.at(-1)).toEqual({ type: 'release', index: 0 })
  })

  it('ends as stopped if it was told to stop, whatever its rule', () => {
    const { batch, apply } = start('all_settled', 1, 1)
    apply({ type: 'cancelJob', index: 0, reason: 'enough' })

    const effects = apply({ type: 'interrupted', index: 0, repeats: true })

    expect(logged(effects)).toEqual(['job.cancelled 0', 'batch.settled -1', 'batch.drained -1'])
    expect(batch.states[0]).toBe(Job.cancelled)
  })

  it.each([
    ['queued', 0],
    ['ended', 1],
  ])('changes nothing of a job that is %s', (_, running) => {
    const { batch, apply } = start('all_settled', 2, running)
    if (running > 0) apply({ type: 'returned', index: 0 })
    const { seq } = batch

    expect(apply({ type: 'interrupted', index: 0, repeats: true })).toEqual([])
    expect(batch.seq).toBe(seq)
  })
})

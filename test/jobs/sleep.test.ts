import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { MAX_DURATION_MS } from '../../src/contract.ts'
import { sleepKind } from '../../src/jobs/sleep.ts'
import { attempt, stoppable } from './attempt.ts'

const kind = sleepKind()
const common = { kind: 'sleep' }

describe('sleep', () => {
  it('waits until its duration after the start of the attempt', async () => {
    const due: number[] = []
    const sleepUntil = async (at: number) => void due.push(at)

    await kind.run({ ...common, durationMs: 250 }, attempt({ startedAt: 1_000, sleepUntil }))

    expect(due).toEqual([1_250])
  })

  it.each([[{ any: ['json'] }], [0], [false], [''], [null]])(
    'succeeds with the result %j that it was given',
    async (result) => {
      const run = kind.run({ ...common, durationMs: 0, result }, attempt({ sleepUntil: async () => undefined }))

      expect(await run).toBe(result)
    },
  )

  it('succeeds with null when it was given none', async () => {
    expect(await kind.run({ ...common, durationMs: 0 }, attempt({ sleepUntil: async () => undefined }))).toBe(null)
  })

  it('rejects with the reason it was stopped for', async () => {
    const { signal, reason, stop } = stoppable()
    const sleepUntil = () =>
      new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

    const run = expect(kind.run({ ...common, durationMs: 9 }, attempt({ signal, sleepUntil }))).rejects.toBe(reason)
    stop()

    await run
  })

  it('does not succeed when it is stopped in the turn in which it ends', async () => {
    const { signal, reason, stop } = stoppable()

    await expect(
      kind.run({ ...common, durationMs: 9 }, attempt({ signal, sleepUntil: async () => stop() })),
    ).rejects.toBe(reason)
  })

  it.each([
    [{ durationMs: 0 }, true],
    [{ durationMs: MAX_DURATION_MS, result: null }, true],
    [{}, false],
    [{ durationMs: -1 }, false],
    [{ durationMs: 0.5 }, false],
    [{ durationMs: MAX_DURATION_MS + 1 }, false],
    [{ durationMs: 1, extra: 1 }, false],
    [{ durationMs: 1, result: JSON.parse('['.repeat(33) + ']'.repeat(33)) }, false],
    [{ durationMs: 1, result: JSON.parse('['.repeat(32) + ']'.repeat(32)) }, true],
  ])('is asked for with %j: %s', (fields, valid) => {
    expect(kind.spec.safeParse(fields).success).toBe(valid)
  })

  it('has a JSON schema', () => {
    expect(z.toJSONSchema(kind.spec, { io: 'input' })).toMatchObject({
      required: ['durationMs'],
      properties: { durationMs: { maximum: MAX_DURATION_MS } },
    })
  })

  it('goes on after a restart', () => {
    expect(kind.onRestart?.({ ...common, durationMs: 1 })).toBe('retry')
  })
})

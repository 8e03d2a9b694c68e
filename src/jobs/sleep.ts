import { z } from 'zod'
import { MAX_DURATION_MS, MAX_JSON_DEPTH } from '../contract.ts'
import { fitsDepth } from '../json/depth.ts'
import type { CommonSpec, JobKind, QuickCheck } from './kind.ts'

const SleepFields = z.strictObject({
  durationMs: z
    .int()
    .min(0)
    .max(MAX_DURATION_MS)
    .meta({ description: 'Milliseconds to sleep, from the start of the attempt; up to 30 days.', examples: [250] }),
  result: z
    .unknown()
    .refine((value) => fitsDepth(value, MAX_JSON_DEPTH), `JSON is nested at most ${MAX_JSON_DEPTH} deep.`)
    .optional()
    .meta({
      description: `The result of the job: any JSON, nested at most ${MAX_JSON_DEPTH} deep. Default null.`,
      examples: [{ any: 'json' }],
    }),
})

/** Of a sleep without a result. */
const QUICK: QuickCheck = {
  fields: new Set(['durationMs']),
  check: ({ durationMs }) =>
    Number.isInteger(durationMs) && Number(durationMs) >= 0 && Number(durationMs) <= MAX_DURATION_MS
      ? { durationMs }
      : undefined,
}

/** A validated `sleep` job. */
export type SleepSpec = CommonSpec & z.output<typeof SleepFields>

/** `sleep`: hold the slot for at least `durationMs`, then succeed with the `result` that was given. */
export function sleepKind(): JobKind<SleepSpec> {
  return {
    name: 'sleep',
    description: 'Holds its slot for a while, then succeeds with the result it was given.',
    spec: SleepFields,
    quick: QUICK,
    onRestart: () => 'retry',
    resumes: true,
    whenFull: 'own',
    halts: true,
    async run({ durationMs, result = null }, context) {
      await context.sleepUntil(context.startedAt + durationMs)
      // The end and the abort may come in one turn.
      const { halt = context.signal } = context
      halt.throwIfAborted()
      return result
    },
  }
}

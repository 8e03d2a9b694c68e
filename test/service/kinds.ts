import { get } from 'node:http'
import { z } from 'zod'
import { defineKind } from '../../src/jobs/custom.ts'
import type { AttemptContext } from '../../src/jobs/kind.ts'

/** This file, for `GATHERD_KINDS`. */
export const KINDS = new URL(import.meta.url).pathname

const ENDS = {
  value: () => 'a value all the same',
  error: () => {
    throw new RangeError('an error of its own')
  },
  abort: ({ signal }: AttemptContext) => {
    throw signal.reason
  },
} as const

/** Asks the origin and waits for its answer, deaf to its abort; then ends as it was told to. A test holds it there with `/hold`. */
const stubborn = defineKind({
  name: 'stubborn',
  spec: z.strictObject({ url: z.string(), end: z.enum(['value', 'error', 'abort']) }),
  async run({ url, end }, context) {
    await new Promise<void>((resolve, reject) => {
      get(url, { agent: false }, (response) => response.resume().once('end', resolve)).once('error', reject)
    })
    return ENDS[end](context)
  },
})

// biome-ignore lint/style/noDefaultExport: what GATHERD_KINDS loads is a default export.
export default [stubborn]

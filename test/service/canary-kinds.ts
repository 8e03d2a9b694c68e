/** A kind for the canary test: its password is secret, and it can make the service itself fail. */
import { z } from 'zod'
import { defineKind } from '../../src/jobs/custom.ts'

const leaky = defineKind({
  name: 'leaky',
  spec: z.strictObject({ password: z.string(), breaks: z.string().optional() }),
  secrets: () => [['password']],
  hostOf({ breaks }) {
    // A mistake of whoever wrote the kind: not its job fails, but the request.
    if (breaks !== undefined) throw Object.assign(new Error(`cannot use ${breaks}`), { code: breaks, headers: breaks })
    return 'leaky:1'
  },
  run: async ({ password }) => password.length,
})

// biome-ignore lint/style/noDefaultExport: what GATHERD_KINDS loads is a default export.
export default [leaky]

/**
 * A kind of job of your own: `GATHERD_KINDS=examples/kinds.ts npm start`, then `{"kind": "tcp", "host": "localhost", "port": 3000}`.
 * Its schema checks what comes in and shows in the OpenAPI document; `run` stops when its signal aborts.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { z } from 'zod'
import { defineKind } from '../src/jobs/custom.ts'

const tcp = defineKind({
  name: 'tcp',
  description: 'Opens a TCP connection, says how long that took, and closes it.',
  spec: z.strictObject({ host: z.string().min(1).max(253), port: z.int().min(1).max(65_535) }),
  hostOf: ({ host, port }) => `${host}:${port}`,
  async run({ host, port }, { signal, clock }) {
    const from = clock.now()
    const socket = connect({ host, port, signal })
    try {
      await once(socket, 'connect')
      return { connectMs: clock.now() - from }
    } finally {
      // The job keeps its slot until this settles, so it must not settle before the socket is closed.
      socket.destroy()
      if (!socket.closed) await once(socket, 'close')
    }
  },
})

export default [tcp]

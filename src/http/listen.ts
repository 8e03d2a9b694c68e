import { once } from 'node:events'
import { createServer } from 'node:http'
import type { FastifyInstance } from 'fastify'

/**
 * Listen, and resolve with the URL. `localhost` is both loopback addresses (RFC 6761, 6.3), as far as the machine has them: Fastify would open
 * a server of its own for the second one, without any bound of the first.
 *
 * @throws what listening throws, for `localhost` on 127.0.0.1 alone.
 */
export async function listen(app: FastifyInstance, { host, port }: { host: string; port: number }): Promise<string> {
  if (host !== 'localhost') return await app.listen({ host, port })
  const url = await app.listen({ host: '127.0.0.1', port })
  await openDoor(app, '::1', Number(new URL(url).port))
  return url
}

/** Another way in to the same server: whoever comes through it is one of its connections. */
async function openDoor(app: FastifyInstance, host: string, port: number): Promise<void> {
  const door = createServer()
  door.removeAllListeners('connection')
  door.on('connection', (socket) => app.server.emit('connection', socket))
  app.server.once('close', () => door.close())
  try {
    await once(door.listen({ host, port }), 'listening')
  } catch {
    // There is no such address here, or somebody else has the port there: the first one is what was asked for.
  }
}

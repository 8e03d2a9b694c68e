import type { FastifyInstance } from 'fastify'
import type { Clock } from '../clock.ts'
import type { Config } from '../config.ts'
import { placeOf } from './failures.ts'

type ConnectionSettings = Pick<
  Config,
  'maxConnections' | 'maxConnectionsPerAddress' | 'requestTimeoutMs' | 'trustProxy'
>

/** What a head may take, however long the whole request may. */
const MAX_HEADERS_TIMEOUT_MS = 10_000

/** How often Node looks for requests that are late. */
const MAX_CHECK_MS = 5_000

/** Room is made for new connections no more often than this. */
const MAKE_ROOM_MS = 1_000

/** The log has one line in this time, however many connections are dropped. */
const SAY_SO_MS = 60_000

/** Node's bounds for requests that are slow to come, of which it looks at all connections every so often. */
export function slowness({ requestTimeoutMs }: Pick<ConnectionSettings, 'requestTimeoutMs'>) {
  const headersTimeout = Math.min(requestTimeoutMs, MAX_HEADERS_TIMEOUT_MS)
  return { headersTimeout, connectionsCheckingInterval: Math.min(Math.ceil(headersTimeout / 2), MAX_CHECK_MS) }
}

/**
 * Bounds open connections: in all, where Node drops whoever comes then and those that are idle are closed, and of one client's
 * address, unless a proxy is trusted: then its address says nothing of clients, and it has to bound them.
 * @param onDropped - Called for each connection that is closed because there are too many.
 */
export function boundConnections(
  app: FastifyInstance,
  settings: ConnectionSettings,
  { clock, onDropped }: { clock: Clock; onDropped: () => void },
): void {
  const { maxConnections, maxConnectionsPerAddress, trustProxy } = settings
  app.server.maxConnections = maxConnections
  const makeRoom = seldom(MAKE_ROOM_MS, clock, () => app.server.closeIdleConnections())
  const saySo = seldom(SAY_SO_MS, clock, () =>
    app.log.warn({ name: 'GATHERD_MAX_CONNECTIONS' }, 'connections dropped, too many are open'),
  )
  const dropped = () => {
    onDropped()
    makeRoom()
    saySo()
  }
  app.server.on('drop', dropped)
  boundAll(app, maxConnections, dropped)
  if (maxConnectionsPerAddress > 0 && trustProxy === false) boundAddresses(app, maxConnectionsPerAddress, onDropped)
}

/** Node counts those of its own port alone, and not those that come in elsewhere (`listen.ts`). */
function boundAll(app: FastifyInstance, max: number, dropped: () => void): void {
  let open = 0
  app.server.on('connection', (socket) => {
    if (open >= max) {
      socket.destroy()
      dropped()
      return
    }
    open++
    socket.once('close', () => open--)
  })
}

function boundAddresses(app: FastifyInstance, max: number, onDropped: () => void): void {
  const open = new Map<string, number>()
  app.server.on('connection', (socket) => {
    const place = placeOf(socket.remoteAddress ?? '')
    const count = open.get(place) ?? 0
    if (count >= max) {
      socket.destroy()
      onDropped()
      return
    }
    open.set(place, count + 1)
    socket.once('close', () => {
      const left = (open.get(place) ?? 1) - 1
      if (left > 0) open.set(place, left)
      else open.delete(place)
    })
  })
}

function seldom(everyMs: number, clock: Clock, act: () => void): () => void {
  let nextAt = Number.NEGATIVE_INFINITY
  return () => {
    if (clock.now() < nextAt) return
    nextAt = clock.now() + everyMs
    act()
  }
}

import { totalmem } from 'node:os'
import { getHeapStatistics } from 'node:v8'
import { fastifyUnderPressure } from '@fastify/under-pressure'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Clock } from '../clock.ts'
import type { Config } from '../config.ts'
import { OverloadedError } from '../errors.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route makes less work of what there is, so it is answered also when the service has too much to do. */
    relieves?: boolean
  }
  interface FastifyInstance {
    /** Whether new work is refused now. */
    isPressed(): boolean
  }
}

type PressureSettings = Pick<Config, 'maxEventLoopDelayMs' | 'maxHeapBytes' | 'maxRssBytes'>

/** When it is, and what there is. */
interface Surroundings {
  clock: Clock
  /** What the process's container may have in memory, as {@link rssBound} takes it. */
  memoryLimitBytes: number | undefined
}

/** How much of the heap, and of a container's memory, may be in use when no setting says so. */
const SHARE = 0.9

/** A start takes long turns of the event loop; what is measured of it says nothing of the load. */
const SETTLING_MS = 2_500

/**
 * Refuse work with 503 while the event loop is late, the heap is nearly full or the process has nearly all memory that it may have,
 * before anything is read of it. What relieves the service (to cancel, stop and close), the operator's routes and those without
 * a key are answered all the same. The plugin measures, once a second; what follows from it is said here alone.
 */
export function shedUnderPressure(app: FastifyInstance, settings: PressureSettings, around: Surroundings): void {
  const { clock, memoryLimitBytes } = around
  const maxDelayMs = settings.maxEventLoopDelayMs
  const maxHeapBytes = settings.maxHeapBytes || Math.floor(getHeapStatistics().heap_size_limit * SHARE)
  const maxRssBytes = settings.maxRssBytes || rssBound(memoryLimitBytes, totalmem())
  let settledAt = Number.POSITIVE_INFINITY
  app.addHook('onListen', async () => {
    settledAt = clock.now() + SETTLING_MS
  })
  // A plugin that cannot be registered makes `ready` and `listen` fail; the promise here is the same news.
  void app.register(fastifyUnderPressure, {})
  app.decorate('isPressed', () => {
    const { eventLoopDelay, heapUsed, rssBytes } = app.memoryUsage()
    if (heapUsed > maxHeapBytes || rssBytes > maxRssBytes) return true
    // A second without a measurement is told as endless.
    return maxDelayMs > 0 && eventLoopDelay > maxDelayMs && Number.isFinite(eventLoopDelay) && clock.now() > settledAt
  })
  app.addHook('onRequest', async (request) => {
    if (isShed(request) && app.isPressed())
      throw new OverloadedError('The service has too much to do; nothing was accepted.', 2)
  })
}

/**
 * How much memory the process may have when no setting says so: nine tenths of its container's, without one any.
 * @param constrained - What the container may have, as Node tells it; without a limit 0, or more than there is.
 */
export function rssBound(constrained: number | undefined, total: number): number {
  const isBound = constrained !== undefined && constrained > 0 && constrained < total
  return isBound ? Math.floor(constrained * SHARE) : Number.POSITIVE_INFINITY
}

function isShed({ routeOptions: { config } }: FastifyRequest): boolean {
  return config.scope === 'jobs' && config.relieves !== true
}

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
}

/** How much of the heap may be in use when no setting says so. */
const HEAP_SHARE = 0.9

/** A start takes long turns of the event loop; what is measured of it says nothing of the load. */
const SETTLING_MS = 2_500

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether new work is refused now. */
    isPressed(): boolean
  }
}

/**
 * Refuse work with 503 while the event loop is late or the heap is nearly full, before anything is read of it. What
 * relieves the service (to cancel, stop and close), the operator's routes and those without a key are answered all the same.
 */
export function shedUnderPressure(app: FastifyInstance, settings: PressureSettings, clock: Clock): void {
  const maxDelayMs = settings.maxEventLoopDelayMs
  const maxHeapBytes = settings.maxHeapBytes || Math.floor(getHeapStatistics().heap_size_limit * HEAP_SHARE)
  let settledAt = Number.POSITIVE_INFINITY
  app.addHook('onListen', async () => {
    settledAt = clock.now() + SETTLING_MS
  })
  app.decorate('isPressed', () => {
    const { eventLoopDelay, heapUsed } = app.memoryUsage()
    if (heapUsed > maxHeapBytes) return true
    // A second without a measurement is told as endless.
    return maxDelayMs > 0 && eventLoopDelay > maxDelayMs && Number.isFinite(eventLoopDelay) && clock.now() > settledAt
  })
  // A plugin that cannot be registered makes `ready` and `listen` fail; the promise here is the same news.
  void app.register(fastifyUnderPressure, {
    maxEventLoopDelay: maxDelayMs,
    maxHeapUsedBytes: maxHeapBytes,
    pressureHandler: async (request) => {
      if (isShed(request) && app.isPressed())
        throw new OverloadedError('The service has too much to do; nothing was accepted.', 2)
    },
  })
}

type PressureSettings = Pick<Config, 'maxEventLoopDelayMs' | 'maxHeapBytes'>

function isShed({ routeOptions: { config } }: FastifyRequest): boolean {
  return config.scope === 'jobs' && config.relieves !== true
}

import { getHeapStatistics } from 'node:v8'
import { fastifyUnderPressure } from '@fastify/under-pressure'
import type { FastifyInstance, FastifyRequest } from 'fastify'
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

/**
 * Refuse work with 503 while the event loop is late or the heap is nearly full, before anything is read of it. What
 * relieves the service (to cancel, stop and close), the operator's routes and those without a key are answered all the same.
 */
export function shedUnderPressure(app: FastifyInstance, { maxEventLoopDelayMs, maxHeapBytes }: PressureSettings): void {
  // A plugin that cannot be registered makes `ready` and `listen` fail; the promise here is the same news.
  void app.register(fastifyUnderPressure, {
    maxEventLoopDelay: maxEventLoopDelayMs,
    maxHeapUsedBytes: maxHeapBytes || Math.floor(getHeapStatistics().heap_size_limit * HEAP_SHARE),
    pressureHandler: async (request) => {
      if (isShed(request) && isPressed(app))
        throw new OverloadedError('The service has too much to do; nothing was accepted.', 2)
    },
  })
}

/** Whether new work is refused now. A second without any measurement, as that of a slow start is, says nothing. */
export function isPressed(app: FastifyInstance): boolean {
  return app.isUnderPressure() && Number.isFinite(app.memoryUsage().eventLoopDelay)
}

type PressureSettings = Pick<Config, 'maxEventLoopDelayMs' | 'maxHeapBytes'>

function isShed({ routeOptions: { config } }: FastifyRequest): boolean {
  return config.scope === 'jobs' && config.relieves !== true
}

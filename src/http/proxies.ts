import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Config } from '../config.ts'

/** Whether the proxy at `address`, `hop` proxies before the service, may say who its client is; as Fastify takes it. */
export type TrustProxy = false | string[] | ((address: string, hop: number) => boolean)

/** Whose `X-Forwarded-For` is believed, of the setting's addresses, or of its number of proxies. */
export function trustedProxies(setting: Config['trustProxy']): TrustProxy {
  return typeof setting === 'number' ? (_address, hop) => hop < setting : setting
}

/**
 * Says once in the log that somebody told a client's address and was not believed: if that is a proxy, all of its clients have one
 * address here, its own.
 */
export function warnOfUnknownProxies(app: FastifyInstance): void {
  let isTold = false
  app.addHook('onRequest', async (request) => {
    if (isTold || !isForwarded(request) || isTrusted(request)) return
    isTold = true
    app.log.warn({ name: 'GATHERD_TRUST_PROXY' }, 'forwarded address not believed')
  })
}

function isForwarded({ headers }: FastifyRequest): boolean {
  return headers['x-forwarded-for'] !== undefined || headers.forwarded !== undefined
}

/** Fastify tells of the peer alone when that is not trusted. */
function isTrusted({ ips }: FastifyRequest): boolean {
  return (ips?.length ?? 0) > 1
}

import type { Config } from '../config.ts'

/** Whether the proxy at `address`, `hop` proxies before the service, may say who its client is; as Fastify takes it. */
export type TrustProxy = false | string[] | ((address: string, hop: number) => boolean)

/** Whose `X-Forwarded-For` is believed, of the setting's addresses, or of its number of proxies. */
export function trustedProxies(setting: Config['trustProxy']): TrustProxy {
  return typeof setting === 'number' ? (_address, hop) => hop < setting : setting
}

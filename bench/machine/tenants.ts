import { type BenchService, call } from './service.ts'

/** The operator's key of every service that has one. */
export const ADMIN_KEY = 'the-operators-key-of-a-benchmark-run'

/** Who calls which service. */
export type Caller = Pick<BenchService, 'url' | 'key'>

/** Make a tenant with settings of its own, and a key for it. The service has {@link ADMIN_KEY}. */
export async function newTenant({ url }: Pick<Caller, 'url'>, name: string, settings: object): Promise<Caller> {
  const admin = { url, key: ADMIN_KEY }
  await call(admin, 'PUT', `/v1/admin/tenants/${name}`, settings)
  // The answer of this route.
  const { key } = (await call(admin, 'POST', `/v1/admin/tenants/${name}/keys`, {})) as { key: string }
  return { url, key }
}

/** Let the tenant of the service's own key start jobs, or none. */
export async function pause(service: Caller, paused: boolean): Promise<void> {
  await call({ url: service.url, key: ADMIN_KEY }, 'PUT', '/v1/admin/tenants/default', { paused })
}

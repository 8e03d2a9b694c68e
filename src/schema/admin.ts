import { z } from 'zod'
import { Instant } from './fields.ts'
import { RateLimits, TenantLimits, TenantUsage } from './views.ts'

const setting = z.int().nullable().meta({ description: "Null: the service's default." })

const entries = z.array(z.string()).nullable()

/** A tenant's own rules for its fetches. */
const EgressView = z
  .strictObject({
    mode: z.enum(['public', 'allow-list']).nullable(),
    allow: entries,
    allowHosts: entries,
    deny: entries,
    denyHosts: entries,
  })
  .meta({ description: "What the service's rules are narrowed to. Null: as those are." })

/** A tenant as the operator sees it: its own settings, and what comes of them. */
export const AdminTenantView = z
  .strictObject({
    id: z.string(),
    maxConcurrency: setting,
    maxQueuedJobs: setting,
    maxBatchJobs: setting,
    maxLiveBatches: setting,
    maxStoredBytes: setting,
    weight: setting,
    rate: RateLimits.meta({ description: "Null: the service's default." }),
    egress: EgressView,
    paused: z.boolean(),
    createdAt: Instant,
    limits: TenantLimits,
    usage: TenantUsage,
  })
  .meta({ id: 'AdminTenant' })

/** All tenants. */
export const AdminTenantList = z.strictObject({ data: z.array(AdminTenantView) }).meta({ id: 'AdminTenantList' })

/** A key as kept: never its secret. */
export const KeyView = z
  .strictObject({
    id: z.string(),
    tenantId: z.string(),
    name: z.string().nullable(),
    scopes: z.array(z.string()),
    createdAt: Instant,
    expiresAt: Instant.nullable(),
    revokedAt: Instant.nullable(),
  })
  .meta({ id: 'Key' })

/** A new key, with its secret: shown this once. */
export const NewKeyView = z
  .strictObject({ ...KeyView.shape, key: z.string().meta({ examples: ['gth_…'] }) })
  .meta({ id: 'NewKey' })

/** All keys of a tenant. */
export const KeyList = z.strictObject({ data: z.array(KeyView) }).meta({ id: 'KeyList' })

import type { z } from 'zod'
import type { KeyRing } from '../src/auth/keyring.ts'
import type { Clock } from '../src/clock.ts'
import type { Config } from '../src/config.ts'
import type { Engine } from '../src/engine/engine.ts'
import type { Observers } from '../src/http/observers.ts'
import type { RequestLimits } from '../src/http/rate-limit.ts'
import type { UnreadBytes } from '../src/http/unread.ts'
import type { Turns } from '../src/json/turns.ts'
import type { Metrics } from '../src/metrics/metrics.ts'
import type { JobSchema } from '../src/schema/jobs.ts'
import type { TenantBody } from '../src/schema/requests.ts'
import type { DirectoryStore } from '../src/store/store.ts'

/** What the routes are given. */
export interface RouteParts {
  engine: Engine
  keys: KeyRing
  directory: DirectoryStore
  config: Config
  clock: Clock
  jobSchema: JobSchema
  /** Bodies that depend on this service's kinds, limits and rules; those of submit and append are for the OpenAPI document. */
  bodies: { batch: z.ZodType; append: z.ZodType; tenant: TenantBody }
  /** Whoever holds an answer or a stream open. */
  observers: Observers
  /** Where large requests are read and checked. */
  turns: Turns
  /** What was read for callers and not taken by them yet. */
  unread: UnreadBytes
  /** The requests of each tenant. */
  limits: RequestLimits
  /** What is measured. */
  metrics: Metrics
}

import type { z } from 'zod'
import type { KeyRing } from '../src/auth/keyring.ts'
import type { Clock } from '../src/clock.ts'
import type { Config } from '../src/config.ts'
import type { Engine } from '../src/engine/engine.ts'
import type { Observers } from '../src/http/observers.ts'
import type { JobSchema } from '../src/schema/jobs.ts'
import type { DirectoryStore } from '../src/store/store.ts'

/** What the routes are given. */
export interface RouteParts {
  engine: Engine
  keys: KeyRing
  directory: DirectoryStore
  config: Config
  clock: Clock
  jobSchema: JobSchema
  /** The bodies of submit and append, for the OpenAPI document. */
  bodies: { batch: z.ZodType; append: z.ZodType }
  /** Whoever holds an answer or a stream open. */
  observers: Observers
}

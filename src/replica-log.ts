import type { FastifyBaseLogger } from 'fastify'
import type { Clock } from './clock.ts'
import { isAway } from './engine/cluster/away.ts'
import type { ReplicaEvents } from './engine/cluster/replica.ts'
import { reasonOf } from './machinery.ts'

/** Lines about a Redis that is away come no more often than this, in milliseconds: that it went was told by itself. */
const LINE_EVERY_MS = 60_000

/** What the log says of a replica. */
export function replicaLog(logger: FastifyBaseLogger, clock: Clock): ReplicaEvents {
  let lastAt = Number.NEGATIVE_INFINITY
  const away = (reason: string) => {
    if (clock.now() - lastAt < LINE_EVERY_MS) return
    lastAt = clock.now()
    logger.warn({ reason }, 'Redis does not do what it is asked, it is asked again')
  }
  return {
    connection: ({ role, state, code }) =>
      state === 'ready'
        ? logger.info({ role }, 'connected to Redis')
        : logger.warn({ role, reason: code }, 'the connection to Redis is gone, it is tried again'),
    risky: (reason) => logger.warn({ reason }, 'this Redis may lose what it was told'),
    joined: (facts) => logger.info(facts, 'joined the cluster'),
    lost: (facts) => logger.warn(facts, 'the lease is lost, what ran here goes on elsewhere'),
    stale: (facts) => logger.warn(facts, 'a tenant is owned elsewhere, its work here was stopped'),
    skewed: (facts) => logger.warn(facts, 'the clock is not that of Redis, jobs go by that one'),
    gone: (facts) => logger.warn(facts, 'a replica is gone, the others take its tenants up'),
    tookUp: (facts) => logger.info(facts, 'took up a tenant'),
    gaveUp: (facts) => logger.info(facts, 'gave a tenant with work to the others'),
    sent: (facts) => logger.debug(facts, 'a job runs on another replica'),
    failed: (err) =>
      isAway(err)
        ? away(reasonOf(err))
        : logger.warn({ err, reason: reasonOf(err) }, 'a replica had trouble, it goes on'),
  }
}

import { Job } from '../../core/states.ts'
import type { JsonText } from '../engine.ts'
import type { FairQueue } from './fair-queue.ts'
import type { LiveBatch } from './live-batch.ts'

/** The index at the head of a rendered job (`jobText`): ids hold no quotes. */
const INDEX = /^\{"id":"[^"]*","batchId":"[^"]*","index":(\d+),/

/** What holds a queued job back is known to the running batch alone, and added here to the job as it is on disk. */
export function withWaitingOn(fair: FairQueue, live: LiveBatch | null, job: JsonText): JsonText {
  const index = Number(INDEX.exec(job)?.[1])
  const isQueued = live !== null && live.core.states[index] === Job.queued && job.includes('"state":"queued"')
  const waitingOn = isQueued ? fair.waitingOn(live.queue, index) : null
  return `${job.slice(0, -1)},"waitingOn":${JSON.stringify(waitingOn)}}`
}

import { v7 } from 'uuid'

/** A new batch id: a UUIDv7 (RFC 9562), so that ids sort by time. Opaque to callers. */
export function newBatchId(): string {
  return v7()
}

/** The id of the job at `index` of a batch. */
export function jobIdOf(batchId: string, index: number): string {
  return `${batchId}-${index}`
}

const JOB_ID = /^([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})-(0|[1-9]\d{0,6})$/

/** The batch id and the index inside a job id, or null when it is not one. */
export function parseJobId(jobId: string): { batchId: string; index: number } | null {
  const match = JOB_ID.exec(jobId)
  return match ? { batchId: match[1], index: Number(match[2]) } : null
}

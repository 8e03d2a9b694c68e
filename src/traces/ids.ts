import { hash } from 'node:crypto'

/**
 * The id of a span, out of the name of what it is about: whoever makes it, before a restart or after, here or on another
 * replica, makes the same. 16 hexadecimal digits, not all zero.
 */
export function spanIdOf(name: string): string {
  const id = hash('sha256', name, 'hex').slice(0, 16)
  return id === '0000000000000000' ? '0000000000000001' : id
}

/** The id of the span of a batch. */
export function batchSpanId(batchId: string): string {
  return spanIdOf(`batch ${batchId}`)
}

/** The id of the span of a job. */
export function jobSpanId(jobId: string): string {
  return spanIdOf(`job ${jobId}`)
}

/** The id of the span of an attempt, the first being 1. */
export function attemptSpanId(jobId: string, attempt: number): string {
  return spanIdOf(`attempt ${jobId} ${attempt}`)
}

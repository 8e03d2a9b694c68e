import { OverloadedError, ServiceError } from '../../errors.ts'
import { NoLeaseError } from './errors.ts'

/** What Redis says while it cannot do what is asked: loading, failing over, out of memory. */
const REFUSALS = /^(?:LOADING|MASTERDOWN|READONLY|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|OOM|MISCONF|BUSY)\b/

/** What ioredis says of a connection that is not there, or of an answer that did not come. */
const GONE = /connection is closed|isn't writeable|command (?:timed out|aborted)|max retries|ECONN|EPIPE|ETIMEDOUT/i

/** Whether an error says that Redis cannot be reached or cannot do it now, rather than that something is wrong with what was asked. */
export function isAway(thrown: unknown): boolean {
  if (thrown instanceof NoLeaseError) return true
  if (!(thrown instanceof Error) || thrown instanceof ServiceError) return false
  const code = 'code' in thrown ? String(thrown.code) : ''
  // The store says before what it was that failed.
  const said = thrown.message.replace(/^Redis, [A-Z]+: /, '')
  return REFUSALS.test(said) || GONE.test(said) || GONE.test(code) || isAway(thrown.cause)
}

/** Do what needs Redis. @throws {OverloadedError} while it is away. */
export async function unlessAway<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw told(cause)
  }
}

/** The same pages; reading one may need Redis. @throws {OverloadedError} while it is away. */
export async function* pagesUnlessAway<T>(pages: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* pages
  } catch (cause) {
    throw told(cause)
  }
}

function told(cause: unknown): unknown {
  if (!isAway(cause)) return cause
  return new OverloadedError('The record of the service cannot be reached now; nothing was done.', 2, { cause })
}

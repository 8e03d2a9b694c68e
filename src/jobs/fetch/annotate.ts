import { type AttemptContext, JobError } from '../kind.ts'
import type { FetchResult } from './result.ts'
import type { FetchFields } from './spec.ts'

/**
 * The same fetch, with facts for the span of its attempt where it has one. Its URL is none of them: that is the tenant's, and
 * may have secrets anywhere in it.
 */
export function annotated(
  { method }: Pick<FetchFields, 'method'>,
  { annotate }: Pick<AttemptContext, 'annotate'>,
  fetching: Promise<FetchResult>,
): Promise<FetchResult> {
  if (annotate === undefined) return fetching
  annotate({ 'http.request.method': method })
  return fetching.then(
    (result) => {
      annotate(responseFacts(result))
      return result
    },
    (error: unknown) => {
      // Whatever a fetch keeps beside an error is what there is of its response.
      if (error instanceof JobError && error.result !== null) annotate(responseFacts(error.result as FetchResult))
      throw error
    },
  )
}

function responseFacts({ status, redirects }: FetchResult): Record<string, number> {
  return { 'http.response.status_code': status, ...(redirects.length > 0 && { 'gatherd.redirects': redirects.length }) }
}

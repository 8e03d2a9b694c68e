import { urlCheck } from '../../egress/url.ts'
import type { QuickCheck } from '../kind.ts'
import type { FetchLimits } from './limits.ts'
import { DEFAULT_OK_STATUS, DEFAULT_REDIRECTS, type FetchFields, METHODS, RESPONSES } from './spec.ts'

const FIELDS: ReadonlySet<string> = new Set(['url', 'method', 'response'])

/** Of a fetch with nothing beside its URL, its method and what is kept of the response. */
export function quickFetch({ maxResponseBytes }: FetchLimits): QuickCheck {
  const isUrl = urlCheck()
  return {
    fields: FIELDS,
    check({ url, method = 'GET', response = 'full' }): FetchFields | undefined {
      if (typeof url !== 'string' || !isUrl(url)) return undefined
      if (!isOneOf(METHODS, method) || !isOneOf(RESPONSES, response)) return undefined
      const [redirects, okStatus] = [DEFAULT_REDIRECTS, DEFAULT_OK_STATUS]
      return { url, method, redirects, okStatus, maxResponseBytes, response }
    },
  }
}

function isOneOf<T>(values: readonly T[], value: unknown): value is T {
  // Whatever it is, looking for it does no harm.
  return values.includes(value as T)
}

import type { Clock } from '../clock.ts'
import { DENIED_SENTENCE } from '../egress/guard/denial.ts'
import { checkUrl, hostAndPort } from '../egress/url.ts'
import { annotated } from './fetch/annotate.ts'
import { LargeBodies } from './fetch/body-thread.ts'
import { EqualTimeouts } from './fetch/equal-timeouts.ts'
import { isSecretHeader } from './fetch/header-rules.ts'
import { DEFAULT_INFLIGHT_BYTES, InflightBytes } from './fetch/inflight.ts'
import { quickFetch } from './fetch/quick.ts'
import { type FetchResult, withoutBody, writeResult } from './fetch/result.ts'
import { FetchAttempt, type FetchParts } from './fetch/run.ts'
import { type FetchFields, fetchSpec } from './fetch/spec.ts'
import { Writing } from './fetch/writing.ts'
import type { CommonSpec, JobKind, Objection } from './kind.ts'

/** A validated `fetch` job. */
export type FetchSpec = CommonSpec & FetchFields

/**
 * `fetch`: one HTTP request, its redirects followed, its response decoded and kept under the caps of `limits`.
 *
 * @param options.inflight - Default: a budget of 256 MiB of its own.
 */
export function fetchKind(options: Pick<FetchParts, 'egress' | 'limits'> & Partial<FetchParts>): JobKind<FetchSpec> {
  const { limits } = options
  const byClock = new WeakMap<Clock, EqualTimeouts>()
  const parts: FetchParts = {
    bodies: new LargeBodies(),
    inflight: new InflightBytes(DEFAULT_INFLIGHT_BYTES),
    writing: new Writing(),
    headersTimeouts(clock) {
      const known = byClock.get(clock)
      if (known !== undefined) return known
      const timeouts = new EqualTimeouts({ delayMs: limits.headersTimeoutMs, clock })
      byClock.set(clock, timeouts)
      return timeouts
    },
    ...options,
  }
  return {
    name: 'fetch',
    description: 'One HTTP request. Redirects are followed; the response is the result.',
    spec: fetchSpec(parts.limits),
    quick: quickFetch(parts.limits),
    hostOf,
    guarded: true,
    halts: true,
    onRestart: ({ method }) => (method === 'POST' || method === 'PATCH' ? 'fail' : 'retry'),
    secrets: ({ headers = {} }) =>
      Object.keys(headers)
        .filter(isSecretHeader)
        .map((name) => ['headers', name]),
    objections: ({ url }, tenantId) => (typeof url === 'string' ? objectionsTo(url, tenantId, parts.egress) : []),
    // Whatever a fetch ends with is one.
    whenFull: (result) => withoutBody(result as FetchResult),
    write: (result) => writeResult(result as FetchResult),
    run: (spec, context) => annotated(spec, context, new FetchAttempt({ spec, context, parts }).run()),
  }
}

function objectionsTo(text: string, tenantId: string, { guard }: FetchParts['egress']): Objection[] {
  if (guard.passes(tenantId, text)) return []
  const url = guard.checkUrl(tenantId, text)
  if (url instanceof URL) return []
  if (url.verdict === 'invalid') return [{ field: 'url', detail: url.sentence }]
  return [{ field: 'url', detail: DENIED_SENTENCE, code: 'egress_denied', refusal: url.kind }]
}

function hostOf({ url }: FetchSpec): string | undefined {
  const parsed = checkUrl(url)
  return typeof parsed === 'string' ? undefined : hostAndPort(parsed)
}

import { checkUrl, hostAndPort } from '../egress/url.ts'
import { isSecretHeader } from './fetch/header-rules.ts'
import { FetchAttempt, type FetchParts } from './fetch/run.ts'
import { type FetchFields, fetchSpec } from './fetch/spec.ts'
import type { CommonSpec, JobKind } from './kind.ts'

/** A validated `fetch` job. */
export type FetchSpec = CommonSpec & FetchFields

/** `fetch`: one HTTP request, its redirects followed, its response decoded and kept under the caps of `limits`. */
export function fetchKind(parts: FetchParts): JobKind<FetchSpec> {
  return {
    name: 'fetch',
    description: 'One HTTP request. Redirects are followed; the response is the result.',
    spec: fetchSpec(parts.limits),
    hostOf,
    onRestart: ({ method }) => (method === 'POST' || method === 'PATCH' ? 'fail' : 'retry'),
    secrets: ({ headers = {} }) =>
      Object.keys(headers)
        .filter(isSecretHeader)
        .map((name) => ['headers', name]),
    run: (spec, context) => new FetchAttempt({ spec, context, parts }).run(),
  }
}

function hostOf({ url }: FetchSpec): string | undefined {
  const parsed = checkUrl(url)
  return typeof parsed === 'string' ? undefined : hostAndPort(parsed)
}

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { EgressSettings } from '../../src/egress/guard/settings.ts'
import type { DnsZone } from './dns.ts'

export type Outcome = 'blocked' | 'invalid' | 'allowed'

/** A server's answer to one path; any other path answers 200. */
export interface ScriptedAnswer {
  server: 'pub' | 'pub2'
  status: number
  path: string
  location: string | string[]
}

/** One vector, as the file's `fields` explain it. `${PORT}` stands in `url` and `location`. */
export interface Vector {
  id: string
  category: string
  url: string
  expected: Outcome
  also_ok?: Outcome[]
  why: string
  profile: string
  run: 'submit' | 'execute' | 'classify'
  repeat?: Outcome[]
  must_not_contact?: string[]
  redirects?: number
  server_script?: ScriptedAnswer[]
  error_any_of?: string[]
  method?: string
  body?: string
  headers?: Record<string, string>
  assert_request?: { server: string; method: string; body: string }
  expect_status?: number
  max_dns_queries?: number
}

/** An operator's configuration, in the file's words. */
export interface Profile {
  allow?: string[]
  allowHosts?: string[]
  deny?: string[]
  denyHosts?: string[]
  onlyAllowed?: boolean
  nat64Prefixes?: string[]
  /** Names are asked of the test's own name server. */
  dns?: 'test'
}

export interface VectorFile {
  version: number
  profiles: Record<string, Profile>
  servers: { pub: string; pub2: string; inner: string[] }
  dns: DnsZone
  vectors: Vector[]
}

const REPO = join(import.meta.dirname, '../..')
/** Where the file is kept for several projects; not there in a plain clone. */
export const SHARED_VECTORS = join(REPO, '../shared/design/security/ssrf-vectors.json')
/** The copy of the repository, equal to the shared one (`vectors.test.ts` compares them). */
export const VECTORS_COPY = join(REPO, 'test/fixtures/ssrf-vectors.json')

/** The shared file if it is there, otherwise the copy. */
export function readVectors(): VectorFile {
  return JSON.parse(readFileSync(existsSync(SHARED_VECTORS) ? SHARED_VECTORS : VECTORS_COPY, 'utf8'))
}

/** The text with the servers' port in it. */
export function withPort(text: string, port: number): string {
  return text.replaceAll(/\$\{PORT\}/g, String(port))
}

/** A profile as our settings; its `dns` is the caller's to act upon. */
export function settingsOf({
  allow,
  allowHosts,
  deny,
  denyHosts,
  onlyAllowed,
  nat64Prefixes,
}: Profile): EgressSettings {
  return { mode: onlyAllowed ? 'allow-list' : 'public', allow, allowHosts, deny, denyHosts, nat64: nat64Prefixes }
}

/** Whether a result is right for the vector; `also_ok` are refusals as good as the expected one. */
export function isExpected({ expected, also_ok = [] }: Vector, outcome: Outcome): boolean {
  return outcome === expected || also_ok.includes(outcome)
}

/** The file's error codes in ours. */
const OUR_CODES: Readonly<Record<string, string>> = {
  destination_not_allowed: 'egress_denied',
  dns_error: 'dns_failed',
  invalid_url: 'bad_redirect',
  redirect_cross_origin_body: 'bad_redirect',
}

/** The codes of a failed job that count as the vector's refusal. */
export function refusalCodes({ error_any_of = ['destination_not_allowed'] }: Vector): string[] {
  return [...new Set(error_any_of.map((code) => OUR_CODES[code] ?? code))]
}

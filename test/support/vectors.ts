import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Config } from '../../src/config.ts'
import { isRefusedPort } from '../../src/egress/guard/ports.ts'
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

/** A profile as settings of a service whose name server is `dns`. */
export function configOf(profile: Profile, dns: string): Partial<Config> {
  const { mode, allow, allowHosts, deny, denyHosts, nat64 } = settingsOf(profile)
  return {
    egressMode: mode ?? 'public',
    egressAllow: [...(allow ?? [])],
    egressAllowHosts: [...(allowHosts ?? [])],
    egressDeny: [...(deny ?? [])],
    egressDenyHosts: [...(denyHosts ?? [])],
    egressNat64: [...(nat64 ?? [])],
    egressDns: [dns],
  }
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

/** Which of the vectors' servers. */
export type ServerName = 'pub' | 'pub2' | 'inner'

/** A request as one of them saw it. */
export interface Seen {
  server: ServerName
  method: string
  path: string
  headers: IncomingMessage['headers']
  body: string
}

const ADDRESSES: readonly (readonly [ServerName, string])[] = [
  ['pub', '127.0.0.10'],
  ['pub2', '127.0.0.11'],
  ['inner', '127.0.0.1'],
  ['inner', '::1'],
]

/** The servers of the vectors, all on one port that the guard does not refuse. No connection is kept alive. Close them with `await using`. */
export class VectorServers {
  /** In order, since the last `follow`. */
  seen: Seen[] = []
  /** Connections since the last `follow`. */
  contacts: Record<ServerName, number> = { pub: 0, pub2: 0, inner: 0 }
  readonly port: number
  readonly #servers: Server[]
  #script: readonly ScriptedAnswer[] = []

  private constructor(servers: Server[], port: number) {
    this.#servers = servers
    this.port = port
  }

  static async start(): Promise<VectorServers> {
    for (;;) {
      const servers = ADDRESSES.map(() => createServer({ keepAliveTimeout: 1 }))
      const port = await listenOnOnePort(servers)
      if (port !== undefined && !isRefusedPort(port)) {
        const started = new VectorServers(servers, port)
        for (const [nth, [name]] of ADDRESSES.entries()) started.#attend(servers[nth], name)
        return started
      }
      await closeAll(servers)
    }
  }

  /** Forget what was seen, and answer by another script. */
  follow(script: readonly ScriptedAnswer[] = []): void {
    this.#script = script
    this.seen = []
    this.contacts = { pub: 0, pub2: 0, inner: 0 }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closeAll(this.#servers)
  }

  #attend(server: Server | undefined, name: ServerName): void {
    server?.on('connection', () => this.contacts[name]++)
    server?.on('request', (request, response) => void this.#answer(name, request, response))
  }

  async #answer(server: ServerName, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url: path = '', headers } = request
    this.seen.push({ server, method, path, headers, body: await text(request) })
    const answer = this.#script.find((one) => one.server === server && one.path === path)
    response.setHeader('connection', 'close')
    if (!answer) return void response.end(server)
    const { location } = answer
    response.setHeader(
      'location',
      Array.isArray(location) ? location.map((one) => withPort(one, this.port)) : withPort(location, this.port),
    )
    response.writeHead(answer.status).end()
  }
}

/** The port; undefined when it is taken on one of the addresses. A machine without IPv6 goes without that server. */
async function listenOnOnePort(servers: readonly Server[]): Promise<number | undefined> {
  let port = 0
  for (const [nth, server] of servers.entries()) {
    try {
      await once(server.listen(port, ADDRESSES[nth]?.[1]), 'listening')
      // It listens on TCP.
      port = (server.address() as AddressInfo).port
    } catch (error) {
      if (!isWithoutIpv6(error)) return undefined
    }
  }
  return port
}

function isWithoutIpv6(error: unknown): boolean {
  return error instanceof Error && 'code' in error && ['EADDRNOTAVAIL', 'EAFNOSUPPORT'].includes(String(error.code))
}

async function closeAll(servers: readonly Server[]): Promise<void> {
  for (const server of servers.filter(({ listening }) => listening)) {
    server.closeAllConnections()
    await once(server.close(), 'close')
  }
}

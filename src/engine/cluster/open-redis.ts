import type { Clock } from '../../clock.ts'
import { ServiceError, StoreUnusableError } from '../../errors.ts'
import { StoreError } from '../../store/error.ts'
import { type ConnectionReport, Connections } from './connections.ts'
import { factsOf, risksOf, type ServerFacts, unfitness } from './fitness.ts'
import { parseRedisUrl } from './redis-url.ts'

/** How long a start waits for a server that may be starting, too. */
const CONNECT_MS = 10_000

/** What waiting does not mend, by what the server answers first. */
const REFUSALS: ReadonlyMap<string, string> = new Map([
  ['WRONGPASS', 'it refuses the user or the password'],
  ['NOAUTH', 'it wants a password'],
])

/** What kept the last try to connect from it, by its code. */
const TROUBLES: ReadonlyMap<string, string> = new Map([
  ...REFUSALS,
  ['ECONNREFUSED', 'nothing listens there'],
  ['ENOTFOUND', 'there is no such host name'],
  ['EAI_AGAIN', 'its host name cannot be looked up now'],
  ['ETIMEDOUT', 'it does not answer'],
  ['EHOSTUNREACH', 'no way leads there'],
  ['ENETUNREACH', 'no way leads there'],
  ['LOADING', 'it is still loading its data'],
  ['closed', 'it closes every connection'],
  ['ECONNRESET', 'it closes every connection'],
  ['ERR_SSL_WRONG_VERSION_NUMBER', 'it answers something else'],
  ['ERR_SSL_PACKET_LENGTH_TOO_LONG', 'it answers something else'],
])

/** What may come of TLS on one side alone. */
const MAYBE_TLS = /^(closed|ECONNRESET|ETIMEDOUT|ERR_SSL_.*)$/

/** A Redis that replicas can share, and what speaks against it all the same, for the log. */
export interface OpenRedis {
  connections: Connections
  risks: string[]
}

/**
 * Connect to the Redis of a URL, wait for it for ten seconds, and look whether it will do. Whoever gets it closes it.
 * @throws {StoreUnusableError} when it does not come, refuses us, or will not do, with the reason and without the password.
 * @throws {ConfigError} for a URL that is none.
 */
export async function openRedis(options: {
  url: string
  clock: Clock
  /** Hears of connections that come and go, from the first try on. */
  onState?: (report: ConnectionReport) => void
}): Promise<OpenRedis> {
  const { url, clock, onState } = options
  const refused = new AbortController()
  let trouble: string | null = null
  const connections = new Connections({
    url,
    clock,
    onState(report) {
      trouble = report.code ?? trouble
      if (report.code !== null && REFUSALS.has(report.code)) refused.abort()
      onState?.(report)
    },
  })
  const timer = clock.after(CONNECT_MS, () => refused.abort())
  try {
    await connections.untilReady(refused.signal).catch((cause: unknown) => {
      throw unusable(url, wordsOf(trouble, url), cause)
    })
    return { connections, risks: await risksIn(connections, url) }
  } catch (error) {
    await connections.close()
    throw error
  } finally {
    timer.cancel()
  }
}

/** The error of a start that a Redis has ended: in words, if it is one that an operator can mend. */
export function atStart(error: unknown, url: string): unknown {
  if (error instanceof ServiceError) return error
  // The store's has no cause that would have more in it; a client's says what the server answered.
  const isTold = error instanceof StoreError || (error instanceof Error && error.name === 'ReplyError')
  return isTold ? unusable(url, isFull(error) ? FULL : error.message.replace(/\.+$/, ''), error) : error
}

const FULL = 'it is full (maxmemory), and nothing can be written: give it more memory, or remove what is not needed'

function isFull({ message }: Error): boolean {
  return /\bOOM command not allowed\b/.test(message)
}

async function risksIn({ commands }: Connections, url: string): Promise<string[]> {
  try {
    // The client goes on in database 0 when it cannot have its own.
    await commands.select(parseRedisUrl(url).db)
    const facts = await commands.info().then(factsOf, nullIfForbidden)
    if (facts === null)
      return ['INFO is not permitted to this user, so neither its version nor its settings are known.']
    refuseUnfit(facts, url)
    return risksOf(facts)
  } catch (error) {
    throw atStart(error, url)
  }
}

function refuseUnfit(facts: ServerFacts, url: string): void {
  const reason = unfitness(facts)
  if (reason !== null) throw unusable(url, reason)
}

function nullIfForbidden(error: unknown): null {
  if (error instanceof Error && error.message.startsWith('NOPERM')) return null
  throw error
}

function wordsOf(code: string | null, url: string): string {
  if (code === null) return 'it does not answer'
  if (isCertificate(code)) return `its certificate is not good (${code})`
  const words = TROUBLES.get(code) ?? `it cannot be reached (${code})`
  return MAYBE_TLS.test(code) ? `${words}; ${tlsHint(url)}` : words
}

function tlsHint(url: string): string {
  return url.startsWith('rediss:')
    ? 'if it speaks no TLS, the URL begins with redis://'
    : 'if it speaks TLS, the URL begins with rediss://'
}

/** Node's codes of certificates are OpenSSL's names for them. */
function isCertificate(code: string): boolean {
  return /CERT|SIGNED|SIGNATURE/.test(code)
}

function unusable(url: string, why: string, cause?: unknown): StoreUnusableError {
  const { host, port } = parseRedisUrl(url)
  const place = `${host.includes(':') ? `[${host}]` : host}:${port}`
  return new StoreUnusableError(`Redis at ${place} (GATHERD_REDIS_URL) cannot be used: ${why}.`, { cause })
}

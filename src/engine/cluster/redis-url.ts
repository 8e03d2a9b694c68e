import { ConfigError } from '../../errors.ts'

/** Where a Redis is, and who we are there. Never printed: it has the password. */
export interface RedisAddress {
  host: string
  port: number
  db: number
  username?: string
  password?: string
  /** Set for `rediss://`: TLS with the certificate checked against the host's name. */
  tls?: Record<string, never>
}

/**
 * `redis://[[user]:password@]host[:port][/db]`, and `rediss://` likewise for TLS. Port 6379 and database 0 unless it says otherwise.
 * @throws {ConfigError} that says what is wrong, without the text: it may have a password.
 */
export function parseRedisUrl(text: string): RedisAddress {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || (url.protocol !== 'redis:' && url.protocol !== 'rediss:') || url.hostname === '')
    throw wrong('must be redis://host or rediss://host, as redis://user:password@host:6379/0')
  if (url.search !== '' || url.hash !== '') throw wrong('must have nothing after the database')
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? 6379 : Number(url.port),
    db: databaseOf(url),
    ...(url.username === '' ? {} : { username: decoded(url.username) }),
    ...(url.password === '' ? {} : { password: decoded(url.password) }),
    ...(url.protocol === 'rediss:' ? { tls: {} } : {}),
  }
}

function databaseOf(url: URL): number {
  const name = /^\/?(0|[1-9]\d{0,4})?$/.exec(url.pathname)
  if (name === null) throw wrong('must end with the number of a database, such as /0, or without one')
  return Number(name[1] ?? 0)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    // The error of the platform quotes nothing, but says nothing either.
    throw wrong('must have user and password percent-encoded')
  }
}

function wrong(what: string): ConfigError {
  return new ConfigError(`GATHERD_REDIS_URL ${what}.`)
}

import { describe, expect, it } from 'vitest'
import { parseRedisUrl } from '../../../src/engine/cluster/redis-url.ts'
import { ConfigError } from '../../../src/errors.ts'

describe('a Redis URL', () => {
  it.each([
    ['redis://cache', { host: 'cache', port: 6379, db: 0 }],
    ['redis://cache:7000/3', { host: 'cache', port: 7000, db: 3 }],
    ['redis://cache/', { host: 'cache', port: 6379, db: 0 }],
    ['redis://[::1]:7000', { host: '::1', port: 7000, db: 0 }],
    ['redis://:p%40ss@cache', { host: 'cache', port: 6379, db: 0, password: 'p@ss' }],
    ['redis://me:p%2Fss@cache', { host: 'cache', port: 6379, db: 0, username: 'me', password: 'p/ss' }],
    ['rediss://cache', { host: 'cache', port: 6379, db: 0, tls: {} }],
  ])('%s is understood', (url, address) => expect(parseRedisUrl(url)).toEqual(address))

  it.each([
    ['http://me:geheim@cache', 'redis://host'],
    ['me:geheim@cache', 'redis://host'],
    ['redis://me:geheim@', 'redis://host'],
    ['redis://me:geheim@cache/zero', 'number of a database'],
    ['redis://me:geheim@cache/0?db=1', 'nothing after the database'],
    ['redis://me:geheim%@cache', 'percent-encoded'],
    ['redis://me:geheim@cache:port', 'redis://host'],
  ])('%s is refused with what would be right, and not quoted', (url, right) => {
    let thrown: unknown
    try {
      parseRedisUrl(url)
    } catch (error) {
      thrown = error
    }

    expect(thrown).toBeInstanceOf(ConfigError)
    expect(String(thrown)).toContain('GATHERD_REDIS_URL')
    expect(String(thrown)).toContain(right)
    expect(String(thrown)).not.toContain('geheim')
  })
})

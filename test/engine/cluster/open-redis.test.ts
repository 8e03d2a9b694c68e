import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import { atStart, openRedis } from '../../../src/engine/cluster/open-redis.ts'
import { ConfigError, StoreUnusableError } from '../../../src/errors.ts'
import { StoreError } from '../../../src/store/error.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { NO_REDIS, RedisServer } from '../../support/redis.ts'

const PASSWORD = 'open-sesame-0123'

/** What a start says of a Redis: its error's message, or the risks. */
async function opened(url: string, clock = systemClock): Promise<string | string[]> {
  try {
    const { connections, risks } = await openRedis({ url, clock })
    await connections.close()
    return risks
  } catch (error) {
    if (!(error instanceof StoreUnusableError)) throw error
    return error.message
  }
}

/** A server that answers every command with +OK, and INFO with a text. */
async function pretender(info: string): Promise<{ port: number } & AsyncDisposable> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (data) => {
      for (const command of data.toString().split(/(?=\*\d+\r\n\$)/))
        socket.write(
          /^\*1\r\n\$4\r\ninfo\r\n/i.test(command) ? `$${Buffer.byteLength(info)}\r\n${info}\r\n` : '+OK\r\n',
        )
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    async [Symbol.asyncDispose]() {
      server.close()
    },
  }
}

describe.skipIf(NO_REDIS !== null)('openRedis', () => {
  it('says what a server risks that keeps nothing, and nothing of one that keeps all', async () => {
    await using careless = await RedisServer.start()
    await using careful = await RedisServer.start({ appendOnly: true })

    expect(await opened(careless.url)).toEqual([expect.stringContaining('appendonly is no')])
    expect(await opened(careful.url)).toEqual([])
  })

  it.each([
    ['a wrong password', 'redis://:wrong-0123@', 'it refuses the user or the password'],
    ['an unknown user', `redis://nobody:${PASSWORD}@`, 'it refuses the user or the password'],
    ['no password', 'redis://', 'it wants a password'],
  ])('does not wait with %s, and does not say it', async (_, start, why) => {
    await using server = await RedisServer.start()
    await server.client().config('SET', 'requirepass', PASSWORD)

    // A clock that stands still: nothing that waits comes to an end.
    const message = await opened(`${start}127.0.0.1:${server.port}`, new FakeClock())

    expect(message).toBe(`Redis at 127.0.0.1:${server.port} (GATHERD_REDIS_URL) cannot be used: ${why}.`)
  })

  it('refuses a database that there is not, and does not go on in another', async () => {
    await using server = await RedisServer.start()

    expect(await opened(`${server.url}/99`)).toContain('cannot be used: ERR DB index is out of range.')
  })

  it('says that it could not look when INFO is not permitted', async () => {
    await using server = await RedisServer.start()
    await server.client().call('ACL', 'SETUSER', 'blind', 'on', `>${PASSWORD}`, '~*', '&*', '+@all', '-info')

    expect(await opened(`redis://blind:${PASSWORD}@127.0.0.1:${server.port}`)).toEqual([
      'INFO is not permitted to this user, so neither its version nor its settings are known.',
    ])
  })
})

describe('openRedis, of a server that will not do', () => {
  it.each([
    ['redis_version:6.0.16\r\n', 'it is version 6.0.16, and 6.2 is the oldest that will do'],
    [
      'redis_version:7.2.4\r\nredis_mode:cluster\r\n',
      'it is a node of a Redis Cluster, and a single primary is needed',
    ],
    ['redis_version:7.2.4\r\nrole:slave\r\n', 'it is a read-only replica, and the primary is needed'],
  ])('refuses %j', async (info, why) => {
    await using server = await pretender(info)

    expect(await opened(`redis://127.0.0.1:${server.port}`)).toContain(`cannot be used: ${why}.`)
  })

  it('refuses a node of a real Redis Cluster', async () => {
    await using server = await RedisServer.start({ more: () => ['--cluster-enabled', 'yes'] })

    expect(await opened(server.url)).toContain('it is a node of a Redis Cluster, and a single primary is needed.')
  })

  it('waits for one that is not there, and then says why', async () => {
    const clock = new FakeClock()
    const states: string[] = []
    const away = Promise.withResolvers<void>()
    const opening = openRedis({
      url: 'redis://127.0.0.1:1',
      clock,
      onState({ state, code }) {
        states.push(`${state} ${code}`)
        if (states.length === 3) away.resolve()
      },
    })
    const failed = expect(opening).rejects.toThrow(
      'Redis at 127.0.0.1:1 (GATHERD_REDIS_URL) cannot be used: nothing listens there.',
    )
    await away.promise

    clock.advance(10_000)

    await failed
    expect(states).toEqual(Array.from({ length: 3 }, () => 'away ECONNREFUSED'))
  })

  it('refuses a URL that is none', async () => {
    await expect(openRedis({ url: 'http://x', clock: systemClock })).rejects.toThrow(ConfigError)
  })
})

describe('atStart', () => {
  const url = `redis://user:${PASSWORD}@[::1]:6380/2`

  it('has words for what the store and the server say, and none for a mistake of ours', () => {
    const mistake = new TypeError('x is not a function')
    const own = new ConfigError('wrong')

    expect(atStart(new StoreError('Redis, HSET: NOPERM no'), url)).toEqual(
      new StoreUnusableError('Redis at [::1]:6380 (GATHERD_REDIS_URL) cannot be used: Redis, HSET: NOPERM no.'),
    )
    expect(
      String(atStart(new StoreError("Redis, SET: OOM command not allowed when used memory > 'maxmemory'."), url)),
    ).toContain(
      'cannot be used: it is full (maxmemory), and nothing can be written: give it more memory, or remove what is not needed.',
    )
    expect(atStart(mistake, url)).toBe(mistake)
    expect(atStart(own, url)).toBe(own)
  })
})

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { findRedisServer } from '../../scripts/redis-server.ts'
import { LossyProxy, NO_REDIS, RedisServer } from './redis.ts'

describe('redis-server', () => {
  let dir: string
  const program = (name: string, mode: number) => {
    const path = join(dir, name)
    writeFileSync(path, '', { mode })
    return path
  }
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'gatherd-test-'))
  })
  afterEach(() => rmSync(dir, { recursive: true }))

  it('is the one that was named, and no other in its place', () => {
    const path = program('mine', 0o700)

    expect(findRedisServer({ GATHERD_TEST_REDIS: path, PATH: '/usr/bin' })).toBe(path)
    expect(findRedisServer({ GATHERD_TEST_REDIS: join(dir, 'none'), PATH: '/usr/bin' })).toBeNull()
  })

  it('is the first on the PATH that can be run, Valkey as well', () => {
    program('redis-server', 0o600)
    const path = program('valkey-server', 0o700)

    expect(findRedisServer({ PATH: `${join(dir, 'none')}:${dir}` })).toBe(path)
  })
})

describe.skipIf(NO_REDIS !== null)('RedisServer', () => {
  it('keeps nothing over its death, unless it is told to', async () => {
    const kept: (string | null)[] = []
    for (const appendOnly of [false, true]) {
      await using server = await RedisServer.start({ appendOnly })
      await server.client().set('a', 'b')
      await server.restart()
      kept.push(await server.client().get('a'))
    }

    expect(kept).toEqual([null, 'b'])
  })

  it('answers nothing while it is paused, and what was asked after that', async () => {
    await using server = await RedisServer.start()
    const client = server.client()
    await client.ping()
    server.pause()
    const heard: string[] = []
    const asked = client.ping().then((answer) => heard.push(answer))
    const late = server.client({ commandTimeout: 50 }).ping()

    await expect(late).rejects.toThrow('timed out')
    expect(heard).toEqual([])
    server.resume()
    await asked
    expect(heard).toEqual(['PONG'])
  })

  it('has done what an answer was lost of', async () => {
    await using server = await RedisServer.start()
    await using proxy = await LossyProxy.start(server.port)
    const client = server.client({ port: proxy.port, maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false })
    await client.set('a', '1')

    const lost = proxy.loseAnswer((request) => request.includes('incr'))
    await expect(client.incr('a')).rejects.toThrow()
    await lost

    expect(await server.client().get('a')).toBe('2')
  })
})

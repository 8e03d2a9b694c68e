import { describe, expect, it } from 'vitest'
import { backup } from '../../src/cli/backup.ts'
import { check } from '../../src/cli/check.ts'
import type { Command } from '../../src/cli/io.ts'
import { keys } from '../../src/cli/keys.ts'
import { run } from '../../src/cli/run.ts'
import { serve } from '../../src/cli/serve.ts'
import { freshRedis, NO_REDIS } from '../support/redis.ts'
import { tempDir } from '../support/temp-dir.ts'
import { FakeIo, outcome } from './fake-io.ts'

/** Nothing listens there. */
const NOWHERE = 'redis://:a-password-of-nobody@127.0.0.1:1/0'

async function gatherd(command: Command, redisUrl: string, args: string[], input?: string) {
  const io = new FakeIo(args, { env: { GATHERD_REDIS_URL: redisUrl, GATHERD_DATA_DIR: '/nonexistent' }, input })
  return { io, out: io.stdout, err: io.stderr, ...(await outcome(command, io)) }
}

/** A replica on a free port, until the end of the test. */
async function startReplica(redisUrl: string) {
  const settings = { GATHERD_PORT: '0', GATHERD_LOG_LEVEL: 'silent', GATHERD_REDIS_URL: redisUrl }
  const io = new FakeIo([], { env: settings })
  const ended = serve(io)
  await Promise.race([io.stderr.until('Swagger UI'), ended])
  const url = /on (http:\S+),/.exec(io.stderr.text)?.[1] ?? ''
  const statusOf = async (key: string) =>
    (await fetch(`${url}/v1/tenant`, { headers: { authorization: `Bearer ${key.trim()}` } })).status
  const stop = async () => {
    io.signal('SIGTERM')
    await ended
  }
  return { statusOf, stop, text: () => io.stdout.text + io.stderr.text, [Symbol.asyncDispose]: stop }
}

describe.skipIf(NO_REDIS !== null)('gatherd keys, in Redis', () => {
  it('makes a key before the first start, which then makes none', async () => {
    const url = await freshRedis()

    const made = await gatherd(keys, url, ['create', '--tenant', 'acme'])
    await using replica = await startReplica(url)

    expect([made.status, made.err.text]).toEqual([0, expect.stringContaining('there was no tenant "acme"')])
    expect(replica.text()).not.toContain('gth_')
    expect(await replica.statusOf(made.out.text)).toBe(200)
  })

  it('makes and revokes keys of replicas that run', async () => {
    const url = await freshRedis()
    await using replica = await startReplica(url)

    const made = (await gatherd(keys, url, ['create', '--json'])).out.json[0]
    await expect.poll(() => replica.statusOf(String(made.key))).toBe(200)
    const { status } = await gatherd(keys, url, ['revoke', String(made.id)])

    expect(status).toBe(0)
    await expect.poll(() => replica.statusOf(String(made.key))).toBe(401)
  })

  it('lists keys, and says which tenant or key there is not', async () => {
    const url = await freshRedis()
    const made = (await gatherd(keys, url, ['create', '--json', '--name', 'ci'])).out.json[0]

    const listed = await gatherd(keys, url, ['list', '--json'])
    const nobody = await gatherd(keys, url, ['list', '--tenant', 'nobody'])
    const none = await gatherd(keys, url, ['revoke', 'abc'])

    expect(listed.out.json).toEqual([{ data: [expect.objectContaining({ id: made.id, name: 'ci' })] }])
    expect(nobody.message).toBe('There is no tenant "nobody" in the Redis of GATHERD_REDIS_URL.')
    expect(none.message).toContain('Tenant "default" has no key abc.')
  })
})

describe('with GATHERD_REDIS_URL', () => {
  it('gatherd check says that it is not for Redis, and checks a directory that is named', async () => {
    using dir = tempDir()

    const own = await gatherd(check, NOWHERE, [])
    const named = await gatherd(check, NOWHERE, [dir.path])

    expect([own.status, own.message]).toEqual([2, expect.stringContaining('this store is in Redis')])
    expect([named.status, named.message]).toEqual([2, expect.stringContaining('gatherd.db')])
  })

  it('gatherd backup says that it is not for Redis, and what is', async () => {
    const { status, message } = await gatherd(backup, NOWHERE, ['copy.db'])

    expect([status, message]).toEqual([2, expect.stringMatching(/this store is in Redis.*append-only.*BGSAVE/)])
  })

  it('gatherd run needs none', async () => {
    const { status, message } = await gatherd(run, NOWHERE, ['-'], '[{"kind": "sleep", "durationMs": 1}]')

    expect([status, message]).toEqual([0, null])
  })

  it.each([
    [keys, ['list']],
    [serve, []],
    [check, []],
    [backup, ['copy.db']],
  ] satisfies [Command, string[]][])('names what is wrong with it, without its password: %o', async (command, args) => {
    const { status, message } = await gatherd(command, 'redis:/a-password', args)

    expect(status).toBe(2)
    expect(message).toContain('GATHERD_REDIS_URL must be redis://host')
    expect(message).not.toContain('a-password')
  })

  it('is described in the help of each command that minds it', async () => {
    for (const command of [keys, check, backup, serve])
      expect((await gatherd(command, NOWHERE, ['--help'])).out.text).toContain('GATHERD_REDIS_URL')
  })
})

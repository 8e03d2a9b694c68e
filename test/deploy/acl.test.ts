import { globSync } from 'node:fs'
import { Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'
import { ADMIN_KEY, ServeProcess } from '../support/process.ts'
import { NO_REDIS, RedisServer } from '../support/redis.ts'
import { tempDir } from '../support/temp-dir.ts'
import { manifest, REPO, read } from './manifests.ts'

/** The rules of the user, as the Secret has them. */
const RULES = /^user gatherd on >change-me (.*)$/m.exec(manifest('Secret', 'valkey').stringData['users.acl'])?.[1] ?? ''

/** All that docs/operations.md tells: with `GATHERD_SPREAD=on`, and without. */
const [WIDE = '', NARROW = ''] = [...read('docs/operations.md').matchAll(/^user gatherd on >change-me (.*)$/gm)].map(
  ([, rules = '']) => rules,
)

const allowed = new Set([...NARROW.matchAll(/\+(\S+)/g)].map(([, name = '']) => name))

/** What the client itself sends. */
const OF_THE_CLIENT = ['client|setname', 'info', 'ping', 'select']

/** What the source calls: by name, in Lua or as text, and by the methods of ioredis. */
function called(): Set<string> {
  const files = ['src/store/redis/*.ts', 'src/engine/cluster/*.ts', 'src/wiring-replica.ts', 'src/cli/keys/shared.ts']
  const source = globSync(files, { cwd: REPO })
    .map((file) => read(file))
    .join('\n')
  const named = [...source.matchAll(/\bcall\(\s*'([A-Z]+)'/g)].map(([, name = '']) => name.toLowerCase())
  const methods = [...source.matchAll(/\b(?:redis|commands|bulk|subscriber|client)\.([a-z]+)\(/g)].map(
    ([, name = '']) => name,
  )
  const commands = new Set<string>(new Redis({ lazyConnect: true }).getBuiltinCommands())
  return new Set([...named, ...methods.filter((name) => commands.has(name) && name !== 'call')])
}

describe('the user of Valkey', () => {
  it('is that of deploy/kubernetes, whose replicas give each other slots, or may do less where they do not', () => {
    expect(RULES).toBe(WIDE)
    expect(manifest('ConfigMap').data.GATHERD_SPREAD ?? 'on').toBe('on')
    for (const rules of [WIDE, NARROW])
      expect(rules).toMatch(/^resetkeys ~gatherd:\* resetchannels &gatherd:\* (?:\+@all -@admin -@dangerous|-@all) \+/)
  })

  it('without slots of others may do what the source does, and nothing else', () => {
    const needed = [...called()].filter((name) => name !== 'pubsub')

    expect(needed.length).toBeGreaterThan(40)
    expect([...allowed].sort()).toEqual([...new Set([...needed, ...OF_THE_CLIENT, 'pubsub|numsub'])].sort())
  })

  it('has the password that GATHERD_REDIS_URL says', () => {
    const url = new URL(manifest('Secret').stringData.GATHERD_REDIS_URL)

    expect([url.username, url.password]).toEqual(['gatherd', 'change-me'])
  })

  it.skipIf(NO_REDIS !== null).each([
    ['on', WIDE],
    ['off', NARROW],
  ])('is enough for replicas from start to end, with GATHERD_SPREAD=%s', { timeout: 60_000 }, async (spread, rules) => {
    await using server = await RedisServer.start()
    await server.client().call('ACL', 'SETUSER', 'gatherd', 'on', '>change-me', ...rules.split(' '))
    using dir = tempDir()
    const env = {
      GATHERD_REDIS_URL: `redis://gatherd:change-me@127.0.0.1:${server.port}/0`,
      GATHERD_SPREAD: spread,
      GATHERD_MAX_CONCURRENCY: '1',
      GATHERD_LOG_LEVEL: 'debug',
    }
    await using one = new ServeProcess(dir.path, env)
    const [url, call] = [await one.listening, caller(await one.listening)]
    await using two = new ServeProcess(dir.path, env)
    const other = caller(await two.listening)

    const tenant = await call('PUT', '/v1/admin/tenants/acme', {})
    const { key } = (await call('POST', '/v1/admin/tenants/acme/keys', {})).body
    const sleeps = Array.from({ length: 600 }, (_, i) => ({ kind: 'sleep', durationMs: 0, name: `n${i}` }))
    const batch = await call('POST', '/v1/batches', { open: true, labels: { a: 'b' }, jobs: sleeps }, key)
    const { id } = batch.body
    const appended = await other('POST', `/v1/batches/${id}/jobs`, { jobs: sleeps.slice(0, 1).map(unnamed) }, key)
    const page = await other('GET', `/v1/batches/${id}/jobs?order=completion&state=succeeded&limit=10`, undefined, key)
    const cancelled = await other('POST', `/v1/batches/${id}/cancel`, {}, key)
    const settled = await other('GET', `/v1/batches/${id}/wait`, undefined, key)
    const events = await fetch(`${url}/v1/batches/${id}/events`, { headers: { authorization: `Bearer ${key}` } })
    const text = await events.text()
    // More than a replica has slots for.
    const jobs = [1, 2, 3].map(() => ({ kind: 'sleep', durationMs: 60_000 }))
    const long = await call('POST', '/v1/batches', { jobs }, key)
    const isLent = () => (one.stdout + two.stdout).includes('a job runs on another replica')
    if (spread === 'on') await expect.poll(isLent, { timeout: 20_000 }).toBe(true)
    const deleted = await other('DELETE', '/v1/admin/tenants/acme')
    const ends = [await one.end('SIGTERM'), await two.end('SIGTERM')]
    // The client says its name and version as well, which older servers do not know, and does without.
    const refused = ((await server.client().call('ACL', 'LOG')) as string[][]).map((entry) => entry[5])

    const statuses = [tenant, batch, appended, page, cancelled, settled, deleted].map(({ status }) => status)
    expect(statuses).toEqual([201, 202, 201, 200, 202, 200, 204])
    expect(text).toContain('batch.drained')
    expect([long.status, isLent()]).toEqual([202, spread === 'on'])
    expect(ends.map(({ status }) => status)).toEqual([0, 0])
    expect(refused.filter((what) => what !== 'client|setinfo')).toEqual([])
  })
})

function unnamed({ kind, durationMs }: { kind: string; durationMs: number }) {
  return { kind, durationMs }
}

/** Calls of one replica, by the operator unless a key is given. */
function caller(url: string) {
  return async (method: string, path: string, body?: unknown, key: string = ADMIN_KEY) => {
    const headers = {
      authorization: `Bearer ${key}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    }
    const answer = await fetch(url + path, { method, headers, body: body === undefined ? null : JSON.stringify(body) })
    const text = await answer.text()
    return { status: answer.status, body: text === '' ? null : JSON.parse(text) }
  }
}

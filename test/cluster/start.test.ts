import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { overRedis } from '../engine/cluster/support.ts'
import { ADMIN_KEY, ServeProcess } from '../support/process.ts'
import { RedisServer } from '../support/redis.ts'
import { tempDir } from '../support/temp-dir.ts'

/** A process over a Redis, and how it ended, with what it said. */
async function failed(url: string, env: Record<string, string> = {}): Promise<{ status: number | null; said: string }> {
  await using process = new ServeProcess(':memory:', { GATHERD_REDIS_URL: url, ...env })
  process.listening.then(() => process.signal('SIGKILL')).catch(() => undefined)
  const { status } = await process.exited
  return { status, said: process.stderr }
}

overRedis('a first start over a Redis', { timeout: 30_000 }, () => {
  it('that is full ends with words', async () => {
    await using redis = await RedisServer.start({ more: () => ['--maxmemory', '1'] })

    const { status, said } = await failed(redis.url)

    expect([status, said]).toEqual([
      2,
      `gatherd: Redis at 127.0.0.1:${redis.port} (GATHERD_REDIS_URL) cannot be used: it is full (maxmemory), and nothing can be written: ` +
        'give it more memory, or remove what is not needed.\n',
    ])
  })

  it('that takes everything but the first key ends with words, too', async () => {
    await using redis = await RedisServer.start()
    const keys = ['%R~*', '~gatherd:secret*', '~gatherd:no', '~gatherd:key-mark', '~gatherd:replica*']
    await redis.client().call('ACL', 'SETUSER', 'default', 'resetkeys', ...keys)

    const { status, said } = await failed(redis.url)

    expect(status).toBe(2)
    expect(said).toMatch(/^gatherd: Redis at 127\.0\.0\.1:\d+ \(GATHERD_REDIS_URL\) cannot be used: .*NOPERM/)
  })
})

overRedis('a Redis that speaks TLS', { timeout: 30_000 }, () => {
  const dir = tempDir()
  const file = (name: string) => join(dir.path, name)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir.path, stdio: 'pipe' })
  const start = () => {
    const files = ['--tls-cert-file', file('redis.crt'), '--tls-key-file', file('redis.key')]
    const trust = ['--tls-ca-cert-file', file('ca.crt'), '--tls-auth-clients', 'no']
    return RedisServer.start({ more: (port) => ['--tls-port', String(port), ...files, ...trust] })
  }

  beforeAll(() => {
    const key = ['-newkey', 'rsa:2048', '-nodes', '-days', '2']
    openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=An authority of our own')
    openssl('req', ...key.slice(0, 3), '-keyout', 'redis.key', '-out', 'redis.csr', '-subj', '/CN=redis')
    writeFileSync(file('names'), 'subjectAltName=IP:127.0.0.1')
    const signed = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'names']
    openssl('x509', '-req', '-in', 'redis.csr', ...signed, '-out', 'redis.crt')
    return () => dir[Symbol.dispose]()
  })

  it('is used with an authority of its own that Node is told of', async () => {
    await using redis = await start()
    const env = { GATHERD_REDIS_URL: `rediss://127.0.0.1:${redis.port}`, NODE_EXTRA_CA_CERTS: file('ca.crt') }
    await using process = new ServeProcess(':memory:', env)
    const url = await process.listening
    const call = async (method: string, path: string, body?: object) => {
      const headers = { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' }
      const response = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) })
      return response.status
    }

    expect(await call('PUT', '/v1/admin/tenants/acme', {})).toBe(201)
    expect(await call('GET', '/readyz')).toBe(200)
  })

  it('is not used when nobody vouches for it', async () => {
    await using redis = await start()

    const { status, said } = await failed(`rediss://127.0.0.1:${redis.port}`)

    expect(status).toBe(2)
    expect(said).toMatch(/cannot be used: its certificate is not good \([A-Z_]+\)/)
  })

  it('is not used under another name than its own', async () => {
    await using redis = await start()

    const { status, said } = await failed(`rediss://localhost:${redis.port}`, { NODE_EXTRA_CA_CERTS: file('ca.crt') })

    expect(status, said).toBe(2)
    expect(said).toContain('its certificate is not good (ERR_TLS_CERT_ALTNAME_INVALID)')
  })

  it('is not taken for one without', async () => {
    await using redis = await start()

    const { status, said } = await failed(`redis://127.0.0.1:${redis.port}`)

    expect(status).toBe(2)
    expect(said).toContain('if it speaks TLS, the URL begins with rediss://')
  })
})

import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type Server } from 'node:http'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { freePort } from '../../scripts/ci/processes.ts'
import { readConfig } from '../../src/config.ts'
import { hasNginx, ReplicasNginx } from '../project/nginx.ts'
import { ADMIN_KEY, ServeProcess } from '../support/process.ts'
import { NO_REDIS, RedisServer } from '../support/redis.ts'
import { tempDir } from '../support/temp-dir.ts'
import { read, stopMs } from './manifests.ts'

const CONF = read('deploy/compose/nginx.conf')
const { services, networks } = parse(read('compose.yaml'))
const scrape = parse(read('deploy/prometheus/compose.yaml')).scrape_configs[0]
const directive = (name: string) => new RegExp(`^ *${name} (.*);$`, 'm').exec(CONF)?.[1]

describe('compose.yaml', () => {
  it('has two replicas at least, which say nothing to Redis but over a network of their own', () => {
    expect(services.gatherd.deploy.replicas).toBeGreaterThanOrEqual(2)
    expect([services.valkey.networks, networks.store]).toEqual([['store'], { internal: true }])
    expect(services.nginx.networks).toEqual(['front'])
  })

  it('has settings that the service takes', () => {
    const given = Object.entries<string>(services.gatherd.environment).map(([name, value]) => [
      name,
      value.startsWith('${') ? 'a-key-of-32-characters-or-more-0123' : value,
    ])

    expect(readConfig(Object.fromEntries(given))).toMatchObject({ trustProxy: 1, redisUrl: 'redis://valkey:6379/0' })
  })

  it('has metrics of each replica, for whoever is in its network', () => {
    const { environment, networks: own } = services.gatherd

    expect(environment).toMatchObject({ GATHERD_METRICS_PORT: '9464', GATHERD_METRICS_HOST: '0.0.0.0' })
    expect(own).toContain('front')
    expect(scrape.dns_sd_configs).toEqual([
      { names: ['gatherd'], type: 'A', port: Number(environment.GATHERD_METRICS_PORT), refresh_interval: '15s' },
    ])
  })

  it('keeps no secret, and does not start without the key that seals', () => {
    expect(services.gatherd.environment.GATHERD_SECRET_KEY).toMatch(/^\$\{GATHERD_SECRET_KEY:\?/)
    expect(services.gatherd.environment.GATHERD_ADMIN_KEY).toMatch(/^\$\{GATHERD_ADMIN_KEY:-\}$/)
  })

  it('has a Valkey that keeps what it is told', () => {
    expect(services.valkey.command).toEqual(
      expect.arrayContaining(['--appendonly yes', '--appendfsync everysec', '--maxmemory-policy noeviction']),
    )
    expect(services.valkey.volumes).toEqual(['valkey:/data'])
    expect(services.gatherd.depends_on.valkey.condition).toBe('service_healthy')
  })

  it('opens nothing but the proxy, and on loopback', () => {
    const open = Object.entries<{ ports?: string[] }>(services).flatMap(([name, { ports = [] }]) =>
      ports.map((port) => `${name} ${port}`),
    )

    expect(open).toEqual(['nginx 127.0.0.1:3000:8080'])
  })

  it.each(['gatherd', 'valkey', 'nginx'])('lets %s write nowhere and gain nothing', (name) => {
    const { read_only, cap_drop, security_opt } = services[name]

    expect({ read_only, cap_drop, security_opt }).toEqual({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
    })
  })

  it('waits longer than the drain takes before it kills', () => {
    const graces = [services.gatherd, parse(read('compose.single.yaml')).services.gatherd].map(
      ({ stop_grace_period }) => Number.parseInt(stop_grace_period, 10) * 1000,
    )

    for (const grace of graces) expect(grace).toBeGreaterThanOrEqual(stopMs(readConfig({}).drainGraceMs))
  })
})

describe('deploy/compose/nginx.conf', () => {
  it('has the limits of the settings', () => {
    const { bodyLimitBytes } = readConfig({})

    expect(directive('client_max_body_size')).toBe(`${bodyLimitBytes / 1024 / 1024}m`)
    expect(directive('proxy_next_upstream')).toBe('error timeout')
  })
})

/** A server that counts what it gets and answers it, or cuts the connection. */
async function upstream(how: 'answer' | 'cut') {
  const got: string[] = []
  const server: Server = createServer((incoming, reply) => {
    got.push(incoming.method ?? '')
    incoming.resume().on('end', () => (how === 'cut' ? incoming.socket.destroy() : reply.end('done')))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const dispose = async () => {
    server.closeAllConnections()
    server.close()
  }
  return { got, place: `127.0.0.1:${port}`, [Symbol.asyncDispose]: dispose }
}

async function statusOf(url: string, method: string): Promise<number> {
  const body = method === 'POST' || method === 'PATCH' ? '{"jobs":[]}' : null
  const answer = await fetch(url, { method, body })
  await answer.text()
  return answer.status
}

describe.skipIf(!hasNginx)('nginx before replicas', { timeout: 60_000 }, () => {
  it.each(['POST', 'PATCH'])('does not send a %s again that a replica may have accepted', async (method) => {
    await using dying = await upstream('cut')
    await using other = await upstream('cut')
    await using nginx = await ReplicasNginx.start(CONF, [dying.place, other.place])

    const status = await statusOf(nginx.url, method)

    expect(status).toBe(502)
    expect([...dying.got, ...other.got]).toEqual([method])
  })

  it('lets nobody have the metrics of now this replica and now that one', async () => {
    await using one = await upstream('answer')
    await using nginx = await ReplicasNginx.start(CONF, [one.place, one.place])

    const statuses = [await statusOf(`${nginx.url}/metrics`, 'GET'), await statusOf(`${nginx.url}/metricsx`, 'GET')]

    expect(statuses).toEqual([404, 200])
    expect(one.got).toEqual(['GET'])
  })

  it.each(['GET', 'PUT', 'DELETE'])('has a %s answered by the other replica', async (method) => {
    await using dying = await upstream('cut')
    await using living = await upstream('answer')
    await using nginx = await ReplicasNginx.start(CONF, [dying.place, living.place])

    const statuses = [await statusOf(nginx.url, method), await statusOf(nginx.url, method)]

    expect(statuses).toEqual([200, 200])
  })

  it('has a POST answered by the other replica when it never reached the first', async () => {
    await using living = await upstream('answer')
    await using nginx = await ReplicasNginx.start(CONF, [`127.0.0.1:${await freePort()}`, living.place])

    const statuses = [await statusOf(nginx.url, 'POST'), await statusOf(nginx.url, 'POST')]

    expect(statuses).toEqual([200, 200])
    expect(living.got).toEqual(['POST', 'POST'])
  })

  it.skipIf(NO_REDIS !== null)('leads to two replicas, and to one when the other is killed', async () => {
    await using redis = await RedisServer.start({ appendOnly: true })
    using dir = tempDir()
    const settings = { GATHERD_REDIS_URL: redis.url, GATHERD_TRUST_PROXY: '1', GATHERD_LEASE_MS: '1000' }
    await using one = new ServeProcess(dir.path, settings)
    const urls = [await one.listening]
    await using two = new ServeProcess(dir.path, settings)
    urls.push(await two.listening)
    await using nginx = await ReplicasNginx.start(
      CONF,
      urls.map((url) => new URL(url).host),
    )
    const key = one.firstKey
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
    const call = (method: string, path: string, body?: string) =>
      fetch(nginx.url + path, {
        method,
        headers: body === undefined ? { authorization: headers.authorization } : headers,
        body,
      })

    // Whoever owns the tenant is killed; through the proxy the batch goes on.
    const first = await ask(
      `${urls[0]}/v1/batches`,
      { ...headers, accept: 'application/x-ndjson' },
      '{"open":true,"jobs":[]}',
    )
    const id = /"batchId":"([^"]+)"/.exec(await until(first, 'batch.accepted'))?.[1]
    const stream = await fetch(`${nginx.url}/v1/batches/${id}/events`, {
      headers: { ...headers, accept: 'application/x-ndjson' },
    })
    const lines = stream.body?.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]()
    const seen = (await lines?.next())?.value
    await one.end('SIGKILL')
    const readable = await call('GET', `/v1/batches/${id}`)
    const append = await call('POST', `/v1/batches/${id}/jobs`, '{"jobs":[{"kind":"sleep","durationMs":1,"result":7}]}')
    const close = await call('POST', `/v1/batches/${id}/close`)
    const events = await (await call('GET', `/v1/batches/${id}/events?only=completions`)).text()
    const key2 = await fetch(`${nginx.url}/v1/admin/tenants`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } })

    expect(seen).toContain('batch.accepted')
    expect([readable.status, append.status, close.status, key2.status]).toEqual([200, 201, 200, 200])
    expect(events.match(/"type":"job\.succeeded"/g)).toHaveLength(1)
  })
})

/** A POST whose answer is read as it comes. */
async function ask(url: string, headers: Record<string, string>, body: string): Promise<IncomingMessage> {
  const sent = request(url, { method: 'POST', headers, agent: false })
  sent.on('error', () => undefined)
  sent.end(body)
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  return answer.on('error', () => undefined).setEncoding('utf8')
}

async function until(answer: IncomingMessage, part: string): Promise<string> {
  let text = ''
  while (!text.includes(part)) text += (await once(answer, 'data'))[0]
  return text
}

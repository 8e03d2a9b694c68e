import { setImmediate } from 'node:timers/promises'
import { setDefaultCACertificates } from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LOCAL } from '../egress/certificate.ts'
import { TestDns } from '../support/dns.ts'
import {
  FullPort,
  HOSTILE,
  type HostileCase,
  HostileServer,
  SMALL_CAPS,
  startTlsFront,
  UNCONNECTABLE,
} from '../support/hostile.ts'
import { startOrigin } from '../support/origin.ts'
import { LOOPBACK, startService, type TestService } from '../support/service.ts'
import type { WireJob } from './check-log.ts'

const CAPS = { ...SMALL_CAPS, egressAllow: LOOPBACK.split(',') }
const ZONE = { 'stalled.test': { drop: true }, 'servfail.test': { rcode: 2 }, 'empty.test': {} }

/** What a job came to: the code of its error, or its state. */
function endOf(job: WireJob | undefined): string | undefined {
  return job?.error?.code ?? job?.state
}

describe.each(['http', 'https'])('a fetch over %s from a hostile server', (scheme) => {
  let server: HostileServer
  let secure: Awaited<ReturnType<typeof startTlsFront>>
  let service: TestService
  let jobs: WireJob[]
  beforeAll(async () => {
    setDefaultCACertificates([LOCAL.cert])
    server = await HostileServer.start()
    secure = await startTlsFront(server)
    // Nothing here is about connecting, and a machine that is busy connects late.
    service = await startService({ ...CAPS, egressConnectTimeoutMs: 30_000 })
    const port = scheme === 'https' ? secure.port : server.port
    const urlOf = ({ name }: HostileCase) => `${scheme}://127.0.0.1:${port}/${encodeURIComponent(name)}`
    jobs = (await service.me.run({ jobs: HOSTILE.map((one) => ({ ...server.job(one), url: urlOf(one) })) })).jobs
  })
  afterAll(async () => {
    await service[Symbol.asyncDispose]()
    await secure[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
  })

  it.each(HOSTILE)('$name: $ends, and its connection is closed', async (one) => {
    const job = jobs[HOSTILE.indexOf(one)]

    expect([one.ends, one.late]).toContain(endOf(job))
    // A complete response leaves its connection for a while, however bad it was.
    if (!one.keeps) await server.whenIdle(one.name)
  })

  it('goes on to work with others', async () => {
    const { batch } = await service.me.run({ jobs: [service.fetch('/ok'), service.fetch('/gzip')] })

    expect(batch.counts).toMatchObject({ succeeded: 2 })
  })
})

describe('a server that cannot be connected to', () => {
  it.each(UNCONNECTABLE)('$name: $ends, and its connection is closed', async (one) => {
    await using server = await HostileServer.startAtOnce(one)
    await using service = await startService(CAPS)

    const { jobs } = await service.me.run({ jobs: [server.job(one, 'https')] })

    expect([endOf(jobs[0]), server.accepted]).toEqual([one.ends, 1])
    await server.whenIdle()
  })

  it.each([
    ['that gets no answer', 'stalled', 'connect_timeout', undefined],
    ['that the name server fails for', 'servfail', 'dns_failed', 'no_answer'],
    ['without an address', 'empty', 'dns_failed', 'not_found'],
    ['that is not there', 'unknown', 'dns_failed', 'not_found'],
  ])('a name %s', async (_what, name, code, reason) => {
    await using dns = await TestDns.start(ZONE)
    await using service = await startService({ ...CAPS, egressDns: [dns.server] })

    const { jobs } = await service.me.run({ jobs: [{ kind: 'fetch', url: `http://${name}.test/`, timeoutMs: 5_000 }] })

    expect(jobs[0]?.error).toMatchObject({ code, ...(reason && { reason }) })
  })

  it('a port that takes no connection', async () => {
    await using full = await FullPort.start()
    await using service = await startService(CAPS)

    const { jobs } = await service.me.run({ jobs: [{ kind: 'fetch', url: `http://127.0.0.1:${full.port}/` }] })

    expect(endOf(jobs[0])).toBe('connect_timeout')
  })

  it("ends with the job's own timeout, at whatever stage", async () => {
    await using dns = await TestDns.start(ZONE)
    await using full = await FullPort.start()
    await using mute = await HostileServer.startAtOnce({ name: 'mute', ends: '', behave: () => undefined })
    // Its own cap would come long after the test's.
    await using service = await startService({ ...CAPS, egressConnectTimeoutMs: 600_000, egressDns: [dns.server] })
    const urls = ['http://stalled.test/', `http://127.0.0.1:${full.port}/`, mute.url('', 'https'), mute.url('')]

    const { jobs } = await service.me.run({ jobs: urls.map((url) => ({ kind: 'fetch', url, timeoutMs: 100 })) })

    expect(jobs.map(endOf)).toEqual(['timeout', 'timeout', 'timeout', 'timeout'])
    await mute.whenIdle()
  })
})

describe('a body of which nothing more comes', () => {
  const HALVES = ['stalled', 'stalled in a chunk', 'stalled without a length', 'stalled in gzip']

  it.each(['http', 'https'])(
    'over %s ends without a timeout of the job, and its connection is closed',
    async (scheme) => {
      setDefaultCACertificates([LOCAL.cert])
      await using server = await HostileServer.start()
      await using secure = await startTlsFront(server)
      await using service = await startService({ ...CAPS, egressIdleTimeoutMs: 50 })
      const port = scheme === 'https' ? secure.port : server.port
      const jobs = HALVES.map((name) => ({
        kind: 'fetch',
        url: `${scheme}://127.0.0.1:${port}/${encodeURIComponent(name)}`,
      }))

      const ended = (await service.me.run({ jobs })).jobs

      const message = 'The server sent no more of the response body in time.'
      expect(ended.map(({ error }) => error)).toEqual(
        HALVES.map(() => expect.objectContaining({ code: 'connection_lost', message })),
      )
      await server.whenIdle()
    },
  )

  it('goes on while something comes, however little', async () => {
    await using server = await HostileServer.start()
    await using service = await startService({ ...CAPS, egressIdleTimeoutMs: 3_000 })

    const { jobs } = await service.me.run({
      jobs: [{ kind: 'fetch', url: server.url('dripping'), timeoutMs: 300 }],
    })

    expect(endOf(jobs[0])).toBe('timeout')
  })
})

describe('a redirect', () => {
  const SECRETS = {
    authorization: 'Bearer t0ken',
    cookie: 'session=1',
    'x-api-key': 'k3y',
    'x-mine': 'm1ne',
    referer: 'https://internal.example/s3cret',
    origin: 'https://internal.example',
    'if-match': '"s3cret"',
  }
  const HARMLESS = { accept: 'text/plain', 'accept-language': 'de', 'user-agent': 'mine/1', range: 'bytes=0-' }

  it.each([301, 302, 303, 307, 308])('by %i to another origin takes no secrets along', async (status) => {
    await using service = await startService(CAPS)
    await using second = await startOrigin()
    const url = service.origin.url(`/redirect?status=${status}&to=${encodeURIComponent(second.url('/echo'))}`)
    const context = { account: 's3cret' }
    const headers = { ...SECRETS, ...HARMLESS }

    const { jobs } = await service.me.run({ context, jobs: [{ kind: 'fetch', url, headers }] })

    expect([endOf(jobs[0]), second.hits.length]).toEqual(['succeeded', 1])
    expect(service.origin.hits[0]?.headers).toMatchObject(headers)
    const { host, connection, ...seen } = second.hits[0]?.headers ?? {}
    expect(seen).toEqual({ ...HARMLESS, 'accept-encoding': 'gzip, br, zstd', 'cdn-loop': 'gatherd' })
  })

  it('from https to http is not followed', async () => {
    setDefaultCACertificates([LOCAL.cert])
    await using service = await startService(CAPS)
    await using secure = await startOrigin({ tls: LOCAL })
    const to = (url: string) => ({ kind: 'fetch', url: secure.url(`/redirect?to=${encodeURIComponent(url)}`) })

    const { jobs } = await service.me.run({ jobs: [to(service.origin.url('/ok')), to(secure.url('/ok'))] })

    expect(jobs.map(endOf)).toEqual(['bad_redirect', 'succeeded'])
    expect(service.origin.sockets).toEqual([])
  })
})

describe('five thousand fetches from hostile servers', () => {
  const ROUNDS = 10
  const IN_A_ROUND = 500
  /** What is loaded, compiled and grown once is so after these. */
  const WARM_UP = 3
  const MAX_BYTES_A_JOB = 2_048

  /** Bytes in use after full collections; what the first one frees can free more. */
  async function retained(): Promise<number> {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc')
    for (let nth = 0; nth < 3; nth++) {
      collect()
      await setImmediate()
    }
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }

  /** What of the network, of zlib and of c-ares is open, by its type. */
  function handles(): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const type of process.getActiveResourcesInfo())
      if (/tcp|udp|tls|zlib|cares|dns|query/i.test(type)) counts[type] = (counts[type] ?? 0) + 1
    return counts
  }

  /** What is left when the idle connections have gone, too. */
  async function left(server: HostileServer): Promise<{ bytes: number; handles: Record<string, number> }> {
    await server.whenIdle()
    return { bytes: await retained(), handles: handles() }
  }

  /** A case each of what is no matter of a path. */
  function stallsOf(urls: string[]): [HostileCase, Record<string, unknown>][] {
    return urls.map((url) => [
      { name: url, ends: 'connect_timeout', behave: () => undefined },
      { kind: 'fetch', url, timeoutMs: 150 },
    ])
  }

  it('leave neither memory nor handles behind', async () => {
    await using stack = new AsyncDisposableStack()
    const server = stack.use(await HostileServer.start())
    const mute = stack.use(await HostileServer.startAtOnce({ name: 'mute', ends: '', behave: () => undefined }))
    const dns = stack.use(await TestDns.start(ZONE))
    const full = stack.use(await FullPort.start())
    const service = stack.use(
      await startService({ ...CAPS, egressDns: [dns.server], onDisk: true, tenantConcurrency: 32 }),
    )
    const stalls = stallsOf(['http://stalled.test/', `http://127.0.0.1:${full.port}/`, mute.url('', 'https')])
    const all = [
      ...HOSTILE.map((one): [HostileCase, Record<string, unknown>] => [one, { ...server.job(one), timeoutMs: 150 }]),
      ...stalls,
    ]
    const codes: Record<string, number> = {}
    const run = async (round: number) => {
      const chosen = Array.from({ length: IN_A_ROUND }, (_, nth) => all[(round * IN_A_ROUND + nth) % all.length])
      const { jobs } = await service.me.run({ jobs: chosen.map((one) => one?.[1] ?? {}) })
      for (const [nth, job] of jobs.entries()) {
        const end = endOf(job) ?? ''
        codes[end] = (codes[end] ?? 0) + 1
        expect([chosen[nth]?.[0].ends, chosen[nth]?.[0].late, 'timeout'], chosen[nth]?.[0].name).toContain(end)
      }
    }

    for (let round = 0; round < WARM_UP; round++) await run(round)
    const before = await left(server)
    for (let round = WARM_UP; round < ROUNDS; round++) await run(round)
    const after = await left(server)

    for (const [type, open] of Object.entries(after.handles))
      expect(open, type).toBeLessThanOrEqual((before.handles[type] ?? 0) + 2)
    expect(after.bytes - before.bytes).toBeLessThan((ROUNDS - WARM_UP) * IN_A_ROUND * MAX_BYTES_A_JOB)
    // Not all of them merely timed out.
    expect(Object.keys(codes)).toEqual(expect.arrayContaining(['bad_response', 'decode_failed', 'response_too_large']))
  }, 60_000)
})

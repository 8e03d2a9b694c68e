import { networkInterfaces } from 'node:os'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { Guard, Passage } from '../../src/egress/guard/guard.ts'
import { TestDns } from '../support/dns.ts'
import { startService, type TestService } from '../support/service.ts'
import {
  configOf,
  isExpected,
  type Outcome,
  readVectors,
  refusalCodes,
  type Seen,
  type ServerName,
  type Vector,
  VectorServers,
  withPort,
} from '../support/vectors.ts'
import type { WireJob } from './check-log.ts'

/** Public addresses that this machine is made to have beside its own: nobody else's either, as nothing is sent there. */
const OWN_PUBLIC = ['93.184.216.35', '2606:2800:220:1::35']

vi.mock('node:os', async (original) => {
  const os = await original<typeof import('node:os')>()
  const networkInterfaces = () => ({ ...os.networkInterfaces(), test0: OWN_PUBLIC.map((address) => ({ address })) })
  return { ...os, networkInterfaces }
})

const { vectors, profiles, dns: zone } = readVectors()

/** A delay, with which a job that is accepted has sent nothing before it is cancelled: not even under a broken guard. */
const AN_HOUR = 3_600_000
/** A name is asked for its A and its AAAA, once. */
const QUERIES_OF_A_NAME = 2

/** A service of one profile with the vectors' name server and servers. */
interface Lab extends AsyncDisposable {
  service: TestService
  dns: TestDns
  servers: VectorServers
}

async function startLab(name: string): Promise<Lab> {
  const profile = profiles[name]
  if (!profile) throw new Error(`There is no profile ${name}.`)
  const parts = new AsyncDisposableStack()
  const servers = parts.use(await VectorServers.start())
  const dns = parts.use(await TestDns.start(zone))
  const service = parts.use(
    await startService({
      ...configOf(profile, dns.server),
      egressConnectTimeoutMs: 500,
      egressHeadersTimeoutMs: 2_000,
    }),
  )
  return { service, dns, servers, [Symbol.asyncDispose]: () => parts.disposeAsync() }
}

function jobOf({ url, method, headers, body, redirects }: Vector, port: number): Record<string, unknown> {
  return { kind: 'fetch', url: withPort(url, port), method, headers, body, redirects }
}

/** What a job was refused with at its submission; the batch when it was accepted. */
async function submit({ service }: Lab, job: Record<string, unknown>): Promise<Outcome | { id: string }> {
  const { status, body } = await service.me.http.post('/v1/batches').send({ jobs: [job] })
  if (status === 202) {
    service.me.track(body.id)
    return body
  }
  expect([status, body.code]).toEqual([422, 'invalid_argument'])
  const errors: { pointer: string; code?: string }[] = body.errors
  return errors.some(({ pointer, code }) => pointer === '/jobs/0/url' && code === 'egress_denied')
    ? 'blocked'
    : 'invalid'
}

/** Submitted, and cancelled before it starts. */
async function outcomeOfSubmission(lab: Lab, vector: Vector): Promise<Outcome> {
  const answer = await submit(lab, { ...jobOf(vector, lab.servers.port), delayMs: AN_HOUR })
  if (typeof answer === 'string') return answer
  await lab.service.me.cancel(answer.id)
  const { jobs } = await lab.service.me.drained(answer.id)
  expect(jobs[0]).toMatchObject({ state: 'cancelled', startedAt: null })
  return 'allowed'
}

/** Submitted, and run to its end. */
async function run(lab: Lab, vector: Vector): Promise<{ outcome: string; job?: WireJob }> {
  const answer = await submit(lab, jobOf(vector, lab.servers.port))
  if (typeof answer === 'string') return { outcome: answer }
  const [job] = (await lab.service.me.drained(answer.id)).jobs
  if (job?.state === 'succeeded') return { outcome: 'allowed', job }
  const code = String(job?.error?.code)
  return { outcome: refusalCodes(vector).includes(code) ? 'blocked' : code, ...(job && { job }) }
}

/** How many connections and requests each server has had that must have had none. */
function touched({ servers }: Lab, names: readonly string[]): [string, number][] {
  return (['pub', 'pub2', 'inner'] satisfies ServerName[])
    .filter((name) => name === 'inner' || names.includes(name))
    .map((name) => [name, servers.contacts[name] + servers.seen.filter(({ server }) => server === name).length])
}

/** The request that a vector wants to have been made. */
function wanted({ assert_request }: Vector, seen: readonly Seen[]): Partial<Seen> | undefined {
  return seen.findLast(({ server }) => server === assert_request?.server)
}

async function execute(lab: Lab, vector: Vector): Promise<void> {
  const { servers, dns, service } = lab
  for (const expected of vector.repeat ?? [vector.expected]) {
    const asked = dns.queries()
    servers.follow(vector.server_script)
    const { outcome, job } = await run(lab, vector)

    expect({ outcome, error: job?.error?.code }, vector.why).toMatchObject({ outcome: expected })
    const untouched = touched(lab, vector.must_not_contact ?? [])
    expect(untouched, 'must not be contacted').toEqual(untouched.map(([name]) => [name, 0]))
    expect(servers.seen.length > 0, 'a server is asked').toBe(
      expected === 'allowed' || vector.server_script !== undefined,
    )
    expect(dns.queries() - asked).toBeLessThanOrEqual(vector.max_dns_queries ?? QUERIES_OF_A_NAME)
    if (vector.assert_request) expect(wanted(vector, servers.seen)).toMatchObject(vector.assert_request)
    if (vector.expect_status !== undefined) expect(job?.result).toMatchObject({ status: vector.expect_status })
    // Addresses are for the operator's log.
    expect(JSON.stringify(job?.error ?? null)).not.toMatch(/\d+\.\d+\.\d+\.\d+|::/)
  }
  expect(service.logged).toEqual([])
}

/** For the one profile that the file has no vectors of. */
const ONLY_ALLOWED = (
  [
    ['submit', 'http://1.1.1.1/', 'blocked', 'public, and not on the list'],
    ['submit', 'http://10.1.2.3/', 'allowed', 'on the list'],
    ['submit', 'http://127.0.0.10/', 'blocked', 'loopback, and not on the list'],
    ['execute', `http://ok.example.com:\${PORT}/`, 'blocked', 'a name that leads to what is not on the list'],
  ] satisfies [Vector['run'], string, Outcome, string][]
).map(
  ([run, url, expected, why], nth): Vector => ({
    ...{ id: `own-${nth}`, category: 'policy', profile: 'only-allowed' },
    ...{ run, url, expected, why },
  }),
)

const all = [...vectors, ...ONLY_ALLOWED]
const executed = all.filter(({ run }) => run === 'execute')
const submitted = all.filter(({ run }) => run !== 'execute')

it('all vectors of the file are run here', () => {
  const run = [...executed, ...submitted].filter(({ profile }) => Object.hasOwn(profiles, profile))

  expect(run).toEqual(expect.arrayContaining(vectors))
})

describe.each(Object.keys(profiles))('a service with the profile %s', (name) => {
  let lab: Lab
  beforeAll(async () => {
    lab = await startLab(name)
  })
  afterAll(() => lab[Symbol.asyncDispose]())

  const ofProfile = ({ profile }: Vector) => profile === name

  it.each(submitted.filter(ofProfile))('$id: $url is $expected when it is submitted ($why)', async (vector) => {
    lab.servers.follow()
    const outcome = await outcomeOfSubmission(lab, vector)

    expect(isExpected(vector, outcome), `${outcome}, expected ${vector.expected}`).toBe(true)
    expect([lab.dns.queries(), touched(lab, ['pub', 'pub2'])], 'nothing is asked of anybody').toEqual([
      expect.any(Number),
      [
        ['pub', 0],
        ['pub2', 0],
        ['inner', 0],
      ],
    ])
  })

  it.each(executed.filter(ofProfile))('$id: $url is $expected ($why)', (vector) => execute(lab, vector))
})

describe('beside the vectors', () => {
  let lab: Lab
  beforeAll(async () => {
    lab = await startLab('lab')
  })
  afterAll(() => lab[Symbol.asyncDispose]())

  /** One fetch of a path of a name of the zone. */
  async function fetchOf(host: string, path = '/', script: Vector['server_script'] = []): Promise<WireJob | undefined> {
    lab.servers.follow(script)
    const url = `http://${host}:${lab.servers.port}${path}`
    return (await lab.service.me.run({ jobs: [{ kind: 'fetch', url }] })).jobs[0]
  }

  it('the answer that was judged is the one that is connected to, whatever the next one would be', async () => {
    const job = await fetchOf('rebind.example.com')

    expect([job?.state, lab.dns.queries('rebind.example.com')]).toEqual(['succeeded', 2])
    expect(lab.servers.contacts).toEqual({ pub: 1, pub2: 0, inner: 0 })
  })

  it('a socket that is connected elsewhere than was judged sends nothing', async () => {
    const judge = vi.spyOn(Passage.prototype, 'judge').mockReturnValue([{ address: '127.0.0.1', family: 4 }])
    const job = await fetchOf('ok.example.com')
    judge.mockRestore()

    expect([job?.state, job?.error?.code]).toEqual(['failed', 'egress_denied'])
    expect([lab.servers.contacts, lab.servers.seen]).toEqual([{ pub: 0, pub2: 0, inner: 1 }, []])
  })

  it('a redirect to the same name is judged by its own answer', async () => {
    const job = await fetchOf('rebind2.example.com', '/again', [
      { server: 'pub', path: '/again', status: 302, location: '/x' },
    ])

    expect([job?.state, job?.error?.code]).toEqual(['failed', 'egress_denied'])
    expect(lab.servers.contacts).toEqual({ pub: 1, pub2: 0, inner: 0 })
  })

  it('a redirect to a name is judged by the addresses of the name', async () => {
    const location = `http://loop.example.com:${lab.servers.port}/`
    const job = await fetchOf('127.0.0.10', '/to-name', [{ server: 'pub', path: '/to-name', status: 302, location }])

    expect([job?.state, job?.error?.code]).toEqual(['failed', 'egress_denied'])
    expect(lab.servers.contacts).toEqual({ pub: 1, pub2: 0, inner: 0 })
  })

  it('a name that nobody answers for delays no other', async () => {
    lab.servers.follow()
    const jobs = ['blackhole', 'ok'].map((name) => ({
      kind: 'fetch',
      url: `http://${name}.example.com:${lab.servers.port}/`,
    }))
    const { events } = await lab.service.me.run({ jobs })

    expect(events.filter(({ job }) => job).map(({ index, job }) => [index, job?.error?.code])).toEqual([
      [1, undefined],
      [0, 'connect_timeout'],
    ])
  })
})

describe("this machine's own addresses", () => {
  const own = Object.values(networkInterfaces())
    .flatMap((addresses = []) => addresses.map(({ address }) => address))
    .filter((address) => !/^127\.|^::1$|^fe80:/.test(address))
  const urlOf = (address: string) => `http://${address.includes(':') ? `[${address}]` : address}/`

  async function startWith(allow: string[]): Promise<Lab> {
    const [servers, dns] = [await VectorServers.start(), await TestDns.start(zone)]
    const service = await startService({ egressAllow: allow })
    return { service, servers, dns, [Symbol.asyncDispose]: () => closeAll(service, servers, dns) }
  }

  async function closeAll(...parts: AsyncDisposable[]): Promise<void> {
    for (const part of parts) await part[Symbol.asyncDispose]()
  }

  /** Of a URL that would be fetched in an hour. */
  const outcomeOf = (lab: Lab, url: string) =>
    outcomeOfSubmission(lab, { id: '', category: '', url, expected: 'blocked', why: '', profile: '', run: 'submit' })

  it('are refused, also when a block around them is allowed', async () => {
    await using lab = await startWith(['93.184.216.0/24', '2606:2800:220::/48'])

    expect(own).toEqual(expect.arrayContaining(OWN_PUBLIC))
    for (const address of own) expect([address, await outcomeOf(lab, urlOf(address))]).toEqual([address, 'blocked'])
    expect(await outcomeOf(lab, 'http://93.184.216.36/')).toBe('allowed')
    // Public addresses are open as it is, and these are not opened by it either.
    for (const line of lab.service.logged.splice(0)) expect(line).toContain('an entry opens nothing')
  })

  it('are allowed by themselves', async () => {
    await using lab = await startWith(OWN_PUBLIC)

    for (const address of OWN_PUBLIC) expect(await outcomeOf(lab, urlOf(address))).toBe('allowed')
  })

  it('are refused when a name leads there', async () => {
    const asked = vi.spyOn(Guard.prototype, 'checkUrl')
    await using lab = await startWith([])
    const url = new URL('http://example.com/')
    expect(await outcomeOf(lab, url.href)).toBe('allowed')
    const [guard] = asked.mock.contexts
    asked.mockRestore()

    // Asked of the guard itself: a service would connect.
    for (const address of own) {
      const answer = [{ address, family: address.includes(':') ? 6 : 4 }]
      expect(() => guard instanceof Guard && guard.passage('acme', url).judge(answer)).toThrow('not allowed')
    }
    expect(guard).toBeInstanceOf(Guard)
  })
})

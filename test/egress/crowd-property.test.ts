import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Egress } from '../../src/egress/egress.ts'
import { DEFAULT_FETCH_LIMITS } from '../../src/jobs/fetch/limits.ts'
import { fetchKind } from '../../src/jobs/fetch.ts'
import { attempt, stoppable } from '../jobs/attempt.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { openGuard } from '../support/guard.ts'

const ADDRESSES = ['127.0.0.11', '127.0.0.12', '127.0.0.13']
/** Each name leads to some of them; the last address has no server, and one name leads to it as well. */
const NAMES: Readonly<Record<string, string[]>> = {
  'a.test': ['127.0.0.11'],
  'b.test': ['127.0.0.11'],
  'c.test': ['127.0.0.12', '127.0.0.11'],
  'd.test': ['127.0.0.19', '127.0.0.13'],
  '127.0.0.13': ['127.0.0.13'],
}

/** What a target does with a request: how many turns of the event loop it takes, and what comes then. */
const hop = fc.record({
  name: fc.constantFrom(...Object.keys(NAMES)),
  turns: fc.nat(12),
  answer: fc.constantFrom('short', 'short', 'long', 'last', 'reset', 'half'),
})
const fetches = fc.record({
  tenant: fc.constantFrom('a', 'b'),
  hops: fc.array(hop, { minLength: 1, maxLength: 4 }),
  /** Turns until it is aborted; null: never. */
  abortAfter: fc.option(fc.nat(25), { freq: 2 }),
})
const program = fc.record({
  hostConcurrency: fc.nat(2),
  addressConcurrency: fc.nat(2),
  jobs: fc.array(fetches, { minLength: 1, maxLength: 12 }),
  /** Turns after which the clock goes past every deadline of connecting. */
  lateAfter: fc.option(fc.integer({ min: 5, max: 40 }), { freq: 2 }),
})

interface Hop {
  name: string
  turns: number
  answer: string
}

interface Program {
  hostConcurrency: number
  addressConcurrency: number
  jobs: { tenant: string; hops: Hop[]; abortAfter: number | null }[]
  lateAfter: number | null
}

/** Requests that are being answered at the targets, by the name that was asked for and by the address that was connected to. */
class Targets {
  readonly now = new Map<string, Set<IncomingMessage>>()
  most = { host: 0, address: 0 }
  readonly #servers: Server[] = []
  port = 0

  async start(): Promise<void> {
    for (const address of ADDRESSES) {
      const server = createServer({ keepAliveTimeout: 0 }, (request, response) => void this.#answer(request, response))
      await once(server.listen(this.port, address), 'listening')
      // Listening on TCP, so the address is no string and not null.
      this.port = (server.address() as AddressInfo).port
      this.#servers.push(server)
    }
  }

  async close(): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections()
      await once(server.close(), 'close')
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#enter('host', request.headers.host, request, response)
    this.#enter('address', request.socket.localAddress, request, response)
    const [own, ...rest] = hopsOf(request.url ?? '')
    for (let n = 0; n < (own?.turns ?? 0); n++) await turn()
    if (own?.answer === 'reset') return void response.socket?.resetAndDestroy()
    if (own?.answer === 'half') return void response.writeHead(200, { 'content-length': 100 }).write('half')
    const [next] = rest
    if (next) response.writeHead(307, { location: urlOf(rest, this.port) })
    else response.writeHead(200)
    if (own?.answer === 'last') response.shouldKeepAlive = false
    response.end(own?.answer === 'long' ? 'x'.repeat(200_000) : 'short')
  }

  #enter(what: 'host' | 'address', of: string | undefined, request: IncomingMessage, response: ServerResponse): void {
    const key = `${what} ${of}`
    const now = this.now.get(key) ?? new Set()
    this.now.set(key, now.add(request))
    response.once('close', () => now.delete(request))
    void this.#count(what, [...now], now)
  }

  /** A target hears a moment later that its caller is gone, maybe after the next one has come: such a one does not count. */
  async #count(what: 'host' | 'address', seen: IncomingMessage[], now: Set<IncomingMessage>): Promise<void> {
    for (let n = 0; n < 3; n++) await turn()
    this.most[what] = Math.max(this.most[what], seen.filter((one) => now.has(one)).length)
  }
}

const hopsOf = (path: string): Hop[] => JSON.parse(decodeURIComponent(path.slice(1)))

function urlOf(hops: Hop[], port: number): string {
  return `http://${hops[0]?.name}:${port}/${encodeURIComponent(JSON.stringify(hops))}`
}

describe('Caps on destinations', () => {
  const targets = new Targets()
  beforeAll(() => targets.start())
  afterAll(() => targets.close())

  /** Run all fetches at once; resolves with how they ended, when nothing of them is left. */
  async function run({ jobs, lateAfter, ...caps }: Program): Promise<string[]> {
    targets.now.clear()
    targets.most = { host: 0, address: 0 }
    const clock = new FakeClock()
    const resolve = async (host: string) => (NAMES[host] ?? [host]).map((address) => ({ address, family: 4 }))
    const egress = new Egress({ guard: openGuard(), clock, resolve, ...caps })
    const kind = fetchKind({ egress, limits: DEFAULT_FETCH_LIMITS })
    const stops: (() => void)[] = []
    const ends = jobs.map(async ({ tenant, hops, abortAfter }) => {
      const { signal, stop } = stoppable()
      stops.push(stop)
      const spec = kind.spec.parse({ url: urlOf(hops, targets.port), redirects: 10 })
      const ended = kind.run({ kind: 'fetch', ...spec } as never, attempt({ signal, clock, tenantId: tenant })).then(
        () => 'done',
        (error) => String(error.code ?? error.why),
      )
      for (let n = 0; n < (abortAfter ?? 0); n++) await turn()
      if (abortAfter !== null) stop()
      return await ended
    })
    for (let n = 0; n < (lateAfter ?? 0); n++) await turn()
    if (lateAfter !== null) clock.advance(60_000)
    // What hangs with half an answer ends with the last abort.
    const all = Promise.all(ends)
    if (jobs.some(({ hops }) => hops.some(({ answer }) => answer === 'half'))) {
      for (let n = 0; n < 200; n++) await turn()
      for (const stop of stops) stop()
    }
    const ended = await all
    expect(egress.crowd).toEqual({ held: 0, waiting: 0, destinations: 0 })
    await egress.close()
    expect(clock.armed).toBe(0)
    return ended
  }

  it('hold at the target, and every place is given back, whatever names, redirects, aborts and timeouts there are', async () => {
    await fc.assert(
      fc.asyncProperty(program, async (one) => {
        await run(one)
        if (one.hostConcurrency > 0) expect(targets.most.host).toBeLessThanOrEqual(one.hostConcurrency)
        if (one.addressConcurrency > 0) expect(targets.most.address).toBeLessThanOrEqual(one.addressConcurrency)
      }),
      { numRuns: 150 },
    )
  }, 120_000)

  it('keep nobody out for good: without aborts, deadlines and broken targets everyone arrives', async () => {
    const well = fc.array(fetches, { minLength: 1, maxLength: 12 }).map((jobs) =>
      jobs.map((job) => ({
        ...job,
        abortAfter: null,
        hops: job.hops.map((one) => ({ ...one, answer: /reset|half/.test(one.answer) ? 'last' : one.answer })),
      })),
    )
    await fc.assert(
      fc.asyncProperty(well, async (jobs) => {
        const ended = await run({ jobs, lateAfter: null, hostConcurrency: 1, addressConcurrency: 1 })
        expect(ended).toEqual(jobs.map(() => 'done'))
        expect(Math.max(targets.most.host, targets.most.address)).toBeLessThanOrEqual(1)
      }),
      { numRuns: 50 },
    )
  }, 120_000)
})

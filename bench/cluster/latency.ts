import { createServer, type ServerResponse } from 'node:http'
import { quantile } from '../figures.ts'
import { call } from '../machine/service.ts'
import { BullMq } from './bullmq.ts'
import { Gatherd } from './gatherd.ts'
import type { Table } from './table.ts'

/** A target that tells when a request comes and when its caller hangs up; it answers at once, or never. */
interface Target extends AsyncDisposable {
  url: string
  /** The time of the next request, `performance.now()`. */
  comes(): Promise<number>
  /** The time at which the newest request was given up. */
  goes(): Promise<number>
}

const SHAPE = { processes: 2, tenants: 1, cap: 16 }

/** How many go first, unmeasured. */
const WARM = 20

/** From the submission to the request at the target, of an idle service: at the owner, at another replica, and with BullMQ; in turns. */
export async function firstStarts(table: Table, samples: number): Promise<void> {
  await using target = await targetOf('ok')
  await using gatherd = await Gatherd.start(SHAPE)
  await using bullMq = await BullMq.start({ ...SHAPE, processes: 1 }, 'workers')
  await bullMq.resume()
  const job = { kind: 'fetch', url: target.url } as const
  const ways: [string, () => Promise<unknown>][] = [
    ['gatherd', () => submitAt(gatherd, 0, target.url)],
    ['gatherd, elsewhere', () => submitAt(gatherd, 1, target.url)],
    ['BullMQ', () => bullMq.enqueue(job, 1)],
  ]
  const took = new Map<string, number[]>(ways.map(([name]) => [name, []]))
  for (let i = -WARM; i < samples; i++) {
    for (const [name, submit] of ways) {
      const [began, came] = [performance.now(), target.comes()]
      const submitted = submit()
      const at = await came
      await submitted
      await quiet()
      if (i >= 0) took.get(name)?.push(at - began)
    }
  }
  report(table, 'from submission to start, idle, ms', took)
}

/** From the request to cancel a running job to its target's seeing it hang up: asked of the owner, and of another replica. BullMQ has no such thing. */
export async function cancels(table: Table, samples: number): Promise<void> {
  await using target = await targetOf('nothing')
  await using gatherd = await Gatherd.start(SHAPE)
  const took = new Map<string, number[]>([
    ['gatherd', []],
    ['gatherd, elsewhere', []],
  ])
  for (let i = -WARM; i < samples; i++) {
    for (const [replica, name] of ['gatherd', 'gatherd, elsewhere'].entries()) {
      const came = target.comes()
      const { id } = await submitAt(gatherd, 0, target.url)
      await came
      const [began, gone] = [performance.now(), target.goes()]
      await at(gatherd, replica, `/v1/batches/${id}/cancel`)
      if (i >= 0) took.get(name)?.push((await gone) - began)
      await gone
      await quiet()
    }
  }
  report(table, 'from cancel to the abort at the target, ms', took)
}

function report(table: Table, measure: string, took: ReadonlyMap<string, number[]>): void {
  for (const [name, figures] of took)
    for (const q of [0.5, 0.99]) table.add(measure, `p${q * 100}`, name, quantile(figures, q))
}

/** The first to be asked owns the tenant: replica 0, in all of these. */
async function submitAt(gatherd: Gatherd, replica: number, url: string): Promise<{ id: string }> {
  // The service answers a submission with the batch.
  return (await at(gatherd, replica, '/v1/batches', { jobs: [{ kind: 'fetch', url }] })) as { id: string }
}

function at(gatherd: Gatherd, replica: number, path: string, body?: unknown): Promise<unknown> {
  const { key } = gatherd.callers[0]
  return call({ url: gatherd.replicas[replica].url, key }, 'POST', path, body)
}

/** What a sample leaves to do is not the next one's. */
function quiet(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 4))
}

async function targetOf(answer: 'ok' | 'nothing'): Promise<Target> {
  let [came, gone] = [Promise.withResolvers<number>(), Promise.withResolvers<number>()]
  const server = createServer((_request, response: ServerResponse) => {
    came.resolve(performance.now())
    if (answer === 'ok') return void response.end('ok')
    response.once('close', () => gone.resolve(performance.now()))
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}/`,
    comes() {
      came = Promise.withResolvers()
      return came.promise
    },
    goes() {
      gone = Promise.withResolvers()
      return gone.promise
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

// What the guard costs: a job through the service with it and without it, in turns, and each of its questions by itself. Needs nginx.
import { fileURLToPath } from 'node:url'
import { Guard } from '../../src/egress/guard/guard.ts'
import { startNginx } from '../machine/nginx.ts'
import { rateThroughApi } from '../machine/rate.ts'
import type { Book } from '../report/book.ts'
import type { Measure } from '../report/measure.ts'
import { turns } from './turns.ts'

const UNGUARDED = fileURLToPath(new URL('./unguarded.ts', import.meta.url))

const WITHOUT = 'without the guard'

/** Jobs per second with the guard and without, side by side in each round; and microseconds a question. */
export const guarding: Measure = {
  id: 'guard',
  title: 'what the guard costs',
  base: WITHOUT,
  targets: [],
  async run(book, { rounds, count, say }) {
    questions(book)
    await using nginx = await startNginx()
    const job = { kind: 'fetch', url: nginx.url }
    const ways = [
      { name: 'with the guard', nodeArgs: [] },
      { name: WITHOUT, nodeArgs: ['--import', UNGUARDED] },
    ]
    for (let round = 1; round <= rounds; round++) {
      for (const { name, nodeArgs } of turns(ways, round)) {
        const rate = await rateThroughApi(job, count, { nodeArgs })
        say(`  round ${round}: ${Math.round(rate)} jobs/s ${name}`)
        book.add(name, 'jobs/s', rate)
      }
    }
  },
}

const ROUNDS = 20_000

/** As they are asked: the first two at submission, the others for each new connection. */
function questions(book: Book): void {
  const guard = new Guard({ allow: ['10.1.0.0/16', '127.0.0.1'], allowHosts: ['*.svc.corp'], deny: ['192.0.2.0/24'] })
  guard.narrow('narrow', { denyHosts: ['*.example.org'], deny: ['198.51.100.0/24'] })
  const url = new URL('https://api.example.com/v1/users?page=1')
  const [v4, v6] = [
    { address: '93.184.215.14', family: 4 },
    { address: '2606:4700::1111', family: 6 },
  ]
  for (const tenant of ['plain', 'narrow']) {
    measure(book, `passes, host seen before (${tenant})`, () => guard.passes(tenant, url.href))
    measure(book, `checkUrl (${tenant})`, () => guard.checkUrl(tenant, url.href))
    measure(book, `passage (${tenant})`, () => guard.passage(tenant, url))
    const passage = guard.passage(tenant, url)
    measure(book, `judge, one address (${tenant})`, () => passage.judge([v4]))
    measure(book, `judge, four addresses (${tenant})`, () => passage.judge([v4, v6, v4, v6]))
    measure(book, `recheck (${tenant})`, () => passage.recheck(v4.address))
  }
}

function measure(book: Book, name: string, ask: () => unknown): void {
  for (let round = 0; round < 7; round++) {
    const start = performance.now()
    for (let n = 0; n < ROUNDS; n++) ask()
    // The first round is the compiler's.
    if (round > 0) book.add(name, 'µs', ((performance.now() - start) / ROUNDS) * 1_000)
  }
}

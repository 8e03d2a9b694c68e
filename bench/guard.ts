// What the guard costs: a job through the service with it and without it, interleaved, and each of its questions by itself. Needs nginx.
import { fileURLToPath } from 'node:url'
import { Guard } from '../src/egress/guard/guard.ts'
import { median } from './figures.ts'
import { startNginx } from './nginx.ts'
import { throughApi } from './throughput.ts'

const UNGUARDED = fileURLToPath(new URL('./unguarded.ts', import.meta.url))

/** Jobs per second with the guard and without, side by side in each round, and their ratio; then microseconds a question. */
export async function guarding(rounds: number, count: number): Promise<void> {
  questions()
  await using nginx = await startNginx()
  const job = { kind: 'fetch', url: nginx.url }
  const [guarded, open, ratios]: number[][] = [[], [], []]
  for (let round = 1; round <= rounds; round++) {
    // Whoever is first in a round finds another machine than whoever is second.
    const turns = round % 2 === 1 ? [guarded, open] : [open, guarded]
    for (const figures of turns) {
      const nodeArgs = figures === open ? ['--import', UNGUARDED] : []
      // A busy machine is no reason to refuse one of the two.
      figures.push(await throughApi(job, count, { env: { GATHERD_MAX_EVENT_LOOP_DELAY_MS: '0' }, nodeArgs }))
    }
    ratios.push((guarded.at(-1) ?? 0) / (open.at(-1) ?? 1))
    console.error(`round ${round}: ${guarded.at(-1)?.toFixed(0)} with the guard, ${open.at(-1)?.toFixed(0)} without`)
  }
  const told = (figures: number[], digits: number) =>
    `${median(figures).toFixed(digits)} (${Math.min(...figures).toFixed(digits)}–${Math.max(...figures).toFixed(digits)})`
  console.log(`fetch, with the guard     ${told(guarded, 0)} jobs/s`)
  console.log(`fetch, without the guard  ${told(open, 0)} jobs/s`)
  console.log(`ratio                     ${told(ratios, 3)}`)
}

const ROUNDS = 20_000

/** As they are asked: the first two at submission, the others for each new connection. */
function questions(): void {
  const guard = new Guard({ allow: ['10.1.0.0/16', '127.0.0.1'], allowHosts: ['*.svc.corp'], deny: ['192.0.2.0/24'] })
  guard.narrow('narrow', { denyHosts: ['*.example.org'], deny: ['198.51.100.0/24'] })
  const url = new URL('https://api.example.com/v1/users?page=1')
  const [v4, v6] = [
    { address: '93.184.215.14', family: 4 },
    { address: '2606:4700::1111', family: 6 },
  ]
  for (const tenant of ['plain', 'narrow']) {
    measure(`passes, host seen before (${tenant})`, () => guard.passes(tenant, url.href))
    measure(`checkUrl (${tenant})`, () => guard.checkUrl(tenant, url.href))
    measure(`passage (${tenant})`, () => guard.passage(tenant, url))
    const passage = guard.passage(tenant, url)
    measure(`judge, one address (${tenant})`, () => passage.judge([v4]))
    measure(`judge, four addresses (${tenant})`, () => passage.judge([v4, v6, v4, v6]))
    measure(`recheck (${tenant})`, () => passage.recheck(v4.address))
  }
}

function measure(name: string, ask: () => unknown): void {
  const figures: number[] = []
  for (let round = 0; round < 7; round++) {
    const start = performance.now()
    for (let n = 0; n < ROUNDS; n++) ask()
    figures.push(((performance.now() - start) / ROUNDS) * 1_000)
  }
  // The first round is the compiler's.
  console.log(
    `${name.padEnd(40)} ${median(figures.slice(1)).toFixed(2)} µs (${Math.min(...figures.slice(1)).toFixed(2)}–${Math.max(...figures.slice(1)).toFixed(2)})`,
  )
}

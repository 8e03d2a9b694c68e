// P1 and P2: the main job and the empty one, each against what a user would use instead, in turns.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { startNginx } from '../machine/nginx.ts'
import { rateOf, rateOfRival, rateThroughApi } from '../machine/rate.ts'
import type { Book } from '../report/book.ts'
import type { Measure, Plan } from '../report/measure.ts'
import { turns } from './turns.ts'

const [LOOP, PQUEUE, AIOHTTP] = ['undici request in a loop', 'bare p-queue', 'aiohttp + gather + Semaphore']

/** Someone who does the work; null when it cannot run here. */
interface Runner {
  name: string
  run(): number | null | Promise<number>
  /** Why it cannot, if it cannot. */
  missing?: string
}

/** P1: fetches through the API, from the submission to the end of the last, on disk. */
export const fetches: Measure = {
  id: 'P1',
  title: 'fetch jobs per second beside those who do the same by hand',
  base: LOOP,
  targets: [
    { series: 'gatherd', per: LOOP, least: 0.7 },
    { series: 'gatherd', per: AIOHTTP, least: 4 },
  ],
  async run(book, plan) {
    await using nginx = await startNginx()
    const { url } = nginx
    const { count } = plan
    await inTurns(book, plan, [
      { name: LOOP, run: () => rateOfRival('undici-loop', url, count) },
      { name: 'gatherd', run: () => rateThroughApi({ kind: 'fetch', url }, count) },
      { name: 'p-queue + undici request', run: () => rateOfRival('pqueue-request', url, count) },
      { name: 'undici dispatch, bare handler', run: () => rateOfRival('undici-dispatch', url, count) },
      { name: 'node:http with an agent', run: () => rateOfRival('node-http', url, count) },
      { name: AIOHTTP, run: () => aiohttp(url, count), missing: 'python3-aiohttp is not installed' },
      { name: 'wrk, for scale', run: () => wrk(url, plan), missing: 'wrk is not installed' },
    ])
  },
}

/** P2: jobs that do nothing. */
export const empty: Measure = {
  id: 'P2',
  title: 'empty jobs (sleep 0) per second beside bare p-queue',
  base: PQUEUE,
  targets: [{ series: 'gatherd', per: PQUEUE, least: 0.35 }],
  async run(book, plan) {
    const { count } = plan
    await inTurns(book, plan, [
      { name: PQUEUE, run: () => rateOfRival('pqueue-empty', '-', count) },
      { name: 'gatherd', run: () => rateThroughApi({ kind: 'sleep', durationMs: 0 }, count) },
    ])
  },
}

async function inTurns(book: Book, { rounds, say }: Plan, runners: readonly Runner[]): Promise<void> {
  // So that all tables have them in one order, whoever begins.
  const found = new Map<string, number[]>(runners.map(({ name }) => [name, []]))
  for (let round = 1; round <= rounds; round++) {
    for (const { name, run, missing } of turns(runners, round)) {
      const rate = await run()
      say(`  round ${round}: ${name}: ${rate === null ? 'not here' : `${Math.round(rate)} jobs/s`}`)
      if (rate === null) book.skip(name, missing ?? 'it failed')
      else found.get(name)?.push(rate)
    }
  }
  for (const [name, rates] of found) for (const rate of rates) book.add(name, 'jobs/s', rate)
}

function aiohttp(url: string, count: number): number | null {
  const program = fileURLToPath(new URL('../rivals/aiohttp_gather.py', import.meta.url))
  // Debian's, whose python3 need not be the first on the path.
  return rateOf('/usr/bin/python3', [program, url, `${count}`])
}

function wrk(url: string, { quick }: Plan): number | null {
  const { stdout } = spawnSync('wrk', ['-t1', '-c64', `-d${quick ? 1 : 3}s`, url], { encoding: 'utf8' })
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(stdout ?? '')?.[1]
  return rate === undefined ? null : Number(rate)
}

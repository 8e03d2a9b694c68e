import { setTimeout as sleep } from 'node:timers/promises'
import { countingOrigin } from '../machine/counting-origin.ts'
import { type BenchService, startService } from '../machine/service.ts'
import { ADMIN_KEY, newTenant } from '../machine/tenants.ts'
import type { Book } from '../report/book.ts'
import type { Measure, Plan } from '../report/measure.ts'
import { TOO_SHORT } from '../report/verdict.ts'
import { Load } from './load.ts'
import { grown, MAY_GROW, SHORTEST_MINUTES } from './verdict.ts'
import { LOOKS, type Look, Probe, type Sighting, sight } from './watch.ts'

/** Of what the service can do. */
const SHARE = 0.7

const [CLIENTS, LOOKS_AT_MOST, SHORTEST_MS] = [16, 180, 1_000]

const grows = (look: string) => `${look}: growth`

/** Mixed kinds, timeouts, cancels, resets and reconnects at 70 % of what the service can do, for as long as it is told to. */
export const soak: Measure = {
  id: 'soak',
  title: 'a soak at 70 % load',
  axis: 'minutes',
  targets: [
    ...Object.entries(MAY_GROW).map(([look, most]) => ({ series: grows(look), most })),
    { series: 'errors', most: 0 },
    { series: 'events missed over reconnects', most: 0 },
    // Else it was less than what it says it was.
    { series: 'batches held back', most: 0 },
  ],
  async run(book, plan) {
    const ms = plan.minutes * 60_000
    // So that all of it is deleted several times over.
    const env = { GATHERD_ADMIN_KEY: ADMIN_KEY, GATHERD_RETENTION_MS: `${Math.round(ms / 10)}` }
    await using service = await startService({ env: { ...env, GATHERD_TENANT_CONCURRENCY: '64' }, inside: true })
    await using origin = await countingOrigin(Infinity)
    const load = new Load(service, origin.url)
    const warmUpMs = Math.min(20_000, ms / 10)
    // First what is hot gets compiled.
    await load.capacity(CLIENTS, warmUpMs)
    const capacity = await load.capacity(CLIENTS, warmUpMs)
    plan.say(`  it can do ${Math.round(capacity)} jobs/s; ${plan.minutes} minutes at ${SHARE} of that`)
    book.add('jobs/s that it can do', 'jobs/s', capacity)
    book.add('jobs/s that it was given', 'jobs/s', capacity * SHARE)
    const sightings = await underLoad(service, load, { url: origin.url, rate: capacity * SHARE, ms, plan })
    report(book, load, sightings)
  },
}

interface How {
  url: string
  rate: number
  ms: number
  plan: Plan
}

async function underLoad(service: BenchService, load: Load, { url, rate, ms, plan }: How): Promise<Sighting[]> {
  const end = new AbortController()
  const probe = new Probe()
  const probing = probe.run(await newTenant(service, 'probe', {}), `${url}/ok`, end.signal)
  const running = load.run(rate, end.signal)
  const sightings = await watch(service, probe, ms, plan)
  end.abort()
  await Promise.all([probing, running])
  if (probe.failed > 0) load.tally.errors.set('probes', probe.failed)
  const whole = sightings.filter(({ figures }) => Object.values(figures).every((figure) => !Number.isNaN(figure)))
  const blind = sightings.length - whole.length
  if (blind > 0) load.tally.errors.set('looks in which no probe ended', blind)
  return whole
}

async function watch(service: BenchService, probe: Probe, ms: number, { say }: Plan): Promise<Sighting[]> {
  const [began, pause] = [performance.now(), Math.max(SHORTEST_MS, ms / LOOKS_AT_MOST)]
  const sightings: Sighting[] = []
  while (performance.now() - began < ms) {
    await sleep(pause)
    const minutes = (performance.now() - began) / 60_000
    const figures = await sight(service, probe)
    sightings.push({ minutes, figures })
    if (sightings.length % 10 === 0) say(`  ${minutes.toFixed(1)} min: ${line(figures)}`)
  }
  return sightings
}

function line(figures: Record<Look, number>): string {
  return Object.entries(figures)
    .map(([look, figure]) => `${look} ${figure.toFixed(1)}`)
    .join(', ')
}

function report(book: Book, { tally }: Load, sightings: readonly Sighting[]): void {
  for (const { minutes, figures } of sightings)
    for (const [look, figure] of Object.entries(figures)) {
      // Its keys are the looks.
      const at = { line: look, x: minutes }
      book.add(`${look}, ${minutes.toFixed(2)} min`, LOOKS[look as Look], figure, at)
    }
  growth(book, sightings)
  for (const [error, times] of tally.errors) book.skip(`${times} times`, error)
  const errors = [...tally.errors.values()].reduce((sum, times) => sum + times, 0)
  book.add('jobs', 'jobs', tally.jobs)
  book.add('reconnects', 'count', tally.reconnects)
  book.add('events missed over reconnects', 'count', tally.gaps)
  book.add('batches held back', 'count', tally.heldBack)
  book.add('errors', 'count', errors)
}

/** What has grown by how much; of a short soak only that it was too short. */
export function growth(book: Book, sightings: readonly Sighting[]): void {
  const isShort = (sightings.at(-1)?.minutes ?? 0) < SHORTEST_MINUTES * 0.95
  for (const [look, percent] of grown(sightings)) {
    if (!(look in MAY_GROW)) continue
    if (isShort) book.skip(grows(look), TOO_SHORT)
    else book.add(grows(look), '%', percent)
  }
}

/**
 * `npm run chaos -- --rounds N --seed S`: a service in a process of its own, clients that submit, follow and meddle, and
 * `kill -9` at random moments; in the end nothing may be lost or doubled. Ends with 1 when something was.
 */
import { parseArgs } from 'node:util'
import { type RoundReport, runRound } from './chaos/round.ts'
import { verdictOn } from './chaos/verdict.ts'

const HELP = `npm run chaos: kill the service again and again, and check that nothing is lost.

  --rounds N   rounds to play, each on a new data directory (10)
  --seed S     of the first round, the next has S + 1 (drawn from the clock)
  --replicas N replicas over a Redis, also stopped for a while, and their Redis killed; 0: one process (0)
  --batches N  batches of each of the four clients (6)
  --kills N    times the service is ended in a round (4)
`

const OPTIONS = {
  rounds: { type: 'string', default: '10' },
  seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  kills: { type: 'string', default: '4' },
  replicas: { type: 'string', default: '0' },
  batches: { type: 'string', default: '6' },
  help: { type: 'boolean', short: 'h', default: false },
} as const

/** What was asked for; null when that cannot be, which is told in a line. */
function read() {
  try {
    return parseArgs({ options: OPTIONS }).values
  } catch (error) {
    // Without Node's advice about `--`, which helps nobody here.
    const [complaint] = String(error instanceof Error ? error.message : error).split('. ')
    process.stderr.write(`npm run chaos: ${complaint} (--help)\n`)
    return null
  }
}

async function main(): Promise<number> {
  const values = read()
  if (values === null) return 2
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  const numbers = [values.rounds, values.seed, values.kills, values.replicas, values.batches].map(Number)
  const [rounds, first, kills, replicas, batches] = numbers
  if (!numbers.every((value) => Number.isSafeInteger(value) && value >= 0)) {
    process.stderr.write(`npm run chaos: --rounds, --seed, --kills, --replicas and --batches are whole numbers.\n`)
    return 2
  }
  const sums = {
    batches: 0,
    jobs: 0,
    kills: 0,
    terms: 0,
    pauses: 0,
    redis: 0,
    repeated: 0,
    interrupted: 0,
    unrecorded: 0,
    overlaps: 0,
    lost: 0,
    doubled: 0,
  }
  let failed = 0
  for (let seed = first; seed < first + rounds; seed++) {
    const report = await runRound({ seed, kills, replicas, clients: 4, batches, timeoutMs: 60_000 + 15_000 * kills })
    for (const name of [
      'batches',
      'jobs',
      'kills',
      'terms',
      'pauses',
      'redis',
      'repeated',
      'interrupted',
      'unrecorded',
      'overlaps',
      'lost',
      'doubled',
    ] as const)
      sums[name] += report[name]
    if (report.violations.length > 0) failed++
    show(seed, report)
  }
  const { jobs, terms, pauses, redis, repeated, interrupted, unrecorded, overlaps, lost, doubled } = sums
  process.stdout.write(
    `${rounds} rounds from seed ${first}: ${sums.batches} batches, ${jobs} jobs, ${sums.kills} kills, ${terms} SIGTERMs, ${pauses} pauses, ${redis} ends of Redis; ` +
      `${repeated} jobs made again, ${interrupted} interrupted, ${unrecorded} with an unrecorded start, ${overlaps} overlaps after a stall; ` +
      `${lost} lost, ${doubled} doubled, ${failed} rounds failed\n`,
  )
  return failed === 0 ? 0 : 1
}

function show(seed: number, report: RoundReport): void {
  const { batches, jobs, kills, terms, pauses, redis, violations } = report
  process.stdout.write(
    `seed ${seed}: ${batches} batches, ${jobs} jobs, ${kills} kills, ${terms} SIGTERMs, ${pauses} pauses, ${redis} of Redis: ${verdictOn(report)}\n`,
  )
  for (const violation of violations.slice(0, 20)) process.stdout.write(`  ${violation}\n`)
  if (violations.length > 20) process.stdout.write(`  and ${violations.length - 20} more\n`)
}

// Exiting, and not just dying, ends the service as well.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
process.exitCode = await main()

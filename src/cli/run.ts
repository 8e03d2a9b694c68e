import { DEFAULT_TENANT } from '../auth/keyring.ts'
import { systemClock } from '../clock.ts'
import { type Config, readConfig } from '../config.ts'
import type { BatchSubmission, BatchView, Engine } from '../engine/engine.ts'
import { ConfigError } from '../errors.ts'
import { jobIdOf } from '../ids.ts'
import { buildLogger } from '../log.ts'
import { readable } from '../log-format.ts'
import { buildJobSchema } from '../schema/jobs.ts'
import { MAX_JOBS_EVER } from '../schema/limits.ts'
import { IN_MEMORY } from '../store/sqlite/open.ts'
import { type Surroundings, wireEngine } from '../wiring.ts'
import { type Command, type Io, packageJson } from './io.ts'
import { parsed } from './options.ts'
import { parseBatch, readInput, wholeNumber } from './run/input.ts'
import { Interruption } from './run/interruption.ts'
import { Output } from './run/output.ts'
import { Progress } from './run/progress.ts'
import { type Report, reportOf, summary } from './run/report.ts'

const HELP = `gatherd run <batch.json | ->: run one batch here, without a server, and keep nothing of it.

The file, or standard input for "-", is what POST /v1/batches takes, or just its array of jobs. Each job goes to standard
output as a line of JSON when it ends; standard error has live bars, if it is a terminal, and one line at the end.

  --order input          print the jobs at the end, in input order (default: completion)
  --events               print the whole event log instead of the jobs
  --max-concurrency <n>  jobs at once, instead of the batch's maxConcurrency
  --timeout-ms <n>       the batch's time, instead of its timeoutMs
  --help

Exit status: 0 the batch succeeded; 1 it failed, timed out or was cancelled; 2 the batch or an option is wrong, nothing ran;
130, 143 ended by SIGINT, SIGTERM, after the jobs were cancelled and their sockets closed; 74 the output cannot be
written, 141 nobody reads it. Policy "all_settled", the default, succeeds even when jobs fail: say "gather" or "task_group"
for an exit status that tells.

Of the settings (gatherd serve --help) those of the server hold, such as GATHERD_MAX_CONCURRENCY, not those of a tenant.
`

const OPTIONS = {
  order: { type: 'string', default: 'completion' },
  events: { type: 'boolean', default: false },
  'max-concurrency': { type: 'string' },
  'timeout-ms': { type: 'string' },
} as const

/** Run one batch in the engine itself; resolves with the exit status of its outcome when its last job has ended. */
export const run: Command = async (io) => {
  const given = parsed(io, HELP, OPTIONS)
  if (given === null) return 0
  const { values, positionals } = given
  const [source] = positionals
  if (source === undefined || positionals.length > 1)
    throw new ConfigError(`Name one file with a batch, or "-" for standard input.\n\n${HELP}`)
  const report = reportOf(values)
  const overrides = {
    maxConcurrency: wholeNumber('--max-concurrency', values['max-concurrency']),
    timeoutMs: wholeNumber('--timeout-ms', values['timeout-ms']),
  }
  const config = configOf(io.env)
  const text = await readInput(io, source, config.bodyLimitBytes)
  const parts = await wireEngine(config, await surroundings(io, config))
  try {
    const batch = parseBatch({ source, text, overrides, schema: buildJobSchema(parts.kinds) })
    return await runBatch(io, parts.engine, batch, report)
  } finally {
    await parts.close()
  }
}

/** The server's own settings, with the limits of a tenant out of the way: there is one, and it is whoever runs this. */
function configOf(env: Io['env']): Config {
  const config = readConfig(env)
  return {
    ...config,
    dataDir: IN_MEMORY,
    redisUrl: undefined,
    tenantConcurrency: config.maxConcurrency,
    maxQueuedJobs: MAX_JOBS_EVER,
    maxBatchJobs: MAX_JOBS_EVER,
    maxLiveBatches: MAX_JOBS_EVER,
    maxTenantBytes: 0,
    jobsPerSecond: 0,
  }
}

async function surroundings({ stderr, env, exit }: Io, { logLevel, logFormat }: Config): Promise<Surroundings> {
  // Standard output is for results.
  const destination = (await readable(logFormat, stderr, env)) ?? stderr
  const logger = buildLogger({ level: logLevel, destination })
  const onFatal = (err: Error) => {
    logger.fatal({ err, reason: err.message }, 'the store is gone')
    exit(70)
  }
  return { clock: systemClock, logger, version: packageJson.version, onFatal }
}

async function runBatch(io: Io, engine: Engine, submission: BatchSubmission, report: Report): Promise<number> {
  const { id } = await engine.submit(DEFAULT_TENANT, submission)
  const stop = () =>
    cancelAll(engine, id, submission).catch(() => {
      // It came as the batch ended and the store was closed; should it be anything else, a second signal ends the process.
    })
  using interruption = new Interruption({ io, clock: systemClock, stop })
  using progress = new Progress(io.stderr)
  using output = new Output({ stdout: io.stdout, screen: progress.sharedWith(io.stdout), onBroken: stop })
  for await (const events of (await engine.events(DEFAULT_TENANT, id, { after: 0 })) ?? []) {
    for (const event of events) {
      progress.count(event)
      const line = report.lineOf(event)
      if (line !== null) await output.write(line)
    }
  }
  if (report.order === 'input')
    for await (const jobs of await engine.allJobs(DEFAULT_TENANT, id)) for (const job of jobs) await output.write(job)
  progress[Symbol.dispose]()
  const batch = await engine.batch(DEFAULT_TENANT, id)
  if (output.error !== null) io.stderr.write(`gatherd: standard output cannot be written: ${output.error}\n`)
  if (output.status === null) io.stderr.write(summary(batch))
  return interruption.status ?? output.status ?? statusOf(batch)
}

/** Stop the batch, and the shielded jobs as well, which would not hear of that. */
async function cancelAll(engine: Engine, id: string, { jobs }: BatchSubmission): Promise<void> {
  await engine.cancel(DEFAULT_TENANT, id, 'interrupted')
  const shielded = jobs.flatMap(({ shield }, index) => (shield ? [jobIdOf(id, index)] : []))
  await Promise.all(shielded.map((jobId) => engine.cancelJob(DEFAULT_TENANT, jobId, 'interrupted')))
}

function statusOf({ state }: BatchView): number {
  return state === 'succeeded' ? 0 : 1
}

import { isDeepStrictEqual } from 'node:util'
import type { Api } from './api.ts'
import type { Acknowledged, Ledger } from './ledger.ts'
import type { Origin } from './origin.ts'
import { Replay, type ReplayedJob, type WireEvent } from './replay.ts'
import { isOnce, type JobBody } from './submissions.ts'

/** A request that was under way when its job was stopped may be noticed this much after the end was seen. */
const LATE_MS = 250

/** What a drained batch is checked with. */
interface Context {
  batch: Acknowledged
  // biome-ignore lint/suspicious/noExplicitAny: the batch as read, with its jobs.
  view: any
  replay: Replay
  origin: Origin
  ledger: Ledger
}

/** Hold a batch that has drained against its log, against all that was seen of it before, and against the origin. */
export async function checkBatch(batch: Acknowledged, api: Api, ledger: Ledger, origin: Origin): Promise<void> {
  const read = await api.call('GET', `/v1/batches/${batch.id}?include=jobs`)
  if (read.status !== 200) return ledger.fail(`${batch.id} was acknowledged and is ${read.status}`, 'lost')
  const log = await api.call('GET', `/v1/batches/${batch.id}/events?after=0`, undefined, {
    accept: 'application/x-ndjson',
  })
  const texts = log.text.trim().split('\n')
  const events: WireEvent[] = texts.map((text) => JSON.parse(text))
  for (const [i, text] of texts.entries()) ledger.event(batch, events[i].seq, text)
  if (batch.events.size !== events.length)
    ledger.fail(`${batch.id}: ${batch.events.size} events were seen, ${events.length} are left`)
  for (const job of read.body.jobs) ledger.end(batch, job)
  const isShielded = (index: number) => batch.jobs.get(read.body.jobs[index]?.name)?.body.shield === true
  const replay = new Replay(events, isShielded)
  for (const problem of replay.problems) ledger.fail(`${batch.id}: ${problem}`)
  const context = { batch, view: read.body, replay, origin, ledger }
  checkView(context)
  checkJobs(context)
  await checkKey(batch, api, ledger)
}

/** The log's replay is the read model. */
function checkView({ batch, view, replay, ledger }: Context): void {
  const { settled, counts, jobs } = replay
  const expected = { counts, state: settled?.state, settledAt: settled?.at, seq: batch.events.size }
  const { state, settledAt, seq } = view
  const actual = { counts: view.counts, state, settledAt, seq }
  if (!isDeepStrictEqual(actual, expected))
    ledger.fail(`${batch.id}: is ${JSON.stringify(actual)}, its log says ${JSON.stringify(expected)}`)
  if (batch.cancelled && view.cancel === null) ledger.fail(`${batch.id}: its cancel was acknowledged and is forgotten`)
  const { maxConcurrency } = batch.body
  if (typeof maxConcurrency === 'number' && replay.mostAtOnce > maxConcurrency)
    ledger.fail(`${batch.id}: ${replay.mostAtOnce} jobs at once, ${maxConcurrency} allowed`)
  if (typeof batch.body.timeoutMs === 'number' && view.state === 'timed_out')
    atLeast(ledger, `${batch.id}: timed out`, view.acceptedAt, view.settledAt, batch.body.timeoutMs)
  if (jobs.length !== view.jobs.length) ledger.fail(`${batch.id}: ${view.jobs.length} jobs, its log has ${jobs.length}`)
}

function checkJobs(context: Context): void {
  const { batch, view, replay, ledger } = context
  // biome-ignore lint/suspicious/noExplicitAny: a job as read.
  const byName = new Map<string, any>(view.jobs.map((job: any) => [job.name, job]))
  for (const [name, { body, sure }] of batch.jobs) {
    const job = byName.get(name)
    if (job === undefined) {
      if (sure) ledger.fail(`${batch.id}: job ${name} was acknowledged and is gone`, 'lost')
      continue
    }
    const replayed = replay.jobs[job.index]
    if (replayed !== undefined) checkJob(context, body, job, replayed)
  }
}

// biome-ignore lint/suspicious/noExplicitAny: a job as read.
function checkJob(context: Context, body: JobBody, job: any, replayed: ReplayedJob): void {
  const { batch, ledger } = context
  const what = `${batch.id}: job ${job.index} (${JSON.stringify(body)})`
  const { state, attempts, finishedAt, cause } = replayed
  if (attempts > 1) ledger.repeated++
  if (job.error?.code === 'interrupted') ledger.interrupted++
  const expected = { state, attempts, finishedAt, cause, started: attempts > 0 }
  const actual = {
    state: job.state,
    attempts: job.attempts,
    finishedAt: job.finishedAt,
    cause: job.cause,
    started: job.startedAt !== null,
  }
  if (!isDeepStrictEqual(actual, expected))
    ledger.fail(`${what}: is ${JSON.stringify(actual)}, its log says ${JSON.stringify(expected)}`)
  if (!batch.changed.has(body.name)) checkClocks(ledger, what, body, job, replayed)
  if (job.error?.code === 'interrupted' && !isOnce(body)) ledger.fail(`${what}: was to be repeated, is interrupted`)
  if (body.kind === 'fetch') checkFetch(context, what, body, job)
  else if (job.state === 'succeeded' && job.result !== body.result) ledger.fail(`${what}: result ${job.result}`)
}

/** Nothing ends early, and nothing starts early. */
// biome-ignore lint/suspicious/noExplicitAny: a job as read.
function checkClocks(ledger: Ledger, what: string, body: JobBody, job: any, replayed: ReplayedJob): void {
  const since = {
    deadline: job.acceptedAt,
    queue_timeout: job.acceptedAt,
    timeout: replayed.lastStart ?? job.acceptedAt,
  }
  const limits = { deadline: body.deadlineMs, queue_timeout: body.queueTimeoutMs, timeout: body.timeoutMs }
  for (const cause of ['deadline', 'queue_timeout', 'timeout'] as const) {
    if (job.state !== 'timed_out' || job.cause !== cause) continue
    atLeast(ledger, `${what}: ${cause}`, since[cause], job.finishedAt, Number(limits[cause]))
  }
  if (typeof body.delayMs === 'number' && replayed.firstStart !== null)
    atLeast(ledger, `${what}: delayed`, job.acceptedAt, replayed.firstStart, body.delayMs)
  if (body.kind === 'sleep' && job.state === 'succeeded')
    atLeast(ledger, `${what}: slept`, job.startedAt, job.finishedAt, Number(body.durationMs))
}

/** Stamps are cut to the millisecond, so that a difference may be one short. */
function atLeast(ledger: Ledger, what: string, from: string, to: string, ms: number): void {
  const passed = Date.parse(to) - Date.parse(from)
  if (!(passed >= ms - 1)) ledger.fail(`${what} after ${passed} ms instead of ${ms}`)
}

/** The origin's own count. */
// biome-ignore lint/suspicious/noExplicitAny: a job as read.
function checkFetch({ batch, ledger, origin }: Context, what: string, body: JobBody, job: any): void {
  const hits = origin.hitsOf(new URL(String(body.url)).pathname)
  // A request that may be repeated is sent without waiting for the record of its start: a crash in between loses that.
  const recorded = isOnce(body) ? hits : hits.filter(({ life }) => life === ledger.life)
  // Of several replicas one may give its tenants up at any moment: it was slow, and its lease is over.
  const isTwice = !ledger.moves && hasTwins(hits.map(({ life }) => life))
  if (recorded.length > job.attempts || isTwice)
    ledger.fail(`${what}: ${hits.length} requests in ${job.attempts} attempts`, 'doubled')
  if (isOnce(body) && Math.max(hits.length, job.attempts) > 1)
    ledger.fail(`${what}: ${hits.length} requests`, 'doubled')
  if (hits.length > job.attempts) ledger.unrecorded++
  if (job.state === 'succeeded' && hits.length === 0) ledger.fail(`${what}: succeeded without a request`)
  if (job.state === 'succeeded' && job.result.status !== 200)
    ledger.fail(`${what}: result ${JSON.stringify(job.result)}`)
  const seen = batch.ends.get(job.index)
  const again = hits.filter(({ at, life }) => seen !== undefined && (life > seen.life || at > seen.at + LATE_MS))
  if (again.length > 0) ledger.fail(`${what}: ran again after its end was seen`, 'doubled')
}

function hasTwins(values: readonly number[]): boolean {
  return new Set(values).size < values.length
}

/** One key, one batch, one answer. */
async function checkKey({ key, body, answer, id }: Acknowledged, api: Api, ledger: Ledger): Promise<void> {
  const again = await api.call('POST', '/v1/batches', body, { 'idempotency-key': key })
  if (again.text !== answer) ledger.fail(`the key ${key} was answered ${answer} and then ${again.text}`, 'doubled')
  const { body: page } = await api.call('GET', `/v1/batches?label.chaos=${key}`)
  const ids = page.data.map((batch: { id: string }) => batch.id)
  if (!isDeepStrictEqual(ids, [id])) ledger.fail(`the key ${key} has the batches ${ids}`, 'doubled')
}

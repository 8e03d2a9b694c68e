import type { Clock } from '../../clock.ts'
import { acceptedAt } from '../../core/batch.ts'
import type { LogEntry } from '../../core/events.ts'
import { INTERRUPTED } from '../../core/interrupt.ts'
import type { EngineCounts, KindCounts } from '../../metrics/engine-counts.ts'
import type { CommitGroup, Store } from '../../store/store.ts'
import type { EndOnRecord } from './ahead.ts'
import type { LiveBatch } from './live-batch.ts'

/** The code of a job that succeeded: it has none. */
const NO_CODE = 'none'

/** Count what a turn has logged. @param end - Of the attempt whose end the turn was about, if the entry is its job's. */
export function count(counts: EngineCounts, live: LiveBatch, entry: LogEntry, end: EndOnRecord | undefined): void {
  switch (entry.type) {
    case 'job.queued':
      // With an attempt it was cut off, and has been accepted before.
      if (entry.attempt === undefined) ofEachKind(counts, live, entry, accept)
      return
    case 'job.started':
      return started(kindOf(counts, live, entry.index), live, entry)
    case 'job.succeeded':
      return ended(counts, live, entry, 'succeeded', NO_CODE)
    case 'job.failed':
      return ended(counts, live, entry, 'failed', end?.type === 'threw' ? end.facts.code : INTERRUPTED.code)
    case 'job.timed_out':
      return ended(counts, live, entry, 'timed_out', entry.cause ?? NO_CODE)
    case 'job.cancelled':
      return ended(counts, live, entry, 'cancelled', entry.cause ?? NO_CODE)
    case 'batch.accepted':
      counts.policy(live.header.policy).accepted++
      return
    case 'batch.settled':
      return settled(counts, live, entry)
    default:
      return
  }
}

function accept(kind: KindCounts, jobs: number): void {
  kind.accepted += jobs
}

function started(kind: KindCounts, live: LiveBatch, { index, attempt, at }: LogEntry): void {
  kind.started++
  if (attempt === 1) kind.wait.observe(seconds(acceptedAt(live.core, index), at))
  else kind.repeated++
}

function ended(
  counts: EngineCounts,
  live: LiveBatch,
  entry: LogEntry,
  state: keyof KindCounts['ends'],
  code: string,
): void {
  if (entry.count > 1) return ofEachKind(counts, live, entry, (kind, jobs) => kind.ends[state].add(code, jobs))
  const kind = kindOf(counts, live, entry.index)
  kind.ends[state].add(code)
  const running = live.attempts.get(entry.index)
  if (running !== undefined) kind.duration.observe(seconds(running.startedAt, entry.at))
}

function settled(counts: EngineCounts, { header, core }: LiveBatch, { at, state = 'succeeded' }: LogEntry): void {
  const policy = counts.policy(header.policy)
  policy.settled.add(state)
  policy.duration.observe(seconds(core.accepted[0].at, at))
}

/** Never less than none: a batch that was taken up was accepted by another machine's clock, and a sum that falls is no counter. */
function seconds(from: number, to: number): number {
  return Math.max(0, to - from) / 1_000
}

function kindOf(counts: EngineCounts, { kinds }: LiveBatch, index: number): KindCounts {
  return counts.kinds[kinds.get(index)]
}

/** The jobs of an entry by their kinds: nearly always one. */
function ofEachKind(
  counts: EngineCounts,
  live: LiveBatch,
  { index, count: jobs }: LogEntry,
  add: (kind: KindCounts, jobs: number) => void,
): void {
  if (jobs === 1 || live.kinds.uniform) return add(kindOf(counts, live, index), jobs)
  for (let i = index; i < index + jobs; i++) add(kindOf(counts, live, i), 1)
}

/** A store whose commits are timed and whose deleted rows are counted. */
export function counted(store: Store, counts: EngineCounts, clock: Clock): Pick<Store, 'commit' | 'expire'> {
  return {
    async commit(group) {
      const since = clock.now()
      await store.commit(group)
      counts.commits.observe((clock.now() - since) / 1_000)
      counts.commitRows.observe(rowsOf(group))
    },
    async expire(step) {
      const rows = await store.expire(step)
      counts.rowsDeleted += rows
      return rows
    },
  }
}

function rowsOf({ batches, jobs, heads, records, logs }: CommitGroup): number {
  const specs = jobs.reduce((sum, each) => sum + each.specs.length, 0)
  const ends = records.reduce((sum, record) => sum + record.count, 0)
  return batches.length + specs + heads.length + ends + logs.length
}

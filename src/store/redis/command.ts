import { packEntries } from '../entries.ts'
import type { BatchHead, BatchNo, JobRecord, LogRows, NewBatch, NewJobs } from '../store.ts'
import type { Argument } from './script.ts'
import { packJob, packRecord, packState } from './values.ts'

/** What a commit group has of one batch. */
export interface BatchPart {
  no: BatchNo
  entry: NewBatch | null
  jobs: NewJobs[]
  head: BatchHead | null
  records: JobRecord[]
  logs: LogRows[]
}

/** Jobs in a row that are one record; fewer get one each. */
const RUN = 16

/** Jobs that a script takes along; more go ahead of it. */
export const INLINE_JOBS = 500

/** And characters of specs. */
export const INLINE_CHARS = 524_288

/** A job as it goes over the wire, by index. */
export type PackedJob = [index: number, text: string]

/** The jobs of a part, packed; `staged`: they are too many to go along with the commit. */
export interface PackedJobs {
  jobs: NewJobs
  packed: PackedJob[]
  chars: number
  staged: boolean
}

/** Pack jobs, once for staging and commit. */
export function packJobs(jobs: NewJobs): PackedJobs {
  const { from, kinds, names, specs } = jobs
  let chars = 0
  const packed = specs.map((spec, i): PackedJob => {
    const text = packJob(kinds[i], names[i], spec)
    chars += text.length
    return [from + i, text]
  })
  return { jobs, packed, chars, staged: specs.length > INLINE_JOBS || chars > INLINE_CHARS }
}

/** What the commit script is told of a batch, in the order in which it takes it. */
export function commandOf(part: BatchPart, packs: readonly PackedJobs[]): Argument[] {
  const { no, entry, head, logs } = part
  const { patches, runs, singles } = recordsOf(part.records)
  const rows = logs.filter(({ entries }) => entries.length > 0)
  const told = head === null ? '' : `${head.seq} ${head.state} ${head.drainedAt === null ? 0 : 1}`
  const counts = [packs.length, head === null ? 0 : 1, patches.length, runs.length, singles.size, rows.length]
  const command: Argument[] = [no, entry === null ? 0 : 1, ...counts, told]
  if (entry !== null) pushEntry(command, entry)
  for (const pack of packs) pushJobs(command, pack)
  if (head !== null) command.push(packState(head), head.facts, head.drainedAt ?? '')
  for (const [index, bytes] of patches) command.push(index, bytes)
  for (const run of runs) command.push(run)
  for (const [index, text] of singles) command.push(index, text)
  for (const { entries } of rows) {
    const last = entries[entries.length - 1]
    command.push(entries[0].seq, last.seq + last.count - 1, packEntries(entries))
  }
  return command
}

function pushEntry(command: Argument[], { id, acceptedAt, header, labels, idempotency }: NewBatch): void {
  const labelled = Object.keys(labels).length > 0 ? JSON.stringify(labels) : ''
  const { key = '', hash = '', answer = '' } = idempotency ?? {}
  command.push(id, acceptedAt, header, labelled, key, hash, answer)
}

function pushJobs(command: Argument[], { jobs, packed, staged }: PackedJobs): void {
  const named = jobs.names.flatMap((name, i): Argument[] => (name === null ? [] : [name, jobs.from + i]))
  const bytes = packed.reduce((sum, [, text]) => sum + 64 + Buffer.byteLength(text), 0)
  command.push(jobs.from, packed.length, named.length / 2, staged ? 0 : 1, bytes)
  for (const value of named) command.push(value)
  if (staged) return
  for (const [index, text] of packed) command.push(index, text)
}

/** Bytes of state from an index on. */
type Patch = [index: number, bytes: string]

/** Records as they are kept: `patches` of the state bytes, texts of runs, and texts of single jobs. */
function recordsOf(records: readonly JobRecord[]): {
  patches: Patch[]
  runs: string[]
  singles: Map<number, string>
} {
  const patches: Patch[] = []
  const runs: string[] = []
  const singles = new Map<number, string>()
  for (const record of records) {
    patchStates(patches, record)
    const text = packRecord(record)
    const end = record.index + record.count
    if (record.count >= RUN) {
      runs.push(`${record.index} ${end} ${text}`)
      // Records are replaced, and runs are written before single ones.
      for (const index of singles.keys()) if (index >= record.index && index < end) singles.delete(index)
    } else for (let index = record.index; index < end; index++) singles.set(index, text)
  }
  return { patches, runs, singles }
}

function patchStates(patches: Patch[], { index, count, state }: JobRecord): void {
  const last = patches.at(-1)
  const bytes = String.fromCharCode(state).repeat(count)
  if (last !== undefined && last[0] + last[1].length === index) last[1] += bytes
  else patches.push([index, bytes])
}

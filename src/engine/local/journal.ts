import type { LogEntry } from '../../core/events.ts'
import { factsOf, stateName } from '../../core/facts.ts'
import { OverloadedError } from '../../errors.ts'
import { lengthOf } from '../../json/raw.ts'
import { TenantsNotWrittenError } from '../../store/error.ts'
import { isCompletion } from '../../store/render.ts'
import type { CommitGroup, JobRecord, NewBatch, NewJobs, Store } from '../../store/store.ts'
import type { LiveBatch } from './live-batch.ts'
import { Pace } from './pace.ts'

/** What has changed of one batch since the last commit. */
interface Changes {
  entries: LogEntry[]
  /** Records of single jobs: of each only the newest matters. */
  records: Map<number, JobRecord>
  /** Records of runs of jobs that never started. */
  runs: JobRecord[]
  /** Of results and errors: they count for what the tenant keeps from the moment they are here. */
  bytes: number
  /** The batch's newest event when the group was written. */
  seq: number
}

/** A new batch: alone in a commit group it can be refused. */
interface Entry {
  live: LiveBatch
  batch: NewBatch
  jobs: NewJobs
  resolve(): void
  reject(error: Error): void
}

/** Everything that goes to disk together. */
interface Group {
  entries: Entry[]
  changes: Map<LiveBatch, Changes>
  jobs: NewJobs[]
  waiting: Waiting[]
  /** Somebody waits for it, or is likely to. */
  urgent: boolean
}

/** Whoever waits for a commit. */
interface Waiting {
  done(): void
  /** Absent: a commit that fails is waited for until it succeeds. */
  failed?(error: Error): void
}

/**
 * Gathers what changed while the last commit was under way, writes it as one transaction, and only then lets answers
 * and events out. A commit that fails refuses the new batches in it, whole, and is tried again with the rest until it
 * succeeds: what was accepted is never dropped.
 */
export class Journal {
  readonly #store: Pick<Store, 'commit'>
  readonly #onPublished: (live: LiveBatch, seq: number) => void
  readonly #retry: () => Promise<void>
  readonly #onFailure: (error: unknown) => void
  readonly #pace: Pace
  #group = newGroup()
  /** What is being written now. */
  #inFlight: Group | null = null
  /** The commit under way or about to be, null when idle. */
  #writing: Promise<void> | null = null
  #healthy = true
  #closed = false

  /**
   * @param options.onPublished - After each commit, for each batch that changed, with its newest event in it.
   * @param options.retry - Resolves when a failed commit is to be tried again.
   * @param options.pace - Default: one of its own, in real time.
   */
  constructor(options: {
    store: Pick<Store, 'commit'>
    onPublished: (live: LiveBatch, seq: number) => void
    onFailure: (error: unknown) => void
    retry: () => Promise<void>
    pace?: Pace
  }) {
    this.#pace = options.pace ?? new Pace()
    this.#store = options.store
    this.#onPublished = options.onPublished
    this.#onFailure = options.onFailure
    this.#retry = options.retry
  }

  /** False while the store refuses to write. */
  get healthy(): boolean {
    return this.#healthy
  }

  /** Try no failed commit again. May be called twice. */
  close(): void {
    this.#closed = true
    this.#hurry()
  }

  /** Write a new batch with its jobs and what is already logged of it. @throws {OverloadedError} nothing of it was written. */
  enter(live: LiveBatch, batch: NewBatch, jobs: NewJobs): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#group.entries.push({ live, batch, jobs, resolve, reject })
      this.#hurry()
      this.#wake()
    })
  }

  /** Add jobs to a batch, or replace the specs of some. */
  addJobs(jobs: NewJobs): void {
    this.#group.jobs.push(jobs)
    this.#wake()
  }

  log(live: LiveBatch, entry: LogEntry): void {
    this.#changesOf(live).entries.push(entry)
    if (isAwaited(live, entry)) this.#hurry()
  }

  record(live: LiveBatch, record: JobRecord): void {
    const changes = this.#changesOf(live)
    const bytes = bytesOf(record)
    changes.bytes += bytes
    live.tenant.entering += bytes
    if (record.count === 1) changes.records.set(record.index, record)
    else changes.runs.push(record)
  }

  /** The batch's own state changed, without an event. */
  touch(live: LiveBatch): void {
    this.#changesOf(live)
  }

  /** Resolves when everything up to now is on disk. */
  committed(): Promise<void> {
    return this.#join((done) => ({ done }))
  }

  /**
   * As `committed`, but not for longer than the store writes.
   * @throws {OverloadedError} What was changed has its effect, and will be written; a crash before that would undo it.
   */
  recorded(): Promise<void> {
    if (!this.#healthy) return Promise.reject(unrecorded())
    return this.#join((done, failed) => ({ done, failed }))
  }

  /** Wait for the newest change that is not on disk, and have it written soon. */
  #join(waiting: (done: () => void, failed: (error: Error) => void) => Waiting): Promise<void> {
    const group = this.#newest
    if (group === null) return Promise.resolve()
    if (group === this.#group) this.#hurry()
    return new Promise((done, failed) => group.waiting.push(waiting(done, failed)))
  }

  /** The group with the newest change that is not on disk. */
  get #newest(): Group | null {
    return isEmpty(this.#group) ? this.#inFlight : this.#group
  }

  #changesOf(live: LiveBatch): Changes {
    let changes = this.#group.changes.get(live)
    if (changes === undefined) {
      changes = { entries: [], records: new Map(), runs: [], bytes: 0, seq: 0 }
      this.#group.changes.set(live, changes)
      this.#wake()
    }
    return changes
  }

  /** Not at once: what the same turn of the event loop changes as well goes along. */
  #wake(): void {
    this.#writing ??= new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#writeInTurn())
  }

  /** The group that is gathered now is not to wait for more. */
  #hurry(): void {
    this.#group.urgent = true
    this.#pace.hurry()
  }

  async #writeInTurn(): Promise<void> {
    const turn = this.#group.urgent ? null : this.#pace.turn()
    if (turn !== null) await turn
    await this.#writeAll()
  }

  /** Write group after group until nothing is left to write. `#writing` is the newest group's. */
  async #writeAll(): Promise<void> {
    const group = this.#group
    this.#group = newGroup()
    this.#inFlight = group
    this.#pace.begins(recordsOf(group))
    await this.#write(group)
    this.#inFlight = null
    this.#writing = null
    if (!isEmpty(this.#group)) this.#wakeNow()
    for (const { done } of group.waiting) done()
    for (const [live, { seq, bytes }] of group.changes) {
      live.tenant.entering -= bytes
      this.#onPublished(live, seq)
    }
  }

  #wakeNow(): void {
    this.#writing = this.#writeInTurn()
  }

  async #write(group: Group): Promise<void> {
    const commit = withoutMoved(toCommit(group), group)
    try {
      await this.#store.commit(commit)
      for (const entry of group.entries) entry.resolve()
    } catch (error) {
      const rest = without(commit, this.#settle(group, error))
      // With new batches alone nothing is left to write, and the next one finds out whether the store writes again.
      if (rest.heads.length + rest.jobs.length > 0) await this.#writeRest(group, rest)
    }
    this.#healthy = true
  }

  /**
   * A commit has failed: its new batches are refused, and as long as it does not write, all others.
   * Where it failed for some tenants alone, nobody else hears of it. Returns the batches of which nothing is left to write.
   */
  #settle(group: Group, error: unknown): Set<number> {
    this.#onFailure(error)
    const some = error instanceof TenantsNotWrittenError ? error.tenantIds : null
    const isWritten = ({ tenant }: LiveBatch) => some !== null && !some.has(tenant.id)
    const done = new Set<number>()
    for (const live of group.changes.keys()) if (isWritten(live)) done.add(live.no)
    for (const entry of group.entries) {
      done.add(entry.batch.no)
      if (isWritten(entry.live)) entry.resolve()
      else refuse(group, entry, error)
    }
    if (some === null) this.#shut(group, error)
    return done
  }

  /** The store refuses to write: the new batches that came meanwhile are refused, they would wait until there is room. */
  #shut(group: Group, error: unknown): void {
    this.#healthy = false
    for (const entry of this.#group.entries) refuse(this.#group, entry, error)
    this.#group.entries = []
    for (const { failed } of [...group.waiting, ...this.#group.waiting]) failed?.(unrecorded(error))
  }

  async #writeRest(group: Group, commit: CommitGroup): Promise<void> {
    for (;;) {
      await this.#retry()
      // Whoever still waits for it is gone with the process; a restart finds the record as it is.
      if (this.#closed) return
      const rest = withoutMoved(commit, group)
      if (rest.heads.length + rest.jobs.length === 0) return
      try {
        return await this.#store.commit(rest)
      } catch (error) {
        this.#onFailure(error)
        if (this.#healthy) this.#shut(group, error)
      }
    }
  }
}

/** Whether somebody may be waiting for this to be shown: for the end of a batch, or of any job of one that is watched. */
function isAwaited(live: LiveBatch, { type }: LogEntry): boolean {
  if (type === 'batch.settled' || type === 'batch.drained') return true
  return live.isWatched && isCompletion(type)
}

function refuse({ changes }: Group, { live, reject }: Entry, cause: unknown): void {
  changes.delete(live)
  reject(new OverloadedError('The store cannot write now; nothing was accepted.', 5, { cause }))
}

function unrecorded(cause?: unknown): OverloadedError {
  const detail = 'It is done, but the store cannot write it down now: a crash would undo it. Say it again to be sure.'
  return new OverloadedError(detail, 5, { cause })
}

/** Of a text outside ASCII less than it takes on disk: what it has there is counted when it is written. */
function bytesOf({ result, error }: JobRecord): number {
  return lengthOf(result) + lengthOf(error)
}

function newGroup(): Group {
  return { entries: [], changes: new Map(), jobs: [], waiting: [], urgent: false }
}

function recordsOf({ changes }: Group): number {
  let records = 0
  for (const { records: single, runs } of changes.values()) records += single.size + runs.length
  return records
}

function isEmpty(group: Group): boolean {
  return group.entries.length === 0 && group.changes.size === 0 && group.jobs.length === 0 && group.waiting.length === 0
}

function toCommit(group: Group): CommitGroup {
  const commit: CommitGroup = { batches: [], jobs: [...group.jobs], heads: [], records: [], logs: [] }
  for (const { batch, jobs } of group.entries) {
    commit.batches.push(batch)
    commit.jobs.push(jobs)
  }
  for (const [live, changes] of group.changes) {
    const head = headOf(live)
    changes.seq = head.seq
    commit.heads.push(head)
    commit.logs.push({ no: live.no, entries: changes.entries })
    for (const run of changes.runs) commit.records.push(run)
    for (const record of changes.records.values()) commit.records.push(record)
  }
  return commit
}

/** What another engine goes on with from the record is not written: this one may be that engine, by a new right. */
function withoutMoved(commit: CommitGroup, { entries, changes }: Group): CommitGroup {
  const lives = [...changes.keys(), ...entries.map(({ live }) => live)]
  const moved = lives.filter(({ tenant }) => tenant.moved === 'lost')
  return moved.length === 0 ? commit : without(commit, new Set(moved.map(({ no }) => no)))
}

function without(commit: CommitGroup, dropped: ReadonlySet<number>): CommitGroup {
  const stays = ({ no }: { no: number }) => !dropped.has(no)
  return {
    batches: commit.batches.filter(stays),
    jobs: commit.jobs.filter(stays),
    heads: commit.heads.filter(stays),
    records: commit.records.filter(stays),
    logs: commit.logs.filter(stays),
  }
}

function headOf(live: LiveBatch): CommitGroup['heads'][number] {
  const facts = factsOf(live.core)
  const { seq, settledAt, drainedAt } = live.core
  return { no: live.no, state: stateName(facts), seq, settledAt, drainedAt, facts: JSON.stringify(facts) }
}

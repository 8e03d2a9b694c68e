import { type JobPlan, newBatch } from '../../core/batch.ts'
import type { Effect } from '../../core/events.ts'
import { canAppend, step } from '../../core/step.ts'
import {
  BatchFinishedError,
  BatchShuttingDownError,
  type FieldError,
  IdempotencyConflictError,
  IdempotencyMismatchError,
  InvalidArgumentError,
  OverloadedError,
} from '../../errors.ts'
import { newBatchId } from '../../ids.ts'
import type { CommonSpec } from '../../jobs/kind.ts'
import type { Vault } from '../../secrets/vault.ts'
import type { NewBatch, NewJobs, Store } from '../../store/store.ts'
import type { BatchSubmission, BatchView, Hold, Idempotency, SubmitOptions } from '../engine.ts'
import { headerOf, liveView } from '../views.ts'
import { closedError } from './admission.ts'
import type { Hosts } from './hosts.ts'
import type { LiveBatch } from './live-batch.ts'
import type { LiveBatches } from './live-batches.ts'
import { OnceOnly } from './once-only.ts'
import type { Runtime } from './runtime.ts'
import type { Tenant } from './tenants.ts'

/** To append again what was appended would double it, so nobody does it unasked. */
const APPEND_UNKNOWN = 'The batch moved to another replica meanwhile: look at it before you append the jobs again.'

/** How work enters: all jobs of a batch or none, on disk before anything of it runs. */
export class Intake {
  readonly #runtime: Runtime
  readonly #store: Store
  readonly #hosts: Hosts
  readonly #batches: LiveBatches
  readonly #vault: Vault
  /** Idempotency keys whose first answer is being made, as `tenant key`. */
  readonly #answering = new Set<string>()
  readonly #onceOnly = new OnceOnly()

  constructor(options: {
    runtime: Runtime
    store: Store
    hosts: Hosts
    batches: LiveBatches
    vault: Vault
  }) {
    this.#batches = options.batches
    this.#vault = options.vault
    this.#runtime = options.runtime
    this.#store = options.store
    this.#hosts = options.hosts
  }

  /** The first answer of an Idempotency-Key; null when it was not used. @throws {IdempotencyMismatchError} */
  async first(tenantId: string, { key, hash }: Idempotency): Promise<BatchView | null> {
    const first = await this.#store.idempotent(tenantId, key)
    if (first === null) return null
    if (!this.#vault.isFingerprint(first.hash, hash)) throw new IdempotencyMismatchError()
    // Kept by `submit`, from a view.
    return JSON.parse(first.answer) as BatchView
  }

  /** As `first`, unless that answer is being made now. @throws {IdempotencyConflictError} {IdempotencyMismatchError} */
  async made(tenantId: string, idempotency: Idempotency): Promise<BatchView | null> {
    const entry = `${tenantId} ${idempotency.key}`
    // What is read while it is being made may be refused by the time it is answered.
    if (this.#answering.has(entry)) throw new IdempotencyConflictError()
    const first = await this.first(tenantId, idempotency)
    if (this.#answering.has(entry)) throw new IdempotencyConflictError()
    return first
  }

  /**
   * Answer a request with an Idempotency-Key: as the first time when there was one, else with `submit`.
   * @throws {IdempotencyConflictError} {IdempotencyMismatchError}
   */
  async once(tenantId: string, idempotency: Idempotency, submit: () => Promise<BatchView>): Promise<BatchView> {
    const entry = `${tenantId} ${idempotency.key}`
    if (this.#answering.has(entry)) throw new IdempotencyConflictError()
    this.#answering.add(entry)
    try {
      return (await this.first(tenantId, idempotency)) ?? (await submit())
    } finally {
      this.#answering.delete(entry)
    }
  }

  /**
   * @throws {BatchTooLargeError} {QueueFullError} {BatchesFullError} {StorageFullError} {OverloadedError} {TenantMovedError} nothing was
   *   accepted.
   */
  async submit(tenant: Tenant, submission: BatchSubmission, options: SubmitOptions = {}): Promise<BatchView> {
    const { id = newBatchId(), hold } = options
    const submit = (hold: Hold | undefined) => this.#submit(tenant, submission, { ...options, id, hold })
    return options.id === undefined ? await submit(hold) : await this.#onceOnly.run(id, hold, submit)
  }

  /** Resolves when no submission under the id is under way, nor will be: one that waits for room is refused, and so is a late one. */
  async close(id: string): Promise<void> {
    await this.#onceOnly.close(id)
  }

  async #submit(
    tenant: Tenant,
    submission: BatchSubmission,
    { id, idempotency, hold }: SubmitOptions & { id: string },
  ): Promise<BatchView> {
    const header = headerOf(submission)
    const text = JSON.stringify(header)
    const want = { count: submission.jobs.length, headerChars: text.length, hold }
    const release = await this.#runtime.admission.enter(tenant, want)
    try {
      // It may have been deleted, or moved, while it waited for room.
      if (tenant.closed) throw closedError(tenant)
      const core = newBatch(submission)
      const no = this.#store.nextBatchNo()
      const live = this.#batches.make({ id, no, tenant, header, headerChars: text.length, core })
      const effects = this.#accept(live, submission)
      const view = liveView(live.id, live.header, live.core)
      await this.#write(live, text, submission.jobs, idempotency && this.#answered(idempotency, view))
      this.#runtime.enter(live, effects)
      return view
    } finally {
      release()
    }
  }

  /** Add jobs to a batch; resolves with the index of the first once they are on disk. Appends of a batch go one by one. */
  async append(live: LiveBatch, jobs: CommonSpec[]): Promise<number> {
    // Those ahead may have to wait for the disk; nobody else has to.
    this.#runtime.admission.assertWritable()
    return await live.serially(() => this.#append(live, jobs))
  }

  async #append(live: LiveBatch, jobs: CommonSpec[]): Promise<number> {
    refuseLate(live)
    await this.#refuseTakenNames(live, jobs)
    refuseLate(live)
    const from = live.core.total
    const release = this.#runtime.admission.reserve(live.tenant, jobs.length, from)
    this.#queue(live, from, jobs)
    const entering = newJobs(live, from, jobs)
    this.#runtime.journal.addJobs(entering)
    this.#runtime.apply(live, { type: 'accepted', jobs: jobs.map(planOf), uncommitted: true })
    release()
    // However long the disk takes nothing: an error would say that they are not there, and they would be sent again.
    await written(live.tenant, entering.specs, this.#runtime.journal.committed())
    if (live.tenant.moved === 'lost') throw new OverloadedError(APPEND_UNKNOWN, 5)
    this.#runtime.apply(live, { type: 'committed', from, to: from + jobs.length })
    return from
  }

  /** The digest of a body is kept as a fingerprint: it would do to guess a short secret in the body. */
  #answered({ key, hash }: Idempotency, view: BatchView): NewBatch['idempotency'] {
    return { key, hash: this.#vault.fingerprint(hash), answer: JSON.stringify(view) }
  }

  /** The acceptance turn. The tenant's counts follow when the batch enters, after the commit. */
  #accept(live: LiveBatch, submission: BatchSubmission): Effect[] {
    this.#queue(live, 0, submission.jobs)
    const jobs = submission.jobs.map(planOf)
    const effects = step(live.core, { type: 'accepted', jobs }, this.#runtime.clock.now())
    this.#runtime.log(live, effects)
    return effects
  }

  /** What the fair queue must know of the jobs before they are accepted. */
  #queue(live: LiveBatch, from: number, jobs: CommonSpec[]): void {
    live.orders.push({ from, order: this.#runtime.fair.nextOrder() })
    const { counts } = this.#runtime
    for (const job of jobs) {
      live.queue.priorities.extend(1, job.priority ?? 0)
      live.kinds.extend(1, counts.kindNo(job.kind))
    }
    this.#hosts.assign(live.queue, from, jobs)
  }

  async #write(
    live: LiveBatch,
    header: string,
    jobs: CommonSpec[],
    idempotency?: NewBatch['idempotency'],
  ): Promise<void> {
    const { id, no, tenant, core } = live
    const acceptedAt = core.accepted[0].at
    const batch = {
      no,
      id,
      tenantId: tenant.id,
      labels: live.header.labels,
      header,
      acceptedAt,
      idempotency,
    }
    const entering = newJobs(live, 0, jobs)
    live.specs.keep(jobs, entering.specs)
    try {
      await written(tenant, [header, ...entering.specs], this.#runtime.journal.enter(live, batch, entering))
    } catch (error) {
      live.close()
      this.#hosts.release(live.queue)
      throw error
    }
  }

  async #refuseTakenNames(live: LiveBatch, jobs: CommonSpec[]): Promise<void> {
    const names = jobs.map((job, i) => job.name ?? `job-${live.core.total + i}`)
    const taken = new Set(await this.#store.namesTaken(live.no, names))
    const errors: FieldError[] = []
    names.forEach((name, i) => {
      if (taken.has(name))
        errors.push({ pointer: `/jobs/${i}/name`, detail: `A job of this batch is named "${name}" already.` })
    })
    if (errors.length > 0) throw new InvalidArgumentError(errors)
  }
}

function refuseLate(live: LiveBatch): void {
  const may = canAppend(live.core)
  if (may === 'shutting_down') throw new BatchShuttingDownError()
  if (may === 'finished') throw new BatchFinishedError()
}

/** As `writing`; until it settles, the texts count for what their tenant keeps. */
async function written(tenant: Tenant, texts: readonly string[], writing: Promise<void>): Promise<void> {
  const bytes = texts.reduce((sum, text) => sum + text.length, 0)
  tenant.entering += bytes
  await writing.finally(() => {
    tenant.entering -= bytes
  })
}

function planOf(job: CommonSpec): JobPlan {
  return job
}

function newJobs(live: LiveBatch, from: number, jobs: CommonSpec[]): NewJobs {
  return {
    no: live.no,
    from,
    kinds: jobs.map(({ kind }) => kind),
    names: jobs.map(({ name }) => name ?? null),
    specs: live.specs.write(jobs),
  }
}

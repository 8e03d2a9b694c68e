import { type Batch, Flag, isReady, newBatch } from '../../core/batch.ts'
import { Job } from '../../core/states.ts'
import { step } from '../../core/step.ts'
import type { BatchSubmission, WaitingOn } from '../engine.ts'
import type { Hosts } from './hosts.ts'
import type { TenantQueue } from './queues.ts'

/** What a batch would meet. */
export interface Surroundings {
  tenant: TenantQueue
  hosts: Hosts
  /** Slots of the server that nobody has. */
  freeSlots: number
  now: number
}

/**
 * What would hold back each job of a batch that were accepted now, in input order; null: it would start at once, or end without
 * a start. As the fair queue would say it when all has started that can: it is at rest, so nobody who waits is in the way of these.
 * Changes nothing; O(jobs), and a sort when their priorities differ.
 */
export function forecast(submission: BatchSubmission, around: Surroundings): (WaitingOn | null)[] {
  // A batch that nobody else sees: the core says which of its jobs could start.
  const core = newBatch(submission)
  step(core, { type: 'accepted', jobs: submission.jobs }, around.now)
  const room = new Room(submission, around)
  const started = new Set(startOrder(submission, core).filter((index) => room.take(index)))
  return submission.jobs.map((_, index) =>
    core.states[index] !== Job.queued || started.has(index) ? null : waitingOn(core, index, room),
  )
}

/** The jobs that may start, as they would: higher priority first, then input order. */
function startOrder({ jobs }: BatchSubmission, core: Batch): number[] {
  const ready = [...jobs.keys()].filter((index) => isReady(core, index))
  const priorityOf = (index: number) => jobs[index].priority ?? 0
  return ready.sort((a, b) => priorityOf(b) - priorityOf(a))
}

function waitingOn(core: Batch, index: number, room: Room): WaitingOn {
  return (core.flags[index] & (Flag.delayed | Flag.hedged)) !== 0 ? 'delay' : (room.obstacle(index) ?? 'server-cap')
}

/** The places that are left, less those that jobs of the batch have taken. */
class Room {
  readonly #isPaused: boolean
  readonly #hosts: Hosts
  readonly #keys: readonly (string | undefined)[]
  readonly #leftAt = new Map<string, number>()
  #tenant: number
  #starts: number
  #batch: number
  #server: number

  constructor({ jobs, maxConcurrency }: BatchSubmission, { tenant, hosts, freeSlots }: Surroundings) {
    this.#isPaused = tenant.paused
    this.#hosts = hosts
    this.#keys = hosts.capped ? jobs.map((job) => hosts.keyOf(job)) : []
    this.#tenant = tenant.cap - tenant.running
    this.#starts = tenant.rate?.left ?? Number.POSITIVE_INFINITY
    this.#batch = maxConcurrency ?? Number.POSITIVE_INFINITY
    this.#server = freeSlots
  }

  /** Why a job cannot start now, in the order of the fair queue's `waitingOn`; null: it can. */
  obstacle(index: number): WaitingOn | null {
    if (this.#isPaused) return 'paused'
    if (this.#tenant <= 0) return 'tenant-cap'
    if (this.#starts < 1) return 'rate'
    if (this.#batch <= 0) return 'batch-limit'
    if (this.#hostLeft(this.#keys[index]) <= 0) return 'host-cap'
    return this.#server <= 0 ? 'server-cap' : null
  }

  /** Let a job start, if it can. */
  take(index: number): boolean {
    if (this.obstacle(index) !== null) return false
    const key = this.#keys[index]
    if (key !== undefined) this.#leftAt.set(key, this.#hostLeft(key) - 1)
    this.#tenant--
    this.#starts--
    this.#batch--
    this.#server--
    return true
  }

  #hostLeft(key: string | undefined): number {
    return key === undefined ? Number.POSITIVE_INFINITY : (this.#leftAt.get(key) ?? this.#hosts.leftAt(key))
  }
}

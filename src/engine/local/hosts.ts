import type { CommonSpec, JobKind } from '../../jobs/kind.ts'
import type { BatchQueue, HostQueue } from './queues.ts'

/** The target hosts that queued and running jobs have, while hosts have a cap. */
export class Hosts {
  readonly #cap: number
  readonly #kinds: ReadonlyMap<string, JobKind>
  readonly #hosts = new Map<string, { host: HostQueue; batches: Set<BatchQueue> }>()

  /** `cap`: jobs at once for one host, over all tenants; 0: no cap, and then nothing is kept here. */
  constructor(options: { cap: number; kinds: ReadonlyMap<string, JobKind> }) {
    this.#cap = options.cap
    this.#kinds = options.kinds
  }

  /** Whether hosts have a cap at all. */
  get capped(): boolean {
    return this.#cap > 0
  }

  /** Hosts known. */
  get size(): number {
    return this.#hosts.size
  }

  /** The target host of a job, if its kind has one. */
  keyOf(job: CommonSpec): string | undefined {
    return this.#kinds.get(job.kind)?.hostOf?.(job)
  }

  /** Jobs that may start at a host now, as far as its cap goes. */
  leftAt(key: string): number {
    return this.#cap - (this.#hosts.get(key)?.host.running ?? 0)
  }

  /** Note the target host of each job. */
  assign(queue: BatchQueue, from: number, jobs: readonly CommonSpec[]): void {
    if (this.#cap === 0) return
    jobs.forEach((job, i) => {
      const key = this.keyOf(job)
      queue.hosts[from + i] = key === undefined ? null : this.#get(key, queue)
    })
  }

  /** The batch is over: hosts that no batch uses any more are forgotten. */
  release(queue: BatchQueue): void {
    for (const host of new Set(queue.hosts)) {
      const entry = host === null ? undefined : this.#hosts.get(host.key)
      entry?.batches.delete(queue)
      if (entry?.batches.size === 0) this.#hosts.delete(entry.host.key)
    }
  }

  #get(key: string, queue: BatchQueue): HostQueue {
    let entry = this.#hosts.get(key)
    if (entry === undefined) {
      entry = { host: { key, cap: this.#cap, running: 0, parked: new Map() }, batches: new Set() }
      this.#hosts.set(key, entry)
    }
    entry.batches.add(queue)
    return entry.host
  }
}

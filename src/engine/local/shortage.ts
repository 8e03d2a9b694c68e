import type { BatchQueue, HostQueue, TenantQueue } from './queues.ts'

/**
 * How many jobs more slots of the server would let start at once. Of those that wait for nothing but a slot, a tenant's cap, a
 * batch's `maxConcurrency` and the cap of a host let only so many run, however many slots there are.
 */
export class Shortage {
  /** What each of them still has room for. */
  readonly #room = new Map<TenantQueue | BatchQueue | HostQueue, number>()
  #jobs = 0

  /** So many jobs of a batch wait for a slot of the server and nothing else. @param host - Null: theirs has no cap. */
  wait(batch: BatchQueue, host: HostQueue | null, jobs: number): void {
    const holders = host === null ? [batch.tenant, batch] : [batch.tenant, batch, host]
    const fit = Math.max(0, Math.min(jobs, ...holders.map((holder) => this.#roomOf(holder))))
    for (const holder of holders) this.#room.set(holder, this.#roomOf(holder) - fit)
    this.#jobs += fit
  }

  get jobs(): number {
    return this.#jobs
  }

  #roomOf(holder: TenantQueue | BatchQueue | HostQueue): number {
    return this.#room.get(holder) ?? ('max' in holder ? holder.max : holder.cap) - holder.running
  }
}

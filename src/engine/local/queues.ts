import type { Batch } from '../../core/batch.ts'
import { Column } from '../../core/column.ts'
import { Heap } from './heap.ts'
import { type Lane, startsBefore } from './lane.ts'
import type { StartRate } from './rate.ts'

/** What the fair queue knows of a tenant. */
export interface TenantQueue {
  readonly id: string
  cap: number
  weight: number
  paused: boolean
  /** How fast its jobs may start; null: as fast as they can. */
  rate: StartRate | null
  /** Slots held: running and cancelling jobs. */
  running: number
  /** Starts left in this turn of the round. */
  credit: number
  readonly ready: Heap<Lane>
  /** Hosts at their cap that lanes of this tenant wait for. */
  readonly parkedAt: Set<HostQueue>
  /** Hosts that woke a lane of this tenant which has not started yet. */
  readonly wokenBy: Set<HostQueue>
}

/** What the fair queue knows of a batch. */
export interface BatchQueue {
  readonly tenant: TenantQueue
  readonly core: Batch
  /** `maxConcurrency`; Infinity: no limit of its own. */
  readonly max: number
  running: number
  readonly priorities: Column
  /** The target host of each job, by index; empty while hosts have no cap. */
  readonly hosts: (HostQueue | null)[]
  /** All its lanes, wherever they wait. */
  readonly lanes: Set<Lane>
  /** Lanes that wait for a job of this batch to end. */
  readonly parked: Heap<Lane>
}

/** What the fair queue knows of a target host. */
export interface HostQueue {
  readonly key: string
  readonly cap: number
  running: number
  /** Lanes that wait for a slot at this host, by tenant, the tenant whose turn it is first. */
  readonly parked: Map<TenantQueue, Heap<Lane>>
}

export function newTenantQueue(id: string, options: { cap: number; weight: number; paused: boolean }): TenantQueue {
  const lanes = new Heap<Lane>(startsBefore)
  const hosts = { parkedAt: new Set<HostQueue>(), wokenBy: new Set<HostQueue>() }
  return { id, ...options, rate: null, running: 0, credit: options.weight, ready: lanes, ...hosts }
}

export function newBatchQueue(tenant: TenantQueue, core: Batch, maxConcurrency: number | null): BatchQueue {
  return {
    tenant,
    core,
    max: maxConcurrency ?? Number.POSITIVE_INFINITY,
    running: 0,
    priorities: new Column(),
    hosts: [],
    lanes: new Set(),
    parked: new Heap<Lane>(startsBefore),
  }
}

/** Below its cap, within its rate and not paused. */
export function isAble(tenant: TenantQueue): boolean {
  return !tenant.paused && tenant.running < tenant.cap && (tenant.rate === null || tenant.rate.open)
}

export function hasRoom(holder: BatchQueue | HostQueue): boolean {
  return holder.running < ('max' in holder ? holder.max : holder.cap)
}

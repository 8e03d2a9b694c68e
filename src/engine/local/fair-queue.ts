import { Flag, isReady } from '../../core/batch.ts'
import { Heap } from './heap.ts'
import { Lane, startsBefore } from './lane.ts'
import { type BatchQueue, type HostQueue, hasRoom, isAble, type TenantQueue } from './queues.ts'

/** A job whose turn it is. */
export interface Grant {
  batch: BatchQueue
  index: number
}

/** What a queued job waits for. */
export type WaitingOn = 'delay' | 'paused' | 'tenant-cap' | 'rate' | 'batch-limit' | 'host-cap' | 'server-cap'

/**
 * Who is next: first accepted first within a tenant and priority, weighted round robin over tenants, and only jobs that
 * may start now. A lane whose batch or host is full is parked there and examined again when a slot comes back, so a job
 * held back holds nothing and blocks nobody. Choice, entry and return of a slot are O(log n) in lanes, not in jobs.
 */
export class FairQueue {
  /** Tenants that may have a job to start, the one whose turn it is first. A Set keeps insertion order. */
  readonly #round = new Set<TenantQueue>()
  #order = 0

  /** A new place in the order of acceptance. */
  nextOrder(): number {
    return ++this.#order
  }

  /** The jobs from `from` up to but not including `to`, accepted as `order`, may start. */
  enqueue(batch: BatchQueue, from: number, to: number, order: number): void {
    for (const lane of lanesOf(batch, from, to, order)) this.#enter(lane)
    this.#activate(batch.tenant)
  }

  /** The job was running when the service stopped: it goes before everything that is only queued. */
  resume(batch: BatchQueue, index: number): void {
    const priority = batch.priorities.get(index)
    const host = batch.hosts[index] ?? null
    this.#enter(new Lane({ batch, priority, host, order: 0, resumed: true, from: index, to: index + 1 }))
    this.#activate(batch.tenant)
  }

  /** A queued job got another priority, set in `priorities` before: it keeps its place in the order of acceptance. */
  requeue(batch: BatchQueue, index: number, order: number): void {
    if (isReady(batch.core, index)) this.enqueue(batch, index, index + 1, order)
  }

  /** The job that would start now, or null. Does not take it. */
  next(): Grant | null {
    for (const tenant of this.#round) {
      const lane = this.#eligible(tenant)
      if (lane !== null) return { batch: lane.batch, index: lane.peek() }
      this.#round.delete(tenant)
    }
    return null
  }

  /** Take the job that `next` gives, and count it against its tenant, batch and host. */
  take(): Grant | null {
    const grant = this.next()
    const lane = grant?.batch.tenant.ready.peek()
    if (grant === null || lane === undefined) return null
    lane.advance()
    grant.batch.tenant.ready.update(lane)
    this.#count(grant.batch, lane.host, 1)
    this.#passOn(grant.batch.tenant, lane.host)
    this.#spend(grant.batch.tenant)
    return grant
  }

  /** A started job has really stopped: its slot may be handed on. */
  release(batch: BatchQueue, index: number): void {
    const host = batch.hosts[index] ?? null
    this.#count(batch, host, -1)
    this.#wakeBatch(batch)
    if (host !== null) this.#wakeHost(host)
    this.refresh(batch.tenant)
  }

  /** The tenant's cap, weight, rate or pause changed, or it has a free slot or a start again. */
  refresh(tenant: TenantQueue): void {
    if (!isAble(tenant)) return this.#handOn(tenant)
    for (const host of tenant.parkedAt) this.#wakeHost(host)
    this.#activate(tenant)
  }

  /** Why a queued job has not started: of several reasons the first, the tenant's own before those that it shares. */
  waitingOn(batch: BatchQueue, index: number): WaitingOn {
    const { tenant } = batch
    const host = batch.hosts[index] ?? null
    if ((batch.core.flags[index] & (Flag.delayed | Flag.hedged)) !== 0) return 'delay'
    if (tenant.paused) return 'paused'
    if (tenant.running >= tenant.cap) return 'tenant-cap'
    if (tenant.rate?.open === false) return 'rate'
    if (!hasRoom(batch)) return 'batch-limit'
    return host !== null && !hasRoom(host) ? 'host-cap' : 'server-cap'
  }

  /** The batch is over: nothing of it waits anywhere any more. */
  forget(batch: BatchQueue): void {
    for (const lane of batch.lanes) {
      batch.tenant.ready.remove(lane)
      const parked = lane.host?.parked.get(batch.tenant)
      parked?.remove(lane)
      if (lane.host !== null && parked?.size === 0) forget(batch.tenant, lane.host)
    }
    batch.lanes.clear()
  }

  #enter(lane: Lane): void {
    lane.batch.lanes.add(lane)
    lane.batch.tenant.ready.push(lane)
  }

  #activate(tenant: TenantQueue): void {
    if (isAble(tenant) && tenant.ready.size > 0) this.#round.add(tenant)
  }

  #count(batch: BatchQueue, host: HostQueue | null, by: 1 | -1): void {
    batch.running += by
    batch.tenant.running += by
    if (host === null) return
    host.running += by
    if (!hasRoom(host) || host.parked.size === 0) batch.tenant.wokenBy.delete(host)
  }

  /** One start of the tenant's turn is used; after `weight` of them it is the next tenant's. */
  #spend(tenant: TenantQueue): void {
    tenant.rate?.spend()
    tenant.credit--
    if (tenant.credit <= 0) {
      tenant.credit = tenant.weight
      this.#round.delete(tenant)
      this.#activate(tenant)
    }
    if (!isAble(tenant)) this.#handOn(tenant)
  }

  /** The tenant cannot start more: hosts that have woken its lanes wake another tenant's instead. */
  #handOn(tenant: TenantQueue): void {
    this.#round.delete(tenant)
    this.#passOn(tenant, null)
  }

  /**
   * The tenant does not use the slots it was woken for, having started something else or being unable to: the next one
   * may, or a tenant with more urgent work of its own would keep a host idle for all others.
   */
  #passOn(tenant: TenantQueue, used: HostQueue | null): void {
    if (tenant.wokenBy.size === 0) return
    for (const host of [...tenant.wokenBy]) {
      if (host === used || !tenant.wokenBy.delete(host)) continue
      this.#wakeHost(host)
    }
  }

  /** The tenant's first lane whose job may start now; lanes in front of it that may not are moved to where they wait. */
  #eligible(tenant: TenantQueue): Lane | null {
    if (!isAble(tenant)) return null
    for (let lane = tenant.ready.peek(); lane !== undefined; lane = tenant.ready.peek()) {
      const { head } = lane
      if (lane.peek() >= 0 && lane.head !== head) {
        tenant.ready.update(lane)
        while (this.#recall(lane));
        continue
      }
      if (lane.peek() >= 0 && hasRoom(lane.batch) && (lane.host === null || hasRoom(lane.host))) {
        if (this.#recall(lane)) continue
        return lane
      }
      tenant.ready.remove(lane)
      this.#park(lane)
      this.#wakeBatch(lane.batch)
      if (lane.host !== null) this.#wakeHost(lane.host)
    }
    return null
  }

  /**
   * Bring back a lane that is still parked at the batch or the host, if that has room again and the parked lane starts
   * before `lane`: a slot wakes one lane only, and what that one was woken for may have been cancelled. No barging.
   */
  #recall(lane: Lane): boolean {
    const { batch, host } = lane
    if (hasRoom(batch) && this.#recallFrom(batch.parked, lane)) return true
    const lanes = host?.parked.get(batch.tenant)
    if (host === null || lanes === undefined || !hasRoom(host)) return false
    const recalled = this.#recallFrom(lanes, lane)
    if (lanes.size === 0) forget(batch.tenant, host)
    return recalled
  }

  #recallFrom(lanes: Heap<Lane>, lane: Lane): boolean {
    const first = firstOf(lanes)
    if (first === undefined || !startsBefore(first, lane)) return false
    lanes.remove(first)
    this.#park(first)
    return true
  }

  /** Put a lane where it waits; one with no jobs left is dropped. True when it may start now and so went to its tenant. */
  #park(lane: Lane): boolean {
    if (lane.peek() < 0) {
      lane.batch.lanes.delete(lane)
      return false
    }
    if (!hasRoom(lane.batch)) lane.batch.parked.push(lane)
    else if (lane.host !== null && !hasRoom(lane.host)) parkAtHost(lane, lane.host)
    else {
      lane.batch.tenant.ready.push(lane)
      return true
    }
    return false
  }

  #wakeBatch(batch: BatchQueue): void {
    while (hasRoom(batch)) {
      const lane = firstOf(batch.parked)
      if (lane === undefined) return
      batch.parked.remove(lane)
      if (this.#park(lane)) return this.#activate(batch.tenant)
    }
  }

  /** Give the host's free slot to the next tenant that could use it. */
  #wakeHost(host: HostQueue): void {
    for (const [tenant, lanes] of host.parked) {
      if (!hasRoom(host)) return
      if (isAble(tenant) && this.#wakeTenantAt(host, tenant, lanes)) return
    }
  }

  #wakeTenantAt(host: HostQueue, tenant: TenantQueue, lanes: Heap<Lane>): boolean {
    host.parked.delete(tenant)
    let woken = false
    for (let lane = firstOf(lanes); lane !== undefined && !woken; lane = firstOf(lanes)) {
      lanes.remove(lane)
      woken = this.#park(lane)
    }
    if (lanes.size > 0) host.parked.set(tenant, lanes)
    else forget(tenant, host)
    if (!woken) return false
    tenant.wokenBy.add(host)
    this.#activate(tenant)
    return true
  }
}

function parkAtHost(lane: Lane, host: HostQueue): void {
  const { tenant } = lane.batch
  const lanes = host.parked.get(tenant) ?? new Heap<Lane>(startsBefore)
  host.parked.set(tenant, lanes)
  tenant.parkedAt.add(host)
  lanes.push(lane)
}

/** The lane that starts first of those that wait; what was cancelled meanwhile may have changed which one that is. */
function firstOf(lanes: Heap<Lane>): Lane | undefined {
  for (let lane = lanes.peek(); lane !== undefined; lane = lanes.peek()) {
    const { head } = lane
    if (lane.peek() < 0) lanes.remove(lane)
    else if (lane.head === head) return lane
    else lanes.update(lane)
  }
  return undefined
}

/** No lane of the tenant waits at the host any more. */
function forget(tenant: TenantQueue, host: HostQueue): void {
  host.parked.delete(tenant)
  tenant.parkedAt.delete(host)
}

/** One lane for a range that shares priority and host, as nearly all do; else one for each pair of them. */
function lanesOf(batch: BatchQueue, from: number, to: number, order: number): Lane[] {
  if (to - from === 1 || (batch.priorities.uniform && batch.hosts.length === 0)) {
    return [new Lane({ batch, priority: batch.priorities.get(from), host: batch.hosts[from] ?? null, order, from, to })]
  }
  const groups = new Map<HostQueue | null, Map<number, number[]>>()
  for (let index = from; index < to; index++) {
    const host = batch.hosts[index] ?? null
    const byPriority = groups.get(host) ?? new Map<number, number[]>()
    groups.set(host, byPriority)
    const priority = batch.priorities.get(index)
    const indexes = byPriority.get(priority)
    if (indexes === undefined) byPriority.set(priority, [index])
    else indexes.push(index)
  }
  return [...groups].flatMap(([host, byPriority]) =>
    [...byPriority].map(
      ([priority, indexes]) =>
        new Lane({ batch, priority, host, order, from: 0, to: 0, indexes: Uint32Array.from(indexes) }),
    ),
  )
}

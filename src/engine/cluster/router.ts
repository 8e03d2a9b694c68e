import type { Clock } from '../../clock.ts'
import { OverloadedError, ShuttingDownError, TenantMovedError } from '../../errors.ts'
import type { LocalEngine } from '../local/engine.ts'
import { unlessAway } from './away.ts'
import type { Holdings } from './holdings.ts'

/** What the owner of a tenant does for the others: methods of {@link LocalEngine} whose first argument is the tenant. */
export const OWNERS_METHODS = [
  'submit',
  'accepted',
  'replayed',
  'forecast',
  'append',
  'close',
  'stop',
  'cancel',
  'cancelJob',
  'reschedule',
  'job',
  'jobs',
  'inspect',
  'deleteTenant',
] as const

/** One of {@link OWNERS_METHODS}. */
export type OwnersMethod = (typeof OWNERS_METHODS)[number]

/** A {@link LocalEngine} as far as owners answer for it. */
export type OwnersEngine = Pick<LocalEngine, OwnersMethod>

type Arguments<M extends OwnersMethod> = Parameters<OwnersEngine[M]> extends [string, ...infer Rest] ? Rest : never
type Result<M extends OwnersMethod> = Awaited<ReturnType<OwnersEngine[M]>>

/** Asks another replica. */
export interface Peers {
  /**
   * @throws {UnreachableError} the replica is gone; what was asked may have been done.
   * @throws what its method throws.
   */
  ask(replicaId: string, method: OwnersMethod, args: unknown[], options: AskOptions): Promise<unknown>
}

/** How to ask. */
export interface AskOptions {
  timeoutMs: number
  signal?: AbortSignal | undefined
}

/** How patient a caller is; milliseconds. */
export interface Patience {
  /** How long the work itself may wait for something. Default 0. */
  timeoutMs?: number
  /** How long the tenant may be without an owner. Default: the router's. */
  patienceMs?: number
  /** How long one replica may take to answer another. Default 8,000. */
  answerMs?: number
  signal?: AbortSignal | undefined
}

/** As {@link Patience}, of a call with a result. */
export interface Asking<R> extends Patience {
  /** Asked before it is done once more, for what an owner before has done: what it gives is the answer, unless it is null. */
  beforeAgain?: (() => Promise<R | null>) | undefined
}

/** The replica that was asked is gone, or says nothing: what was asked may have been done. */
export class UnreachableError extends Error {}

/** How long one replica may take to answer another. */
const ANSWER_MS = 8_000

/** Between two tries while a tenant moves. */
const PAUSE_MS = { first: 20, longest: 250 }

/** How long a replica that is stopping looks for the next owner of what was its own. */
const LEAVING_MS = 2_000

/** What must not be done again when nobody knows whether it was done. `submit` is told apart by its batch's id, and looked for first. */
const ONCE: ReadonlySet<OwnersMethod> = new Set<OwnersMethod>(['submit', 'append'])

/** Brings what is asked of a tenant to its owner, wherever that is, and again while it moves. */
export class Router {
  readonly #local: OwnersEngine
  readonly #peers: Peers
  readonly #holdings: Holdings
  readonly #clock: Clock
  readonly #patienceMs: number
  readonly #accepting: () => boolean

  /**
   * @param options.patienceMs - How long a tenant may be without an owner before callers are told so.
   * @param options.accepting - False once the service is stopping: then nobody waits any more for what is new.
   */
  constructor(options: {
    local: OwnersEngine
    peers: Peers
    holdings: Holdings
    clock: Clock
    patienceMs: number
    accepting: () => boolean
  }) {
    this.#accepting = options.accepting
    this.#local = options.local
    this.#peers = options.peers
    this.#holdings = options.holdings
    this.#clock = options.clock
    this.#patienceMs = options.patienceMs
  }

  /**
   * Do it where the tenant's owner is.
   * @throws {UnreachableError} `submit` and `append` alone: perhaps it was done.
   * @throws {OverloadedError} nobody owns the tenant for longer than callers are to wait, or Redis is away.
   */
  async ask<M extends OwnersMethod>(
    method: M,
    tenantId: string,
    args: Arguments<M>,
    options: Asking<Result<M>> = {},
  ): Promise<Result<M>> {
    const { timeoutMs = 0, patienceMs = this.#patienceMs, answerMs = ANSWER_MS, signal, beforeAgain } = options
    let deadline = this.#clock.now() + patienceMs + timeoutMs
    for (let pauseMs = PAUSE_MS.first; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MS.longest)) {
      try {
        return await unlessAway(() => this.#once(method, tenantId, args, { timeoutMs: answerMs + timeoutMs, signal }))
      } catch (error) {
        const mayRepeat = error instanceof TenantMovedError || (error instanceof UnreachableError && !ONCE.has(method))
        if (!mayRepeat || signal?.aborted) throw error
        if (method === 'submit' && !this.#accepting()) throw new ShuttingDownError()
        if (this.#clock.now() + pauseMs > deadline) throw noOwner(error)
        // Its tenants are others' in a moment, or nobody's: then nobody is left to ask.
        if (!this.#accepting()) deadline = Math.min(deadline, this.#clock.now() + LEAVING_MS)
      }
      await new Promise<void>((resolve) => this.#clock.after(pauseMs, resolve))
      const done = await beforeAgain?.()
      if (done != null) return done
    }
  }

  /** Do it here, for another replica. @throws {TenantMovedError} when this one is not the owner. */
  async answer(method: string, tenantId: string, args: unknown[], signal: AbortSignal): Promise<unknown> {
    if (!this.#holdings.holds(tenantId)) {
      // Who asks has it from Redis that it is ours; it asks again.
      await this.#holdings.regain(tenantId).catch(() => undefined)
      throw new TenantMovedError()
    }
    if (!OWNERS_METHODS.some((known) => known === method)) throw new Error(`No replica answers ${method}.`)
    // Checked above; the arguments are those that `ask` was given.
    const here = () => this.#here(method as OwnersMethod, tenantId, args as Arguments<OwnersMethod>, signal)
    return await unlessAway(here)
  }

  async #once<M extends OwnersMethod>(
    method: M,
    tenantId: string,
    args: Arguments<M>,
    options: AskOptions,
  ): Promise<Result<M>> {
    const holder = await this.#holdings.take(tenantId)
    if (holder === 'mine') return await this.#here(method, tenantId, args, options.signal)
    // What `answer` gives there.
    return (await this.#peers.ask(holder.owner, method, [tenantId, ...args], options)) as Result<M>
  }

  #here<M extends OwnersMethod>(
    method: M,
    tenantId: string,
    args: Arguments<M>,
    signal: AbortSignal | undefined,
  ): Promise<Result<M>> {
    // TypeScript does not follow a method's arguments through a union of methods.
    const run = this.#local[method] as (tenantId: string, ...args: unknown[]) => Promise<Result<M>>
    return run.call(this.#local, tenantId, ...withSignal(method, args, signal))
  }
}

/** A caller's signal does not cross between replicas as it is: it stands in `hold` again where the waiting is done. */
function withSignal(method: OwnersMethod, args: unknown[], signal: AbortSignal | undefined): unknown[] {
  if (method !== 'submit' || signal === undefined) return args
  const [batch, options] = args as Arguments<'submit'>
  const hold = options?.hold
  return hold === undefined ? args : [batch, { ...options, hold: { ...hold, signal } }]
}

function noOwner(cause: unknown): OverloadedError {
  return new OverloadedError("The tenant's work is moving to another replica; try again.", 2, { cause })
}

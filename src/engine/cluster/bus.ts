import type { Redis } from 'ioredis'
import { v4 } from 'uuid'
import type { Clock, TimerHandle } from '../../clock.ts'
import { CallCounts } from '../../metrics/cluster-counts.ts'
import { batchChannel, type SharedChannel, sharedChannel } from '../../store/redis/keys.ts'
import { Envelope } from './envelope.ts'
import { BusLostError, BusTimeoutError, NoReplicaError } from './errors.ts'
import { type Subscription, Subscriptions } from './subscriptions.ts'
import { decodeError, encodeError, type WireError } from './wire-errors.ts'

/** What answers a call: it gets what JSON leaves of the caller's arguments, and a signal that aborts when the caller has given up. */
export type Handler = (args: never, call: { signal: AbortSignal }) => unknown

/** News of a batch: the number of its newest event, the state it is in, and whether it has drained. */
export interface BatchNews {
  seq: number
  state: string
  drained: boolean
}

/** How long a call may take, and who may end it. */
export interface CallOptions {
  timeoutMs: number
  signal?: AbortSignal
}

/** What {@link Bus} needs. */
export interface BusOptions {
  commands: Redis
  bulk: Redis
  subscriber: Redis
  clock: Clock
  /** Told of what a handler or listener threw, and of what could not be sent. */
  onError?: (error: unknown) => void
}

type Request = { id: string; from: string; method: string; args?: unknown; keepMs: number }
type Message = Request | { cancel: string } | { id: string; result?: unknown } | { id: string; error: WireError }

interface Pending {
  resolve(result: unknown): void
  reject(error: unknown): void
  /** End it with an error, and tell the one that was called. */
  giveUp(reason: unknown): void
}

/** Ends of calls that are remembered until the calls come. */
const REMEMBERED = 1_000

/** The channel on which a replica takes calls. */
export const rpcChannel = (replicaId: string) => `gatherd:rpc:${replicaId}`

/** What {@link Bus.watch} hears, as it is published on {@link batchChannel}. */
export function batchNews({ seq, state, drained }: BatchNews): string {
  return `${seq} ${state} ${drained ? 1 : 0}`
}

/**
 * How replicas talk, over Redis' pub/sub: calls from one to another, broadcasts, news of batches. Nothing of it is kept: who does not listen at
 * that moment does not hear it, and finds out by a call that is not answered, or by {@link Bus.onResubscribed}.
 *
 * A call ends once: with its answer, at its timeout, when its signal aborts, or when the connection on which the answer would come is lost.
 * What comes after that is dropped.
 */
export class Bus {
  readonly calls = new CallCounts()
  readonly #clock: Clock
  readonly #commands: Redis
  readonly #subscriber: Redis
  readonly #envelope: Envelope
  readonly #subscriptions: Subscriptions
  readonly #onError: (error: unknown) => void
  readonly #handlers = new Map<string, Handler>()
  readonly #pending = new Map<string, Pending>()
  readonly #serving = new Map<string, AbortController>()
  readonly #replies = `gatherd:reply:${v4()}`
  readonly #answers: Subscription
  /** Given up before they came: a long request is overtaken by its end. */
  readonly #cancelled = new Set<string>()
  #ears: Subscription | null = null
  #closed = false

  constructor({ commands, bulk, subscriber, clock, onError = () => undefined }: BusOptions) {
    this.#clock = clock
    this.#commands = commands
    this.#subscriber = subscriber
    this.#envelope = new Envelope(commands, bulk)
    this.#onError = onError
    this.#subscriptions = new Subscriptions({ subscriber, onError })
    this.#answers = this.#subscriptions.add(this.#replies, this.#receive)
    subscriber.on('close', this.#lose)
  }

  /** Channels that are listened to: of batches that are watched, of broadcasts, and two of our own. */
  get channels(): number {
    return this.#subscriptions.size
  }

  /** Answer calls of a method. A method has one handler. */
  handle<Args>(method: string, handler: (args: Args, call: { signal: AbortSignal }) => unknown): void {
    this.#handlers.set(method, handler)
  }

  /** Take calls under this id, and no more under the one before. Resolves when we can be called. */
  async listenAs(replicaId: string | null): Promise<void> {
    this.#ears?.close()
    this.#ears = replicaId === null ? null : this.#subscriptions.add(rpcChannel(replicaId), this.#receive)
    await this.#ears?.ready
  }

  /**
   * Have another replica do something. What JSON cannot say does not cross: `undefined` is left out of objects. A string stays a string,
   * also one that is JSON.
   * @throws {NoReplicaError} it does not listen, and nothing was done. {BusTimeoutError} {BusLostError} the reason of the signal: what was
   * done is not known. Else what its handler threw: errors of ours as they were, others as a `RemoteError`.
   */
  async call<Result>(
    replicaId: string,
    method: string,
    args: unknown,
    { timeoutMs, signal }: CallOptions,
  ): Promise<Result> {
    signal?.throwIfAborted()
    if (this.#closed) throw new BusLostError()
    const id = v4()
    const answer = Promise.withResolvers<unknown>()
    const since = this.#clock.now()
    let isLost = false
    const giveUp = (reason: unknown) => {
      answer.reject(reason)
      // When Redis is away all calls are lost at once, and none of them can be told.
      const onError = reason instanceof BusLostError ? () => undefined : this.#onError
      this.#post(rpcChannel(replicaId), JSON.stringify({ cancel: id }), { onError })
    }
    this.#pending.set(id, { resolve: answer.resolve, reject: answer.reject, giveUp })
    const onAbort = () => giveUp(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    const timer = this.#until(this.#clock.now() + timeoutMs, () => giveUp(new BusTimeoutError(timeoutMs)))
    const request: Request = { id, from: this.#replies, method, args, keepMs: timeoutMs }
    this.#send(replicaId, request).catch(answer.reject)
    try {
      return (await answer.promise) as Result // What the handler of this method gives.
    } catch (error) {
      isLost = error instanceof BusTimeoutError || error instanceof BusLostError
      throw error
    } finally {
      this.calls.ended(method, this.#clock.now() - since, isLost)
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
      this.#pending.delete(id)
    }
  }

  /** Tell all replicas of our database who listen to a channel; nobody need. @throws what Redis says. */
  async notify(channel: SharedChannel, payload: string): Promise<void> {
    await this.#commands.publish(sharedChannel(this.#commands, channel), payload)
  }

  /** Hear what is told on a channel, by others and by ourselves. */
  on(channel: SharedChannel, listener: (payload: string) => void): Subscription {
    return this.#subscriptions.add(sharedChannel(this.#commands, channel), listener)
  }

  /** Hear the news of a batch. Read its record when this is `ready` and after every reconnect: what was told before is not told again. */
  watch(batchId: string, listener: (news: BatchNews) => void): Subscription {
    return this.#subscriptions.add(batchChannel(batchId), (text) => {
      const [seq, state = '', drained] = text.split(' ')
      listener({ seq: Number(seq), state, drained: drained === '1' })
    })
  }

  /** Be told when everything is heard again after it was not for a time. Returns how to be told no more. */
  onResubscribed(listener: () => void): () => void {
    return this.#subscriptions.onResubscribed(listener)
  }

  /** End all calls, ours with {@link BusLostError} and those of others by their signal. May be called twice. */
  close(): void {
    this.#closed = true
    this.#subscriber.off('close', this.#lose)
    this.#lose()
    for (const serving of this.#serving.values()) serving.abort(new BusLostError())
    this.#serving.clear()
    this.#subscriptions.close()
  }

  async #send(replicaId: string, request: Request): Promise<void> {
    if (this.#subscriber.status !== 'ready') throw new BusLostError()
    const text = JSON.stringify(request)
    // Else its answer would be published to nobody.
    await this.#answers.ready
    if (!this.#pending.has(request.id)) return
    const heard = await this.#envelope.send(rpcChannel(replicaId), text, request.keepMs).catch((cause) => {
      throw new BusLostError({ cause })
    })
    if (heard === 0) throw new NoReplicaError()
  }

  /** The answers of all that is under way went to the connection that is no more; what was asked can be told by the other one. */
  readonly #lose = (): void => {
    for (const { giveUp } of this.#pending.values()) giveUp(new BusLostError())
    this.#pending.clear()
  }

  readonly #receive = (text: string): void => {
    this.#envelope
      .open(text)
      .then((opened) => {
        if (opened !== null && !this.#closed) this.#dispatch(JSON.parse(opened))
      })
      .catch(this.#onError)
  }

  #dispatch(message: Message): void {
    if ('cancel' in message) this.#cancel(message.cancel)
    else if ('method' in message) void this.#serve(message)
    else if ('error' in message) this.#pending.get(message.id)?.reject(decodeError(message.error))
    else this.#pending.get(message.id)?.resolve('result' in message ? message.result : undefined)
  }

  #cancel(id: string): void {
    const serving = this.#serving.get(id)
    if (serving !== undefined) return serving.abort(new BusLostError())
    this.#cancelled.add(id)
    const [oldest] = this.#cancelled
    if (this.#cancelled.size > REMEMBERED && oldest !== undefined) this.#cancelled.delete(oldest)
  }

  async #serve({ id, from, method, args, keepMs }: Request): Promise<void> {
    if (this.#cancelled.delete(id)) return
    const abort = new AbortController()
    this.#serving.set(id, abort)
    const reply = await this.#answer(id, method, args, abort.signal)
    this.#serving.delete(id)
    // Else nobody waits for it.
    if (!abort.signal.aborted) this.#post(from, reply, { keepMs })
  }

  /** The text of the answer; a result that JSON cannot say is an error like any other. */
  async #answer(id: string, method: string, args: unknown, signal: AbortSignal): Promise<string> {
    try {
      const handler = this.#handlers.get(method)
      if (handler === undefined) throw new TypeError(`No replica of this version answers "${method}".`)
      // Whoever handles the method knows what comes with it.
      return JSON.stringify({ id, result: await handler(args as never, { signal }) })
    } catch (thrown) {
      const error = encodeError(thrown)
      if (error.name === null && !signal.aborted) this.#onError(thrown)
      return JSON.stringify({ id, error })
    }
  }

  /** Send what need not arrive. */
  #post(channel: string, text: string, { keepMs = 1_000, onError = this.#onError } = {}): void {
    if (!this.#closed) this.#envelope.send(channel, text, keepMs).catch(onError)
  }

  #until(at: number, fire: () => void): TimerHandle {
    let timer: TimerHandle
    const arm = () => {
      timer = this.#clock.after(Math.max(1, at - this.#clock.now()), () => (this.#clock.now() < at ? arm() : fire()))
    }
    arm()
    return { cancel: () => timer.cancel() }
  }
}

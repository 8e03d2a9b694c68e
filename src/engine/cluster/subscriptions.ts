import type { Redis } from 'ioredis'

/** Channels in one SUBSCRIBE. */
const AT_ONCE = 1_000

/** One who listens to a channel. */
export interface Subscription {
  /**
   * Resolves when Redis has said that it listens: what is published from then on is heard. Looked at again after the connection was lost, it
   * is about the next one. Also resolves when it is closed before.
   */
  readonly ready: Promise<void>
  /** Hear nothing any more. May be called twice. */
  close(): void
}

interface Channel {
  listeners: Set<(text: string) => void>
  /** Redis has said that it is subscribed to, on the connection that there is now. */
  isLive: boolean
  live: PromiseWithResolvers<void>
}

/** What {@link Subscriptions} needs. */
export interface SubscriptionsOptions {
  subscriber: Redis
  onError?: (error: unknown) => void
}

/**
 * Who listens to which channel. A channel is subscribed to while somebody listens, however many; what is asked for in one turn goes to Redis
 * in one command. After a reconnect all is subscribed to again, and whoever asked is told that something may have been missed.
 */
export class Subscriptions {
  readonly #subscriber: Redis
  readonly #onError: (error: unknown) => void
  readonly #channels = new Map<string, Channel>()
  /** What Redis is subscribed to, and nobody listens to. */
  readonly #unwanted = new Set<string>()
  readonly #onResubscribed = new Set<() => void>()
  #missed = false
  #syncing = false
  /** Something was asked for since the last look. */
  #asked = false
  #closed = false

  constructor({ subscriber, onError = () => undefined }: SubscriptionsOptions) {
    this.#subscriber = subscriber
    this.#onError = onError
    subscriber.on('message', this.#hear)
    subscriber.on('ready', this.#sync)
    subscriber.on('close', this.#drop)
  }

  /** Channels that somebody listens to. */
  get size(): number {
    return this.#channels.size
  }

  /** Hear what is published on a channel. */
  add(name: string, listener: (text: string) => void): Subscription {
    const channel = this.#channel(name)
    // The same function twice is two who listen.
    const own = (text: string) => listener(text)
    channel.listeners.add(own)
    void this.#sync()
    const isLast = () => channel.listeners.delete(own) && channel.listeners.size === 0
    return {
      get ready() {
        return channel.live.promise
      },
      close: () => void (isLast() && this.#forget(name, channel)),
    }
  }

  /** Be told each time when all channels are subscribed to again after the connection was gone. Returns how to be told no more. */
  onResubscribed(listener: () => void): () => void {
    this.#onResubscribed.add(listener)
    return () => void this.#onResubscribed.delete(listener)
  }

  /** Hear nothing any more. The connection stays as it is: its owner closes it. May be called twice. */
  close(): void {
    this.#closed = true
    this.#subscriber.off('message', this.#hear)
    this.#subscriber.off('ready', this.#sync)
    this.#subscriber.off('close', this.#drop)
    for (const channel of this.#channels.values()) channel.live.resolve()
    this.#channels.clear()
    this.#onResubscribed.clear()
  }

  #channel(name: string): Channel {
    const known = this.#channels.get(name)
    if (known !== undefined) return known
    // Still subscribed to, as far as we know; the next turn would have ended it.
    const isLive = this.#unwanted.delete(name)
    const channel = { listeners: new Set<(text: string) => void>(), isLive, live: Promise.withResolvers<void>() }
    if (isLive) channel.live.resolve()
    this.#channels.set(name, channel)
    return channel
  }

  #forget(name: string, channel: Channel): void {
    if (this.#channels.get(name) !== channel) return
    this.#channels.delete(name)
    channel.live.resolve()
    if (channel.isLive) this.#unwanted.add(name)
    void this.#sync()
  }

  readonly #hear = (name: string, text: string): void => {
    for (const listener of this.#channels.get(name)?.listeners ?? []) this.#tell(() => listener(text))
  }

  readonly #drop = (): void => {
    this.#unwanted.clear()
    for (const channel of this.#channels.values()) {
      this.#missed ||= channel.isLive
      if (channel.isLive) channel.live = Promise.withResolvers()
      channel.isLive = false
    }
  }

  /** One command at a time, so that what Redis is subscribed to is never in doubt; what is asked for meanwhile comes with the next. */
  readonly #sync = async (): Promise<void> => {
    this.#asked = true
    if (this.#syncing) return
    this.#syncing = true
    try {
      while (this.#asked && this.#canAsk()) {
        this.#asked = false
        await null // All of this turn.
        while (this.#canAsk() && (await this.#step()));
      }
    } catch (error) {
      this.#fail(error)
    } finally {
      this.#syncing = false
    }
  }

  #canAsk(): boolean {
    return !this.#closed && this.#subscriber.status === 'ready'
  }

  /** Resolves with false when there was nothing to do. */
  async #step(): Promise<boolean> {
    const unwanted = [...this.#unwanted].slice(0, AT_ONCE)
    const wanted = [...this.#channels].filter(([, { isLive }]) => !isLive).slice(0, AT_ONCE)
    if (unwanted.length > 0) await this.#unsubscribe(unwanted)
    if (wanted.length > 0) await this.#subscribe(wanted)
    else this.#tellResubscribed()
    return unwanted.length > 0 || wanted.length > 0
  }

  async #unsubscribe(names: string[]): Promise<void> {
    for (const name of names) this.#unwanted.delete(name)
    await this.#subscriber.unsubscribe(...names)
  }

  async #subscribe(wanted: [string, Channel][]): Promise<void> {
    const { stream } = this.#subscriber
    await this.#subscriber.subscribe(...wanted.map(([name]) => name))
    if (this.#subscriber.stream !== stream) return
    for (const [name, channel] of wanted) {
      channel.isLive = true
      channel.live.resolve()
      if (this.#channels.get(name) !== channel) this.#unwanted.add(name)
    }
  }

  #tellResubscribed(): void {
    if (!this.#missed) return
    this.#missed = false
    for (const listener of this.#onResubscribed) this.#tell(listener)
  }

  /** Nobody knows now what is subscribed to: only a new connection does. */
  #fail(error: unknown): void {
    if (this.#closed) return
    this.#onError(error)
    this.#subscriber.stream?.destroy()
  }

  #tell(listener: () => void): void {
    try {
      listener()
    } catch (error) {
      this.#onError(error)
    }
  }
}

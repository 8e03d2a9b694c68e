import type { Redis } from 'ioredis'
import { v4 } from 'uuid'

/**
 * Texts longer than this wait in a key, and only the key's name is published: Redis cuts off a subscriber that has more than 32 MB on its way
 * (`client-output-buffer-limit pubsub`), and one message is held in memory for each.
 */
export const PARK_ABOVE = 65_536

const PARKED = '@'

/** Texts between replicas, however long. */
export class Envelope {
  readonly #commands: Redis
  readonly #bulk: Redis

  /** @param bulk - The connection of long texts, with more time for each. */
  constructor(commands: Redis, bulk: Redis) {
    this.#commands = commands
    this.#bulk = bulk
  }

  /**
   * Publish a text; resolves with how many replicas hear of it.
   * @param keepMs - How long a long one waits to be fetched.
   */
  async send(channel: string, text: string, keepMs: number): Promise<number> {
    if (text.length <= PARK_ABOVE) return await this.#commands.publish(channel, text)
    const key = `gatherd:parcel:${v4()}`
    await this.#bulk.set(key, text, 'PX', Math.max(1_000, Math.ceil(keepMs)))
    const heard = await this.#commands.publish(channel, PARKED + key)
    if (heard === 0) await this.#bulk.del(key)
    return heard
  }

  /** The text of a message, null when nobody wants it any more. */
  async open(message: string): Promise<string | null> {
    if (!message.startsWith(PARKED)) return message
    return await this.#bulk.getdel(message.slice(PARKED.length))
  }
}

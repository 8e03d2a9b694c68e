import { Turns } from '../../json/turns.ts'

/** Bytes of large bodies that are on their way to the disk when no further one may follow. */
export const WRITING_BYTES = 1_048_576

/**
 * Lets large bodies go to the disk a few at a time: what else is to be written waits for one part of each of them, or for all of those that are too
 * short for parts. The next one may go while fewer than so many bytes are on their way. Tenants take turns.
 */
export class Writing {
  readonly #limit: number
  readonly #turns = new Turns({ nextTurn: (go) => this.#whenRoom(go) })
  #total = 0
  #go: (() => void) | null = null

  constructor(limit = WRITING_BYTES) {
    this.#limit = limit
  }

  /** Bytes on their way. */
  get total(): number {
    return this.#total
  }

  /**
   * Resolves when a body may be written, with what is to be called, once, when it is on disk.
   * @throws `signal.reason` as soon as it aborts.
   */
  async turn(tenantId: string, bytes: number, signal: AbortSignal): Promise<() => void> {
    const begin = () => {
      this.#total += bytes
      return true
    }
    await this.#turns.run(tenantId, begin, signal)
    return () => {
      this.#total -= bytes
      this.#goOn()
    }
  }

  #whenRoom(go: () => void): void {
    this.#go = go
    this.#goOn()
  }

  /** Not at once: the caller may be about to add a line. */
  #goOn(): void {
    const go = this.#go
    if (go === null || this.#total >= this.#limit) return
    this.#go = null
    setImmediate(go)
  }
}

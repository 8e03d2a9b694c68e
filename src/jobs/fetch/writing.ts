import { Turns } from '../../json/turns.ts'

/** Bytes of large bodies after which a commit takes no more of them. */
export const WRITING_BYTES = 4_194_304

/**
 * Lets large bodies go to the disk a few at a time: a commit with sixteen of 10 MiB would take a second, and whoever else submits waits for
 * it. The next one may go while fewer than so many bytes are on their way. Tenants take turns.
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

/** Who is told of a halt. */
export interface HaltListener {
  handleEvent(): void
}

/** As much of an AbortSignal as it takes to stop for it: every AbortSignal is one, and so is a {@link Halt}. */
export interface HaltSignal {
  readonly aborted: boolean
  /** Why, once it has aborted. */
  readonly reason: unknown
  /** @throws `reason` once it has aborted. */
  throwIfAborted(): void
  addEventListener(type: 'abort', listener: HaltListener): void
  removeEventListener(type: 'abort', listener: HaltListener): void
}

/**
 * An AbortController whose AbortSignal is made when somebody asks for it. One with a listener costs a fetch as much as everything else
 * that the engine does for it; what is ours listens here.
 */
export class Halt implements HaltSignal {
  readonly #controller = new AbortController()
  readonly #listeners: HaltListener[] = []
  #aborted = false
  #reason: unknown

  get aborted(): boolean {
    return this.#aborted
  }

  get reason(): unknown {
    return this.#reason
  }

  /** The platform's own, for whoever needs that: it aborts with this one, for the same reason. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Only the first call does anything. Listeners are told in the order in which they came, those of `signal` first. */
  abort(reason: unknown): void {
    if (this.#aborted) return
    this.#aborted = true
    this.#reason = reason
    this.#controller.abort(reason)
    for (let next = this.#listeners.shift(); next !== undefined; next = this.#listeners.shift()) next.handleEvent()
  }

  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason
  }

  /** Of one that is there already, and after the abort, nothing comes. */
  addEventListener(_type: 'abort', listener: HaltListener): void {
    if (!this.#aborted && !this.#listeners.includes(listener)) this.#listeners.push(listener)
  }

  removeEventListener(_type: 'abort', listener: HaltListener): void {
    const at = this.#listeners.indexOf(listener)
    if (at >= 0) this.#listeners.splice(at, 1)
  }
}

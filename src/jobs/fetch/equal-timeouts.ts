import type { Clock, TimerHandle } from '../../clock.ts'

/** Who is told when its time is up. */
export interface TimeoutOwner {
  timedOut(): void
}

/** One that is armed: a link of the list. */
interface Link {
  owner: TimeoutOwner | undefined
  dueAt: number
  before: Link
  after: Link
}

/** What an owner keeps of its timeout. */
export type EqualTimeout = Pick<Link, 'owner'>

/**
 * Timeouts of one length: who came first is due first, so that a list and one timer of the platform do for all of them. One of the
 * platform's for each request costs more than sending it through the engine.
 */
export class EqualTimeouts {
  readonly #delayMs: number
  readonly #clock: Clock
  /** The ring's beginning and end. */
  readonly #ends: Link
  #timer: TimerHandle | null = null

  /** @param options.delayMs - Of all of them. */
  constructor({ delayMs, clock }: { delayMs: number; clock: Clock }) {
    this.#delayMs = delayMs
    this.#clock = clock
    const ends = { owner: undefined, dueAt: Number.POSITIVE_INFINITY } as Link
    ends.before = ends
    ends.after = ends
    this.#ends = ends
  }

  /** Tell `owner` when the time is up, never before. */
  arm(owner: TimeoutOwner): EqualTimeout {
    const last = this.#ends.before
    const link: Link = { owner, dueAt: this.#clock.now() + this.#delayMs, before: last, after: this.#ends }
    last.after = link
    this.#ends.before = link
    if (this.#timer === null) this.#wait(this.#delayMs)
    return link
  }

  /** May be called twice, and after it was due. */
  cancel(timeout: EqualTimeout): void {
    // `arm` has made it.
    const link = timeout as Link
    if (link.owner === undefined) return
    this.#drop(link)
    if (this.#ends.after !== this.#ends) return
    this.#timer?.cancel()
    this.#timer = null
  }

  #drop(link: Link): void {
    link.owner = undefined
    link.before.after = link.after
    link.after.before = link.before
  }

  #wait(delayMs: number): void {
    this.#timer = this.#clock.after(delayMs, () => this.#fire())
  }

  /** What is first by now may be due later: those before it were cancelled. */
  #fire(): void {
    this.#timer = null
    const now = this.#clock.now()
    for (let first = this.#ends.after; first.dueAt <= now; first = this.#ends.after) {
      const { owner } = first
      this.#drop(first)
      owner?.timedOut()
    }
    if (this.#timer === null && this.#ends.after !== this.#ends) this.#wait(this.#ends.after.dueAt - now)
  }
}

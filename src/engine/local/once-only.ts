import { OverloadedError } from '../../errors.ts'
import type { Hold } from '../engine.ts'

/** How many ids are remembered of which it was said that nothing was accepted under them. */
const REMEMBERED = 10_000

/** A submission that has not ended. */
interface UnderWay {
  /** Aborted: it waits for room no longer. */
  stop: AbortController
  ended: Promise<unknown>
}

/**
 * Submissions under the ids that their callers gave them: one at a time of each, and none any more once somebody has asked
 * what became of it. So what is answered then stays true, however late a request still comes.
 */
export class OnceOnly {
  readonly #underWay = new Map<string, UnderWay>()
  readonly #closed = new Set<string>()

  /**
   * Submit under an id.
   * @param submit - Gets `hold` with a signal that also aborts when somebody asks for the id.
   * @throws {OverloadedError} there is one under way, or somebody has asked for it. And what `submit` throws.
   */
  async run<T>(id: string, hold: Hold | undefined, submit: (hold: Hold | undefined) => Promise<T>): Promise<T> {
    if (this.#closed.has(id) || this.#underWay.has(id)) throw refused()
    const stop = new AbortController()
    const left = () => stop.abort(hold?.signal?.reason)
    if (hold?.signal?.aborted) left()
    hold?.signal?.addEventListener('abort', left, { once: true })
    const submitted = submit(hold && { ...hold, signal: stop.signal })
    this.#underWay.set(id, { stop, ended: submitted.catch(() => undefined) })
    try {
      return await submitted
    } finally {
      hold?.signal?.removeEventListener('abort', left)
      this.#underWay.delete(id)
    }
  }

  /** Let nothing more come under an id, and what is under way wait for room no longer. Resolves when that has ended. */
  async close(id: string): Promise<void> {
    this.#closed.add(id)
    const [oldest] = this.#closed
    if (this.#closed.size > REMEMBERED && oldest !== undefined) this.#closed.delete(oldest)
    const found = this.#underWay.get(id)
    found?.stop.abort()
    await found?.ended
  }
}

function refused(): OverloadedError {
  return new OverloadedError('This submission was made before; nothing was accepted by this one.', 1)
}

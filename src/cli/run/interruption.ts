import type { Clock } from '../../clock.ts'
import type { Io } from '../io.ts'

/** A second signal sooner than this is the same one: a terminal's Ctrl-C reaches npm's child twice. */
const SAME_SIGNAL_MS = 500

const STATUS = { SIGINT: 130, SIGTERM: 143 } as const

/** The first SIGINT or SIGTERM stops the work in good order, another one ends the process at once. */
export class Interruption {
  readonly #release: () => void
  #status: number | null = null
  #firstAt = 0

  /** `stop` is called once, at the first signal. */
  constructor({ io, clock, stop }: { io: Pick<Io, 'onSignal' | 'exit'>; clock: Clock; stop: () => Promise<void> }) {
    this.#release = io.onSignal((signal) => {
      const now = clock.now()
      if (this.#status === null) {
        this.#status = STATUS[signal]
        this.#firstAt = now
        void stop()
      } else if (now - this.#firstAt > SAME_SIGNAL_MS) io.exit(STATUS[signal])
    })
  }

  /** The exit status that the signal asks for; null while none came. */
  get status(): number | null {
    return this.#status
  }

  /** Leave signals alone again. May be called twice. */
  [Symbol.dispose](): void {
    this.#release()
  }
}

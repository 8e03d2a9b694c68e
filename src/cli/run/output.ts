import type { Io } from '../io.ts'

/** As a program that a broken pipe ended. */
const STATUS_BROKEN_PIPE = 141
/** EX_IOERR of sysexits.h. */
const STATUS_IO_ERROR = 74

/** Lines on standard output, no faster than they are read; when they cannot be written any more, `onBroken` is told once. */
export class Output {
  readonly #stdout: Io['stdout']
  readonly #screen: ((text: string) => void) | null
  readonly #onError: (error: NodeJS.ErrnoException) => void
  #wake: () => void = () => undefined
  #status: number | null = null
  #error: string | null = null

  /** `screen` writes in place of `stdout`, where both are one terminal. */
  constructor(options: {
    stdout: Io['stdout']
    screen: ((text: string) => void) | null
    onBroken: () => Promise<void>
  }) {
    this.#stdout = options.stdout
    this.#screen = options.screen
    this.#onError = ({ code, message }) => {
      if (this.#status !== null) return
      this.#status = code === 'EPIPE' ? STATUS_BROKEN_PIPE : STATUS_IO_ERROR
      if (code !== 'EPIPE') this.#error = message
      this.#wake()
      void options.onBroken()
    }
    this.#stdout.on('error', this.#onError)
  }

  /** The exit status when the output broke, else null. */
  get status(): number | null {
    return this.#status
  }

  /** Why the output broke, when that is worth saying: that nobody reads it is not. */
  get error(): string | null {
    return this.#error
  }

  /** Write a line; resolves when there is room for the next one. After a break does nothing. */
  async write(line: string): Promise<void> {
    if (this.#status !== null) return
    if (this.#screen !== null) return this.#screen(`${line}\n`)
    if (!this.#stdout.write(`${line}\n`)) await this.#untilDrained()
  }

  /** The listener for errors stays: what is still buffered can break later, and that must not end the process. */
  [Symbol.dispose](): void {
    this.#wake()
  }

  #untilDrained(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
      this.#stdout.once('drain', resolve)
    })
  }
}

import { PassThrough, Readable, Writable } from 'node:stream'
import type { Command, Io } from '../../src/cli/io.ts'
import { ServiceError } from '../../src/errors.ts'

/** A stream that keeps what is written to it, and can be a terminal. */
export class Sink extends Writable {
  readonly isTTY: boolean
  readonly columns = 120
  readonly #text: string[] = []
  readonly #waiting: (() => void)[] = []
  /** Called with each chunk before it is taken; what it returns is the error of the write. */
  refuse: (chunk: string) => NodeJS.ErrnoException | null = () => null

  constructor(options: { isTTY?: boolean } = {}) {
    super()
    this.isTTY = options.isTTY ?? false
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    const error = this.refuse(String(chunk))
    if (error === null) this.#text.push(String(chunk))
    for (const wake of this.#waiting.splice(0)) wake()
    done(error)
  }

  get text(): string {
    return this.#text.join('')
  }

  /** Each line as JSON. */
  get json(): Record<string, unknown>[] {
    return this.text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line))
  }

  /** Resolves when what was written contains `part`. */
  async until(part: string): Promise<void> {
    while (!this.text.includes(part)) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }
}

/** The outside of a command under test. */
export class FakeIo implements Io {
  readonly args: string[]
  readonly env: Record<string, string>
  readonly stdin: Readable
  readonly stdout: Sink
  readonly stderr: Sink
  /** The statuses it asked to end the process with at once. */
  readonly exits: number[] = []
  readonly #listeners = new Set<(signal: 'SIGTERM' | 'SIGINT') => void>()

  constructor(
    args: string[],
    options: { env?: Record<string, string>; input?: string | Buffer; isTTY?: boolean; stdoutIsTTY?: boolean } = {},
  ) {
    this.args = args
    // Origins of tests are on this machine.
    this.env = { GATHERD_EGRESS_ALLOW: '127.0.0.0/8,::1', ...options.env }
    this.stdin = options.input === undefined ? new PassThrough() : Readable.from([Buffer.from(options.input)])
    this.stdout = new Sink({ isTTY: options.stdoutIsTTY })
    this.stderr = new Sink({ isTTY: options.isTTY })
  }

  onSignal(listener: (signal: 'SIGTERM' | 'SIGINT') => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** How many listen for signals. */
  get listening(): number {
    return this.#listeners.size
  }

  signal(name: 'SIGTERM' | 'SIGINT'): void {
    for (const listener of this.#listeners) listener(name)
  }

  exit(status: number): never {
    this.exits.push(status)
    // The process would be gone; here the caller goes on, and the test looks at `exits`.
    return undefined as never
  }
}

/** What a command did: its status, or 2 with the message of the error that main.ts would show. */
export async function outcome(command: Command, io: FakeIo): Promise<{ status: number; message: string | null }> {
  try {
    return { status: await command(io), message: null }
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    return { status: 2, message: error.message }
  }
}

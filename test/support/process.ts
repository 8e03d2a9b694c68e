import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The operator's key of every service process. */
export const ADMIN_KEY = 'the-operators-key-of-a-service-process'

const MAIN = join(import.meta.dirname, '../../src/main.ts')

/** How a process ended: one of the two is null. */
export interface Exit {
  status: number | null
  signal: NodeJS.Signals | null
}

/** A run of `gatherd serve`, from its spawn to its exit. */
export class ServeProcess implements AsyncDisposable {
  /** What it printed so far, its log included. */
  stdout = ''
  /** With its greeting, since its log is JSON. */
  stderr = ''
  /** Resolves with the URL it listens on. @throws with what it printed when it ends before. */
  readonly listening: Promise<string>
  readonly exited: Promise<Exit>
  readonly #child: ChildProcess

  /** Starts on `dataDir` and a free port, with none of the caller's own settings but `env`. */
  constructor(dataDir: string, env: Record<string, string> = {}) {
    // While coverage is measured, vitest tells Node to keep nothing that it compiled.
    const others = Object.entries(process.env).filter(
      ([name]) => !name.startsWith('GATHERD_') && name !== 'NODE_DISABLE_COMPILE_CACHE',
    )
    const settings = {
      GATHERD_PORT: '0',
      GATHERD_DATA_DIR: dataDir,
      GATHERD_ADMIN_KEY: ADMIN_KEY,
      GATHERD_LOG_LEVEL: 'warn',
      // A machine that is busy with tests is late.
      GATHERD_MAX_EVENT_LOOP_DELAY_MS: '0',
      // Origins of tests are on this machine.
      GATHERD_EGRESS_ALLOW: '127.0.0.0/8,::1',
    }
    const child = spawn(process.execPath, [MAIN, 'serve'], {
      env: { ...Object.fromEntries(others), ...settings, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    // Should whoever started it end first, then not without it.
    const kill = () => void child.kill('SIGKILL')
    process.once('exit', kill)
    this.exited = once(child, 'close').then(([status, signal]) => {
      process.off('exit', kill)
      return { status, signal }
    })
    this.listening = this.#listen()
    this.listening.catch(() => undefined) // Not everyone who starts one waits for it.
  }

  /** The key that the first start shows, once it listens; empty when none was. */
  get firstKey(): string {
    return /^ {2}(gth_\S+)$/m.exec(this.stderr)?.[1] ?? ''
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  /** Send a signal and go on. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Send a signal and wait for the end. */
  async end(signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> {
    this.signal(signal)
    return await this.exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end()
  }

  #listen(): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#child.stdout?.on('data', (chunk: Buffer) => {
        this.stdout += chunk
      })
      this.#child.stderr?.on('data', (chunk: Buffer) => {
        this.stderr += chunk
        const url = /^gatherd \S+ on (http:[^\s,]+),/m.exec(this.stderr)?.[1]
        // What it logged before is read then as well.
        if (url !== undefined) setImmediate(resolve, url)
      })
      void this.exited.then(({ status, signal }) =>
        reject(new Error(`The service ended with ${signal ?? status}:\n${this.stdout}${this.stderr}`)),
      )
    })
  }
}

/** A data directory of its own, and the service that runs on it, one process after the other. */
export class Installation implements AsyncDisposable {
  readonly dataDir = mkdtempSync(join(tmpdir(), 'gatherd-process-'))
  /** Where the service listens now; each start has another port. */
  url = ''
  readonly #env: Record<string, string>
  #current: ServeProcess | null = null

  /** @param env - Settings of every start. */
  constructor(env: Record<string, string> = {}) {
    this.#env = env
  }

  /** The newest process. */
  get process(): ServeProcess {
    if (this.#current === null) throw new Error('Nothing was started here.')
    return this.#current
  }

  /** Start a process and do not wait until it listens. The one before must have ended. */
  launch(env: Record<string, string> = {}): ServeProcess {
    this.#current = new ServeProcess(this.dataDir, { ...this.#env, ...env })
    return this.#current
  }

  /** Start a process and wait until it listens. */
  async start(env: Record<string, string> = {}): Promise<ServeProcess> {
    const started = this.launch(env)
    this.url = await started.listening
    return started
  }

  /** `kill -9`. */
  async crash(): Promise<void> {
    await this.process.end('SIGKILL')
  }

  /** `kill -9` and start again. */
  async restart(env: Record<string, string> = {}): Promise<void> {
    await this.crash()
    await this.start(env)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#current?.end()
    rmSync(this.dataDir, { recursive: true, force: true })
  }
}

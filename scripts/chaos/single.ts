import { setTimeout as sleep } from 'node:timers/promises'
import { Installation } from '../../test/support/process.ts'
import type { Random } from './random.ts'
import { type Notes, nextLife, noteEnd, type Victim } from './victim.ts'

/** One process on one data directory, that is ended in every way that it can be ended, and started again. */
export class Single implements Victim, AsyncDisposable {
  readonly #installation = new Installation({ GATHERD_DRAIN_GRACE_MS: '300' })
  readonly #notes: Notes

  constructor(notes: Notes) {
    this.#notes = notes
  }

  get url(): string {
    return this.#installation.url
  }

  get said(): string {
    const { stdout, stderr } = this.#installation.process
    return `${stdout}${stderr}`.slice(-2_000)
  }

  async start(): Promise<void> {
    await this.#installation.start()
  }

  async strike(random: Random): Promise<void> {
    await this.#end(random)
    await this.#startAgain(random)
  }

  async finish(): Promise<void> {
    const { status } = await this.#installation.process.end('SIGTERM')
    if (status !== 0) this.#notes.ledger.fail(`the service ended with ${status} at SIGTERM: ${this.said}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#installation[Symbol.asyncDispose]()
  }

  async #end(random: Random): Promise<void> {
    const { process } = this.#installation
    if (random.chance(0.55)) return this.#ended(await process.end('SIGKILL'))
    process.signal('SIGTERM')
    if (random.chance(0.5)) {
      await sleep(random.between(0, 350))
      process.signal('SIGKILL')
    }
    this.#ended(await process.exited)
  }

  #ended(exit: { status: number | null; signal: string | null }): void {
    noteEnd(this.#notes, exit, this.said)
    if (/"level":(50|60)/.test(this.said)) this.#notes.ledger.fail(`the service logged: ${this.said}`)
  }

  /** Sometimes it is killed again before it listens, while it takes up what is left. */
  async #startAgain(random: Random): Promise<void> {
    for (;;) {
      nextLife(this.#notes)
      const started = this.#installation.launch()
      const early = random.chance(0.3) ? sleep(random.between(100, 700), 'early' as const) : null
      const first = await Promise.race([started.listening, ...(early === null ? [] : [early])])
      if (first === 'early') {
        this.#ended(await started.end('SIGKILL'))
        continue
      }
      this.#installation.url = first
      return
    }
  }
}

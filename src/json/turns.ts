/** Work in steps. */
interface Task {
  step(): boolean
  done(): void
  failed(reason: unknown): void
}

/**
 * Does long work in short steps: one step a turn of the event loop, whoever has work here, and the loop is free between two of them.
 * Tenants take turns; of one tenant, what came first is finished first.
 */
export class Turns {
  readonly #nextTurn: (go: () => void) => void
  /** By tenant, the one whose turn it is first. */
  readonly #lines = new Map<string, Task[]>()
  #armed = false

  /** @param options.nextTurn - Calls back once the event loop has gone round. Default: `setImmediate`. */
  constructor({ nextTurn = setImmediate }: { nextTurn?: (go: () => void) => unknown } = {}) {
    this.#nextTurn = nextTurn
  }

  /**
   * Call `step` in turns of its own until it returns true.
   * @throws what `step` throws; `signal.reason` as soon as it aborts, and `step` is not called any more.
   */
  run(tenantId: string, step: () => boolean, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const task: Task = { step, done: resolve, failed: reject }
    const onAbort = () => {
      this.#remove(tenantId, task)
      reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    const line = this.#lines.get(tenantId)
    if (line) line.push(task)
    else this.#lines.set(tenantId, [task])
    this.#arm()
    return promise.finally(() => signal.removeEventListener('abort', onAbort))
  }

  #arm(): void {
    if (this.#armed || this.#lines.size === 0) return
    this.#armed = true
    this.#nextTurn(() => this.#turn())
  }

  #turn(): void {
    this.#armed = false
    const [next] = this.#lines
    if (next === undefined) return
    const [tenantId, line] = next
    const [task] = line
    // To the end of the round.
    this.#lines.delete(tenantId)
    this.#lines.set(tenantId, line)
    // A line without a task is not kept.
    if (task !== undefined && this.#isOver(task)) this.#remove(tenantId, task)
    this.#arm()
  }

  #isOver({ step, done, failed }: Task): boolean {
    try {
      if (!step()) return false
      done()
    } catch (error) {
      failed(error)
    }
    return true
  }

  #remove(tenantId: string, task: Task): void {
    const line = this.#lines.get(tenantId)?.filter((each) => each !== task)
    if (line === undefined) return
    if (line.length > 0) this.#lines.set(tenantId, line)
    else this.#lines.delete(tenantId)
  }
}

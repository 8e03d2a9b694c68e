/** Things to do that belong to a key: one after the other for each key, in the order in which they came. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  /** True while something of `key` is under way or waits. */
  isBusy(key: string): boolean {
    return this.#last.has(key)
  }

  /** Do it when all of its key that came before has ended, well or not. */
  async take<T>(key: string, act: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve()
    const mine = before.then(act, act)
    const settled = mine.catch(() => undefined)
    this.#last.set(key, settled)
    try {
      return await mine
    } finally {
      if (this.#last.get(key) === settled) this.#last.delete(key)
    }
  }
}

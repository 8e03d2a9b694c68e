/** Where a problem is: a batch by its id (`#7`, its number, where it has none), and a job of it. */
export interface Place {
  batch?: string
  index?: number
}

/** Something in a store that is not as it should be: one line that names what, and what would be right. */
export interface Problem extends Place {
  message: string
}

/** Problems as they are found: all are counted, the first ones are kept, so that a store full of them costs no memory. */
export class Findings {
  readonly problems: Problem[] = []
  readonly #keep: number
  #found = 0

  /** @param keep - How many are kept. */
  constructor(keep: number) {
    this.#keep = keep
  }

  /** How many there are, kept or not. */
  get found(): number {
    return this.#found
  }

  add(message: string, place: Place = {}): void {
    this.#found++
    if (this.problems.length < this.#keep) this.problems.push({ ...place, message })
  }

  /** A problem unless `found` is `right`. */
  expect(what: string, found: unknown, right: unknown, place: Place = {}): void {
    if (found !== right) this.add(`${what} is ${shown(found)}, should be ${shown(right)}`, place)
  }
}

/** A value from a store on one line, and no more of it than says what it is. */
export function shown(value: unknown): string {
  const text = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? 'absent')
  return text.length <= 80 ? text : `${text.slice(0, 79)}…`
}

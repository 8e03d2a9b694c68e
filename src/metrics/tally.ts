/**
 * A distribution in plain numbers: how many values were at most as large as each bound. To observe one costs a look at a few numbers
 * and allocates nothing.
 */
export class Buckets {
  /** Rising; what is larger than the last counts for no bound but the sum and the count. */
  readonly bounds: readonly number[]
  readonly #counts: Float64Array
  #sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    const { bounds } = this
    let at = 0
    while (at < bounds.length && value > bounds[at]) at++
    this.#counts[at]++
    this.#sum += value
  }

  /** The sum of all values. */
  get sum(): number {
    return this.#sum
  }

  /** How many values there were. */
  get count(): number {
    return this.#counts.reduce((sum, each) => sum + each, 0)
  }

  /** For each bound how many values were at most as large. */
  get cumulative(): number[] {
    let sum = 0
    return this.bounds.map((_, at) => {
      sum += this.#counts[at]
      return sum
    })
  }
}

/** What a key counts as when it is no word, or there are too many different ones. */
export const OTHER = 'other'

/** A key that is no word could be anything, such as what a tenant has sent. */
const WORD = /^[a-z][\w-]{0,63}$/i

/** Counts by a key. Whatever comes in, there are few different keys, and words: all else counts as {@link OTHER}. */
export class Tally {
  readonly #counts = new Map<string, { count: number }>()
  readonly #limit: number

  /** @param limit - How many different keys there may be beside {@link OTHER}. Default 100. */
  constructor(limit = 100) {
    this.#limit = limit
  }

  add(key: string, by = 1): void {
    const known = this.#counts.get(key) ?? this.#enter(key)
    known.count += by
  }

  *entries(): Generator<[key: string, count: number]> {
    for (const [key, { count }] of this.#counts) yield [key, count]
  }

  #enter(key: string): { count: number } {
    const isTaken = this.#counts.size < this.#limit && WORD.test(key)
    const known = isTaken ? undefined : this.#counts.get(OTHER)
    if (known !== undefined) return known
    const entered = { count: 0 }
    this.#counts.set(isTaken ? key : OTHER, entered)
    return entered
  }
}

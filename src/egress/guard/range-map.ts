import { type Address, BITS } from './address.ts'
import type { Range } from './range.ts'

/** The ranges of one length, by their prefixes. */
interface Level<T> {
  bits: number
  shift: bigint
  values: Map<bigint, T[]>
}

/**
 * Values by range of addresses. Finding those of an address costs a look-up for each length of prefix there is, however many ranges there
 * are.
 */
export class RangeMap<T> {
  /** The longest prefixes first. */
  readonly #levels: Record<4 | 6, Level<T>[]>

  constructor(entries: Iterable<readonly [range: Range, value: T]>) {
    const all = [...entries]
    this.#levels = { 4: levelsOf(all, 4), 6: levelsOf(all, 6) }
  }

  /** Whether no address is in it. */
  get isEmpty(): boolean {
    return this.#levels[4].length + this.#levels[6].length === 0
  }

  /** The value of the narrowest range that the address is in, of those that `accepts`. */
  find({ family, value }: Address, accepts: (value: T) => boolean = () => true): T | undefined {
    for (const { shift, values } of this.#levels[family]) {
      const found = values.get(value >> shift)?.find(accepts)
      if (found !== undefined) return found
    }
    return undefined
  }
}

function levelsOf<T>(entries: (readonly [Range, T])[], family: 4 | 6): Level<T>[] {
  const byBits = Map.groupBy(
    entries.filter(([range]) => range.family === family),
    ([range]) => range.bits,
  )
  return Array.from(byBits, ([bits, own]) => levelOf(bits, BITS[family], own)).sort((a, b) => b.bits - a.bits)
}

function levelOf<T>(bits: number, width: number, entries: (readonly [Range, T])[]): Level<T> {
  const grouped = Map.groupBy(entries, ([range]) => range.prefix)
  const values = new Map(Array.from(grouped, ([prefix, own]) => [prefix, own.map(([, value]) => value)]))
  return { bits, shift: BigInt(width - bits), values }
}

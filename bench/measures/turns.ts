/** The same in another order each round: whoever is first in a round finds another machine than whoever is last. */
export function turns<T>(all: readonly T[], round: number): T[] {
  const first = all.length === 0 ? 0 : (round - 1) % all.length
  return [...all.slice(first), ...all.slice(0, first)]
}

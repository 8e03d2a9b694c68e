/** The median of some figures. */
export function median(figures: readonly number[]): number {
  return quantile(figures, 0.5)
}

/** The figure that a share `q` of all figures does not exceed; NaN of none. */
export function quantile(figures: readonly number[], q: number): number {
  const sorted = figures.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}

/** What several rounds of one figure come to. */
export interface Spread {
  median: number
  low: number
  high: number
}

/** Median, least and greatest; all NaN of none. */
export function spreadOf(figures: readonly number[]): Spread {
  if (figures.length === 0) return { median: Number.NaN, low: Number.NaN, high: Number.NaN }
  return {
    median: median(figures),
    low: figures.reduce((a, b) => Math.min(a, b)),
    high: figures.reduce((a, b) => Math.max(a, b)),
  }
}

/** Each figure as a share of the other of the same round; rounds that one of them lacks are left out. */
export function ratios(figures: readonly number[], others: readonly number[]): number[] {
  return figures.slice(0, others.length).map((figure, round) => figure / others[round])
}

/** A figure and when it was taken. */
export interface Point {
  x: number
  y: number
}

/** The median of the slopes between all pairs of points (Theil and Sen): an outlier or two do not move it. 0 of fewer than two. */
export function slope(points: readonly Point[]): number {
  const slopes: number[] = []
  for (const [i, a] of points.entries())
    for (const b of points.slice(i + 1)) if (b.x !== a.x) slopes.push((b.y - a.y) / (b.x - a.x))
  return slopes.length === 0 ? 0 : median(slopes)
}

/** By how much of their median some figures grow, from the first point to the last: 0.1 is a tenth. */
export function growth(points: readonly Point[]): number {
  const first = points.at(0)
  const last = points.at(-1)
  if (first === undefined || last === undefined) return 0
  const middle = median(points.map(({ y }) => y))
  return middle === 0 ? 0 : (slope(points) * (last.x - first.x)) / middle
}

/** A figure with as many digits as it is worth, in groups of three. */
export function shown(figure: number): string {
  const size = Math.abs(figure)
  if (!Number.isFinite(figure)) return '–'
  if (size >= 100 || Number.isInteger(figure)) return Math.round(figure).toLocaleString('en')
  return figure.toFixed(size >= 10 ? 1 : 2)
}

/** `median (low–high)`, or the figure alone if there is one. */
export function told({ median, low, high }: Spread): string {
  return low === high || Number.isNaN(median) ? shown(median) : `${shown(median)} (${shown(low)}–${shown(high)})`
}

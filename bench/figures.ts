/** The median of some figures. */
export function median(figures: readonly number[]): number {
  return quantile(figures, 0.5)
}

/** The figure that a share `q` of all figures does not exceed. */
export function quantile(figures: readonly number[], q: number): number {
  const sorted = figures.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}

/** `median (min–max)` of milliseconds. */
export function spread(figures: readonly number[], digits = 0): string {
  const [low, high] = [Math.min(...figures), Math.max(...figures)]
  return `${median(figures).toFixed(digits)} ms (${low.toFixed(digits)}–${high.toFixed(digits)})`
}

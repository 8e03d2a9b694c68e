/** Whether arrays and objects are nested at most `depth` deep; a scalar is 0 deep, `[]` is 1. Looks no deeper than that itself. */
export function fitsDepth(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (depth === 0) return false
  return Object.values(value).every((item) => fitsDepth(item, depth - 1))
}

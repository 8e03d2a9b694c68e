/** From one to ten thousand; with `--quick` to a thousand. */
export function sizes(quick: boolean): number[] {
  return [1, 10, 100, 1_000, ...(quick ? [] : [10_000])]
}

/**
 * Whether somebody who holds `held` of a budget gets `wanted` more of the `free` rest: as long as it has no more than what is left free
 * then, so one alone gets half of it at most, two get a third each, and so on. One that has nothing gets what fits.
 */
export function fitsShare({ held, wanted, free }: { held: number; wanted: number; free: number }): boolean {
  return held === 0 ? wanted <= free : held + wanted <= free - wanted
}

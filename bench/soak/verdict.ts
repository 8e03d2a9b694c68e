import { growth } from '../figures.ts'
import { LOOKS, type Look, type Sighting } from './watch.ts'

/** By how much each may grow from the first look that counts to the last, in percent of its median; the others only have a chart. */
export const MAY_GROW: Partial<Record<Look, number>> = {
  'resident memory': 10,
  heap: 15,
  'files and sockets': 10,
  'data directory': 10,
  'one job, p50': 15,
  'one job, p99': 30,
}

/** A soak of fewer minutes is for trying: too little is seen of what grows. */
export const SHORTEST_MINUTES = 10

/** The share of a soak that goes before what is judged: until caches are full and retention deletes as much as comes. */
export const BEFORE = 1 / 3

/** How much each has grown, in percent, once the first part is over; less than nothing when it shrank. */
export function grown(sightings: readonly Sighting[]): Map<Look, number> {
  const end = sightings.at(-1)?.minutes ?? 0
  const counted = sightings.filter(({ minutes }) => minutes >= end * BEFORE)
  // Its keys are the looks.
  const looks = Object.keys(LOOKS) as Look[]
  return new Map(
    looks.map((look) => [
      look,
      100 * growth(counted.map(({ minutes, figures }) => ({ x: minutes, y: figures[look] }))),
    ]),
  )
}

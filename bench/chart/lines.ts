import { type Spread, shown } from '../figures.ts'
import type { Panel } from './bars.ts'
import { isWide, linear, logarithmic, type Scale } from './scale.ts'
import { COLOURS, element, line, text } from './svg.ts'

/** A line of a curve: its points by what it is drawn over. */
export interface Line {
  name: string
  points: { x: number; spread: Spread }[]
}

/** What a panel of lines shows. */
export interface Curve {
  unit: string
  /** What the lines are drawn over. */
  axis: string
  lines: readonly Line[]
  /** Drawn right across, in the unit of the panel. */
  targets: readonly number[]
}

const [LEFT, RIGHT, HEAD, TALL, FOOT] = [70, 30, 26, 190, 46]

/** More points than this lie too close for dots and whiskers; they are times rather than sizes. */
const DOTS = 24

/** Lines of one unit over one axis, logarithmic where the figures are far apart; whiskers from the least to the greatest round. */
export function lines({ unit, axis, lines: all, targets }: Curve, top: number, width: number): Panel {
  const points = all.flatMap((each) => each.points)
  const [length, bottom] = [width - LEFT - RIGHT, top + HEAD + TALL]
  const xs = points.map(({ x }) => x)
  const ys = [...points.flatMap(({ spread }) => [spread.low, spread.high]), ...targets].filter(Number.isFinite)
  const across =
    isWide(xs, 50) && new Set(xs).size <= DOTS
      ? logarithmic(Math.min(...xs), Math.max(...xs), length)
      : linear(Math.max(...xs, 0), length)
  const up = isWide(ys) ? logarithmic(Math.min(...ys), Math.max(...ys), TALL) : linear(Math.max(...ys, 0), TALL)
  const place = { x: (x: number) => LEFT + across.at(x), y: (y: number) => bottom - up.at(y) }
  return {
    parts: [
      ...frame(across, up, place, width),
      text(axis, { x: LEFT + length / 2, y: bottom + 34, class: 'soft middle' }),
      ...legend(unit, all, top),
      ...targets.filter(Number.isFinite).map((y) => line(LEFT, place.y(y), width - RIGHT, place.y(y), 'target')),
      ...all.flatMap((each, i) => drawn(each, i % COLOURS, place)),
    ],
    height: HEAD + TALL + FOOT,
  }
}

interface Place {
  x(x: number): number
  y(y: number): number
}

function frame(across: Scale, up: Scale, place: Place, width: number): string[] {
  const floor = place.y(up.ticks[0])
  return [
    ...up.ticks.flatMap((y) => [
      line(LEFT, place.y(y), width - RIGHT, place.y(y), 'grid'),
      text(shown(y), { x: LEFT - 8, y: place.y(y) + 4, class: 'soft end' }),
    ]),
    ...across.ticks.map((x) => text(shown(x), { x: place.x(x), y: floor + 16, class: 'soft middle' })),
  ]
}

function legend(unit: string, all: readonly Line[], top: number): string[] {
  let x = LEFT
  const entries = all.flatMap(({ name }, i) => {
    const at = x
    x += name.length * 6.6 + 34
    return [
      element('rect', { x: at, y: top + 7, width: 12, height: 10, class: `f${i % COLOURS}` }),
      text(name, { x: at + 17, y: top + 16 }),
    ]
  })
  return [...entries, text(unit, { x: LEFT - 8, y: top + 16, class: 'soft end' })]
}

function drawn({ points }: Line, colour: number, place: Place): string[] {
  const there = points.filter(({ spread }) => Number.isFinite(spread.median)).toSorted((a, b) => a.x - b.x)
  const path = there.map(
    ({ x, spread }, i) => `${i === 0 ? 'M' : 'L'}${place.x(x).toFixed(1)} ${place.y(spread.median).toFixed(1)}`,
  )
  const d = path.join(' ')
  const curve = element('path', { d, class: `line s${colour}` })
  if (there.length > DOTS) return [curve]
  return [curve, ...there.flatMap(({ x, spread }) => dot(place.x(x), spread, colour, place))]
}

function dot(x: number, { median, low, high }: Spread, colour: number, place: Place): string[] {
  const point = element('circle', { cx: x, cy: place.y(median), r: 3.5, class: `f${colour}` })
  return low === high ? [point] : [line(x, place.y(low), x, place.y(high), `s${colour}`), point]
}

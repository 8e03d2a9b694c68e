import { type Spread, shown, told } from '../figures.ts'
import { linear } from './scale.ts'
import { element, line, text } from './svg.ts'

/** A bar: what the rounds came to, and where its target lies. */
export interface Bar {
  name: string
  spread: Spread
  /** Others are drawn paler. */
  ours: boolean
  /** In the unit of the panel; NaN: none. */
  target: number
}

/** A part of a chart, and how high it is. */
export interface Panel {
  parts: string[]
  height: number
}

const [ROW, THICK, LABEL, VALUE, HEAD, FOOT] = [24, 14, 270, 150, 26, 26]

/** Bars of one unit below each other: median, whiskers from the least to the greatest round, a dashed line at the target. */
export function bars(unit: string, rows: readonly Bar[], top: number, width: number): Panel {
  const length = width - LABEL - VALUE
  const figures = rows.flatMap(({ spread, target }) => [spread.high, target]).filter(Number.isFinite)
  const scale = linear(Math.max(...figures, 0), length)
  const [first, bottom] = [top + HEAD, top + HEAD + rows.length * ROW]
  const grid = scale.ticks.flatMap((tick) => [
    line(LABEL + scale.at(tick), first, LABEL + scale.at(tick), bottom, 'grid'),
    text(shown(tick), { x: LABEL + scale.at(tick), y: bottom + 16, class: 'soft middle' }),
  ])
  const drawn = rows.flatMap((bar, i) => row(bar, first + i * ROW, scale.at))
  return {
    parts: [text(unit, { x: LABEL, y: top + 16, class: 'soft' }), ...grid, ...drawn],
    height: bottom + FOOT - top,
  }
}

function row({ name, spread, ours, target }: Bar, y: number, at: (figure: number) => number): string[] {
  const middle = y + ROW / 2
  const label = text(name, { x: LABEL - 8, y: middle + 4, class: 'end' })
  if (Number.isNaN(spread.median)) return [label]
  const [low, high] = [LABEL + at(spread.low), LABEL + at(spread.high)]
  const bound = Number.isFinite(target) ? LABEL + at(target) : null
  return [
    label,
    element('rect', {
      x: LABEL,
      y: middle - THICK / 2,
      width: Math.max(0, at(spread.median)),
      height: THICK,
      class: ours ? 'ours' : 'rival',
    }),
    ...whisker(low, high, middle),
    ...(bound === null ? [] : [line(bound, y + 1, bound, y + ROW - 1, 'target')]),
    text(told(spread), { x: Math.max(high, bound ?? 0) + 8, y: middle + 4 }),
  ]
}

function whisker(low: number, high: number, y: number): string[] {
  if (low === high) return []
  return [
    line(low, y, high, y, 'whisker'),
    line(low, y - 4, low, y + 4, 'whisker'),
    line(high, y - 4, high, y + 4, 'whisker'),
  ]
}

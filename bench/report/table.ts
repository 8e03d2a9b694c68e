import { ratios, shown, spreadOf, told } from '../figures.ts'
import { type Findings, type Series, seriesOf } from './book.ts'
import type { Outcome } from './measure.ts'
import { judge, type Target, type Verdict } from './verdict.ts'

/** A table by its cells, the head first. */
export type Cells = string[][]

/** The most points of a curve that a table has; beyond, the chart must do. */
const MOST_POINTS = 12

/** Each series of an outcome, and how it compares with the base of the same round. */
export function seriesCells(outcome: Outcome): Cells {
  const plain = outcome.series.filter(({ at }) => at === undefined)
  if (plain.length === 0) return []
  const base = seriesOf(outcome, outcome.base ?? '')
  const head = ['', 'median (min–max)', 'unit', ...(outcome.base === undefined ? [] : [`of ${outcome.base}`])]
  return [head, ...plain.map((series) => seriesRow(series, outcome.base === undefined ? null : base))]
}

function seriesRow({ name, unit, figures }: Series, base: Series | null): string[] {
  const row = [name, told(spreadOf(figures)), unit]
  if (base === null) return row
  const share = unit === base.unit ? told(spreadOf(ratios(figures, base.figures))) : ''
  return [...row, share]
}

/** A curve: what it is drawn over downwards, its lines across. Nothing when it has too many points to be read. */
export function curveCells({ series, axis = '' }: Pick<Outcome, 'series' | 'axis'>): Cells {
  const points = series.flatMap(({ at, unit, figures }) =>
    at === undefined ? [] : [{ line: `${at.line} (${unit})`, x: at.x, figures }],
  )
  const xs = [...new Set(points.map(({ x }) => x))].toSorted((a, b) => a - b)
  const lines = [...new Set(points.map(({ line }) => line))]
  if (xs.length === 0 || xs.length > MOST_POINTS) return []
  const cell = (x: number, line: string) =>
    told(spreadOf(points.find((point) => point.x === x && point.line === line)?.figures ?? []))
  return [[axis, ...lines], ...xs.map((x) => [shown(x), ...lines.map((line) => cell(x, line))])]
}

/** Each target of an outcome, what was found, and whether it is met, by `judged`. */
export function verdictCells<T extends Pick<Outcome, 'targets'> & Findings>(
  outcome: T,
  judged: (outcome: T, target: Target) => Verdict = judge,
): Cells {
  const rows = outcome.targets.map((target) => judged(outcome, target))
  if (rows.length === 0) return []
  return [['target', 'found', ''], ...rows.map(({ target, told, verdict }) => [target, told, verdict])]
}

/** Columns of equal width, to be read on a terminal. */
export function plainTable(cells: Cells): string {
  const widths = widthsOf(cells)
  return cells
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** The same as Markdown. */
export function markdownTable([head, ...rows]: Cells): string {
  if (head === undefined) return ''
  const safe = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')))
  const widths = widthsOf(safe)
  const line = (row: string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`
  return [line(safe[0]), line(widths.map((width) => '-'.repeat(Math.max(3, width)))), ...safe.slice(1).map(line)].join(
    '\n',
  )
}

function widthsOf(cells: Cells): number[] {
  return (cells[0] ?? []).map((_, i) => Math.max(3, ...cells.map((row) => (row[i] ?? '').length)))
}

import { spreadOf } from '../figures.ts'
import type { Series } from '../report/book.ts'
import type { Outcome } from '../report/measure.ts'
import { boundOf } from '../report/verdict.ts'
import { type Bar, bars, type Panel } from './bars.ts'
import { type Line, lines } from './lines.ts'
import { document, element, text } from './svg.ts'

const [WIDTH, TOP, GAP] = [860, 40, 14]

/** The chart of an outcome: a panel for each unit, bars first and then curves; the command below, so that it can be made again. */
export function chart(outcome: Outcome): string {
  const { id, title, command } = outcome
  const parts: string[] = []
  let top = TOP
  for (const draw of panels(outcome)) {
    const panel = draw(top)
    parts.push(...panel.parts)
    top += panel.height + GAP
  }
  const height = top + 20
  const head = [
    element('rect', { width: WIDTH, height, class: 'page' }),
    text(`${id}: ${title}`, { x: 16, y: 24, class: 'title' }),
  ]
  const foot = text(command, { x: 16, y: height - 10, class: 'soft' })
  return document(WIDTH, height, `${id}: ${title}`, [...head, ...parts, foot])
}

type Draw = (top: number) => Panel

function panels(outcome: Outcome): Draw[] {
  const [plain, curved] = [outcome.series.filter(({ at }) => at === undefined), outcome.series.filter(({ at }) => at)]
  return [
    ...Array.from(
      Map.groupBy(plain, ({ unit }) => unit),
      ([unit, series]): Draw => {
        const rows = series.map((each) => barOf(outcome, each))
        return (top) => bars(unit, rows, top, WIDTH)
      },
    ),
    ...Array.from(
      Map.groupBy(curved, ({ unit }) => unit),
      ([unit, series]): Draw => {
        const curve = { unit, axis: outcome.axis ?? '', lines: linesOf(series), targets: boundsOf(outcome, series) }
        return (top) => lines(curve, top, WIDTH)
      },
    ),
  ]
}

function barOf(outcome: Outcome, { name, figures }: Series): Bar {
  const target = outcome.targets.find(({ series }) => series === name)
  const bound = target === undefined ? Number.NaN : boundOf(outcome, target)
  // Where there is something to compare with, what has a target is ours.
  const ours = outcome.base === undefined || target !== undefined
  return { name, spread: spreadOf(figures), ours, target: bound }
}

function linesOf(series: readonly Series[]): Line[] {
  const byLine = Map.groupBy(series, ({ at }) => at?.line ?? '')
  return Array.from(byLine, ([name, own]) => ({
    name,
    points: own.map(({ at, figures }) => ({ x: at?.x ?? 0, spread: spreadOf(figures) })),
  }))
}

function boundsOf(outcome: Outcome, series: readonly Series[]): number[] {
  const names = new Set(series.map(({ name }) => name))
  return outcome.targets.filter((target) => names.has(target.series)).map((target) => boundOf(outcome, target))
}

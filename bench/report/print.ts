import { doubts } from './doubt.ts'
import type { Outcome } from './measure.ts'
import { curveCells, plainTable, seriesCells, verdictCells } from './table.ts'

/** All that there is to read about an outcome on a terminal. */
export function printed(outcome: Outcome): string {
  const { id, title, skipped } = outcome
  const tables = [seriesCells(outcome), curveCells(outcome), verdictCells(outcome)]
  const left = skipped.map(({ name, why }) => `not measured: ${name}: ${why}`)
  const why = doubts(outcome)
  const doubt = why.length === 0 ? [] : [`of little weight: ${why.join(', ')}`]
  return [`\n${id}  ${title}`, ...tables.filter((cells) => cells.length > 0).map(plainTable), ...left, ...doubt].join(
    '\n',
  )
}

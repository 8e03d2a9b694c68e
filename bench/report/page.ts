import { fileOf, type Outcome } from './measure.ts'
import { curveCells, markdownTable, seriesCells, verdictCells } from './table.ts'
import { judge } from './verdict.ts'

const HEAD = `# Benchmarks

Written by \`npm run bench -- --write\`, and the charts with it; what is changed here by hand goes with the next run. What each figure means and
how it grows is in [performance](../performance.md). Figures of one measure were taken side by side and belong together; those of another
machine, or of another hour of a shared one, do not.`

/** The page of a folder of outcomes: all targets first, then each measure with its chart, its tables and its command. */
export function page(outcomes: readonly Outcome[]): string {
  return `${[HEAD, '## Targets', markdownTable(summary(outcomes)), ...outcomes.map(section)].join('\n\n')}\n`
}

function summary(outcomes: readonly Outcome[]): string[][] {
  const rows = outcomes.flatMap((outcome) =>
    outcome.targets.map((target) => ({ id: outcome.id, ...judge(outcome, target) })),
  )
  const cells = rows.map(({ id, target, told, verdict }) => [id, target, told, emphasised(verdict)])
  return [['', 'target', 'found, median (min–max)', ''], ...cells]
}

function section(outcome: Outcome): string {
  const { id, title, skipped } = outcome
  const tables = [seriesCells(outcome), curveCells(outcome), verdictCells(outcome)].filter(({ length }) => length > 0)
  const left = skipped.map(({ name, why }) => `Not measured: ${name} (${why}).`)
  return [
    `## ${id}: ${title}`,
    `![${title}](${fileOf(outcome)}.svg)`,
    ...tables.map(markdownTable),
    ...left,
    origin(outcome),
  ].join('\n\n')
}

/** How to have it measured again, and what it was measured on. */
function origin({ command, at, load, machine, commit, seconds, ...outcome }: Outcome): string {
  const when = `${at.slice(0, 16).replace('T', ' ')} UTC`
  const where = `${machine}, load ${load.toFixed(1)} when it began, ${when}, commit ${commit}, ${Math.round(seconds)} s`
  return `\`${command}\`: ${where}. [JSON](${fileOf(outcome)}.json).`
}

function emphasised(verdict: string): string {
  return verdict === 'missed' ? '**missed**' : verdict
}

import { doubts, fairly } from './doubt.ts'
import { fileOf, type Outcome } from './measure.ts'
import { curveCells, markdownTable, seriesCells, verdictCells } from './table.ts'

const HEAD = `# Benchmarks

Written by \`npm run bench -- --write\`, and the charts with it; what is changed here by hand goes with the next run. What each figure means and
how it grows is in [performance](../performance.md). Figures of one measure were taken side by side and belong together; those of another
machine, or of another hour of a shared one, do not. Targets are judged by the
median of the rounds, of two the greater; those that say _always_ by the worst.`

/** The page of a folder of outcomes: all targets first, then each measure with its chart, its tables and its command. */
export function page(outcomes: readonly Outcome[]): string {
  const parts = [HEAD, ...warning(outcomes), '## Targets', markdownTable(summary(outcomes)), ...outcomes.map(section)]
  return `${parts.join('\n\n')}\n`
}

/** That figures are here which say little, where there are. */
function warning(outcomes: readonly Outcome[]): string[] {
  const doubtful = outcomes.filter((outcome) => doubts(outcome).length > 0).length
  if (doubtful === 0) return []
  return [
    `**${doubtful} of ${outcomes.length} measures are placeholders**: they were taken with \`--quick\`, beside more work than the machine has cores, or
from a working tree with uncommitted changes, as is said with each. They show that it can be measured; they are not judged, and nothing follows from their figures.`,
  ]
}

function summary(outcomes: readonly Outcome[]): string[][] {
  const rows = outcomes.flatMap((outcome) =>
    outcome.targets.map((target) => ({ id: outcome.id, ...fairly(outcome, target) })),
  )
  const cells = rows.map(({ id, target, told, verdict }) => [id, target, told, emphasised(verdict)])
  return [['', 'target', 'found, median (min–max)', ''], ...cells]
}

function section(outcome: Outcome): string {
  const { id, title, skipped } = outcome
  const tables = [seriesCells(outcome), curveCells(outcome), verdictCells(outcome, fairly)].filter(
    ({ length }) => length > 0,
  )
  const left = skipped.map(({ name, why }) => `Not measured: ${name} (${why}).`)
  return [
    `## ${id}: ${title}`,
    ...placeholder(outcome),
    `![${title}](${fileOf(outcome)}.svg)`,
    ...tables.map(markdownTable),
    ...left,
    origin(outcome),
  ].join('\n\n')
}

function placeholder(outcome: Outcome): string[] {
  const why = doubts(outcome)
  return why.length === 0 ? [] : [`**${sentence(why.join(', '))}: placeholder, not judged.**`]
}

const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}`

/** How to have it measured again, and what it was measured on. */
function origin({ command, at, load, machine, commit, seconds, ...outcome }: Outcome): string {
  const when = `${at.slice(0, 16).replace('T', ' ')} UTC`
  const where = `${machine}, load ${load.toFixed(1)} when it began, ${when}, commit ${commit}, ${Math.round(seconds)} s`
  return `\`${command}\`: ${where}. [JSON](${fileOf(outcome)}.json).`
}

function emphasised(verdict: string): string {
  return verdict === 'missed' ? '**missed**' : verdict
}

// npm run bench: the measures of docs/performance.md. --only P1,P7 for some, --quick for less, --write for docs/benchmarks. See args.ts.
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { type Asked, asked, commandOf, type Known, usage } from './args.ts'
import { GROUPS, MEASURES, USUAL } from './measures.ts'
import { draw, keep } from './report/folder.ts'
import type { Outcome, Plan } from './report/measure.ts'
import { printed } from './report/print.ts'
import { plainTable, verdictCells } from './report/table.ts'
import { take } from './take.ts'

const FOLDER = process.env.BENCH_FOLDER ?? fileURLToPath(new URL('../docs/benchmarks', import.meta.url))

const ids = MEASURES.map(({ id }) => id)
const cases = Object.fromEntries(MEASURES.flatMap(({ id, cases }) => (cases === undefined ? [] : [[id, cases]])))
const known: Known = { ids, usual: USUAL, cases, groups: GROUPS }

const wanted = read()
if (wanted === 'help') process.stdout.write(usage(known))
else if (wanted === null) process.exitCode = 2
else if (wanted.draw) await draw(FOLDER, ids)
else await measure({ ...wanted, say: (text: string) => console.error(text) })

/** What is asked for; null when that cannot be, which is told in a line. */
function read(): ReturnType<typeof asked> | null {
  try {
    return asked(process.argv.slice(2), known)
  } catch (error) {
    // Whatever is thrown there is about the command line.
    console.error(`npm run bench: ${(error as Error).message} (--help)`)
    return null
  }
}

async function measure(plan: Asked & Plan): Promise<void> {
  if (plan.json !== undefined) await writeFile(plan.json, '[]\n')
  const outcomes: Outcome[] = []
  for (const each of MEASURES.filter(({ id }) => plan.only.includes(id))) {
    const outcome = await take(each, plan, commandOf(each.id, plan, each.cases))
    if (outcome === null) process.exitCode = 1
    else outcomes.push(outcome)
    // What was measured is kept, whatever becomes of the rest.
    if (outcome !== null && plan.write) await keep(FOLDER, [outcome], ids)
    if (outcome !== null) console.log(printed(outcome))
  }
  if (plan.json !== undefined) await writeFile(plan.json, `${JSON.stringify(outcomes, null, 2)}\n`)
  console.log(`\n${plainTable(summary(outcomes))}`)
}

function summary(outcomes: readonly Outcome[]): string[][] {
  const seconds = outcomes.reduce((sum, each) => sum + each.seconds, 0)
  const rows = outcomes.flatMap((outcome) =>
    verdictCells(outcome)
      .slice(1)
      .map((row) => [outcome.id, ...row]),
  )
  return [[`${Math.round(seconds)} s`, 'target', 'found', ''], ...rows]
}

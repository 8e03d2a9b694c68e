import { execFileSync } from 'node:child_process'
import { cpus } from 'node:os'
import { loadNow } from './machine/load.ts'
import { MissingTool } from './machine/tool.ts'
import { Book } from './report/book.ts'
import type { Measure, Outcome, Plan } from './report/measure.ts'

/** Take a measure. Null when it failed, which is told; what needs a tool that is not installed is left out with a word. */
export async function take(measure: Measure, plan: Plan, command: string): Promise<Outcome | null> {
  const { id, base, axis, targets } = measure
  const title = plan.quick ? (measure.quickTitle ?? measure.title) : measure.title
  const book = new Book()
  const load = await loadNow()
  const began = new Date()
  plan.say(`\n${id}: ${title} (load ${load.toFixed(1)})`)
  try {
    await measure.run(book, plan)
  } catch (error) {
    if (!(error instanceof MissingTool)) return failed(id, error)
    book.skip(id, error.message)
  }
  const seconds = (Date.now() - began.getTime()) / 1_000
  const found = { ...book.findings(), at: began.toISOString(), seconds, load }
  return { id, title, base, axis, targets, command, machine: machine(), commit: commit(), ...found }
}

function failed(id: string, error: unknown): null {
  console.error(`${id} failed:`, error)
  return null
}

function machine(): string {
  const all = cpus()
  return `${all.length} × ${all[0]?.model.trim() ?? 'unknown'}, Node ${process.versions.node}`
}

/** With `-dirty` when files differ from it, but for those that a run before this one has written. */
function commit(): string {
  try {
    const changes = git('status', '--porcelain', '--untracked-files=no', '--', ':/', ':(top,exclude)docs/benchmarks')
    return `${git('describe', '--always')}${changes === '' ? '' : '-dirty'}`
  } catch {
    // A copy without its history can be measured as well.
    return 'unknown'
  }
}

function git(...args: string[]): string {
  return execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8' }).trim()
}

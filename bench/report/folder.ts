import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chart } from '../chart/chart.ts'
import { fileOf, type Outcome } from './measure.ts'
import { page } from './page.ts'

/** Put the outcomes beside those that are in the folder, the newer one of each, and draw all of it again. */
export async function keep(folder: string, outcomes: readonly Outcome[], order: readonly string[]): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const outcome of outcomes)
    await writeFile(join(folder, `${fileOf(outcome)}.json`), `${JSON.stringify(outcome, null, 2)}\n`)
  await draw(folder, order)
}

/** Make the charts and the page of a folder from the JSON that is in it. */
export async function draw(folder: string, order: readonly string[]): Promise<void> {
  const all = await kept(folder)
  const outcomes = all.toSorted((a, b) => order.indexOf(a.id) - order.indexOf(b.id))
  for (const outcome of outcomes) await writeFile(join(folder, `${fileOf(outcome)}.svg`), chart(outcome))
  await writeFile(join(folder, 'README.md'), page(outcomes))
}

async function kept(folder: string): Promise<Outcome[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.json'))
  // Nobody else writes there.
  return Promise.all(files.map(async (file) => JSON.parse(await readFile(join(folder, file), 'utf8')) as Outcome))
}

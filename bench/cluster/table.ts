import { loadavg } from 'node:os'
import { median } from '../figures.ts'

/** Whom the others are compared with. */
const OURS = 'gatherd'

type Figures = Map<string, number[]>

/** Figures by what they measure, of what, and of which system; several rounds of each. */
export class Table {
  readonly #measures = new Map<string, Map<string, Figures>>()

  add(measure: string, row: string, system: string, ...figures: number[]): void {
    const rows = at(this.#measures, measure, () => new Map<string, Figures>())
    at(
      at(rows, row, () => new Map<string, number[]>()),
      system,
      () => [],
    ).push(...figures)
  }

  /** The medians with what they lie between, a table for each measure, and all of it as one line of JSON. */
  print(): void {
    for (const [measure, rows] of this.#measures) {
      console.log(`\n${measure}`)
      for (const [row, systems] of rows)
        for (const line of linesOf(measure, systems)) console.log(`  ${row.padEnd(32)} ${line}`)
    }
    console.log(`\nload ${loadavg().map((load) => load.toFixed(1))}`)
    console.log(
      JSON.stringify(this.#measures, (_, value) => (value instanceof Map ? Object.fromEntries(value) : value)),
    )
  }
}

function linesOf(measure: string, systems: Figures): string[] {
  const ours = systems.get(OURS)
  // The rival's best is what counts.
  const rivals = [...systems].filter(([name]) => name.startsWith('BullMQ')).map(([, figures]) => median(figures))
  const best = measure.startsWith('jobs/s') ? Math.max(...rivals) : Math.min(...rivals)
  return Array.from(systems, ([name, figures]) => {
    const [low, high] = [Math.min(...figures), Math.max(...figures)].map(shown)
    const ratio = figures === ours && rivals.length > 0 ? `  ${(median(figures) / best).toFixed(2)} of BullMQ` : ''
    return `${name.padEnd(20)} ${shown(median(figures)).padStart(9)}  (${low}–${high})${ratio}`
  })
}

function shown(figure: number): string {
  return figure >= 100 ? Math.round(figure).toLocaleString('en') : figure.toFixed(2)
}

function at<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key) ?? make()
  map.set(key, found)
  return found
}

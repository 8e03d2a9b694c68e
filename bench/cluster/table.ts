import type { Book } from '../report/book.ts'

/** What the series of our share of the rival's jobs per second is called, after its row. */
export const SHARE = 'share of BullMQ'

/** Whom the others are compared with. */
const OURS = 'gatherd'

type Figures = Map<string, number[]>

/** Figures by what they measure, of what, and of which system; several rounds of each. */
export class Table {
  readonly #measures = new Map<string, Map<string, Figures>>()

  /** Write down figures of a system, a round each. */
  add(measure: string, row: string, system: string, ...figures: number[]): void {
    const rows = at(this.#measures, measure, () => new Map<string, Figures>())
    const systems = at(rows, row, () => new Map<string, number[]>())
    at(systems, system, () => []).push(...figures)
  }

  /** All of it, what is measured as the unit; and of jobs per second our share, round by round, of the faster rival's. */
  write(book: Book): void {
    for (const [measure, rows] of this.#measures)
      for (const [row, systems] of rows) {
        for (const [name, figures] of systems)
          for (const figure of figures) book.add(`${row}: ${name}`, measure, figure)
        if (measure === 'jobs/s') for (const share of shares(systems)) book.add(`${row}: ${SHARE}`, '×', share)
      }
  }
}

function shares(systems: Figures): number[] {
  const rivals = [...systems].filter(([name]) => name !== OURS).map(([, figures]) => figures)
  return (systems.get(OURS) ?? []).map((figure, round) => figure / Math.max(...rivals.map((each) => each[round])))
}

function at<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key) ?? make()
  map.set(key, found)
  return found
}

import { type Spread, spreadOf } from '../figures.ts'

/** One thing that is measured: a figure a round. */
export interface Series {
  name: string
  unit: string
  figures: number[]
  /** Where it lies, if it is a point of a curve. */
  at?: { line: string; x: number }
}

/** What a measure found. */
export interface Findings {
  series: Series[]
  /** What could not be measured here, and why. */
  skipped: { name: string; why: string }[]
}

/** Where a measure writes its figures down, round by round. */
export class Book {
  readonly #series = new Map<string, Series>()
  readonly #skipped = new Map<string, string>()

  /** Write down a figure of the round that is under way. A name with two units is two series. */
  add(name: string, unit: string, figure: number, at?: Series['at']): void {
    const key = JSON.stringify([name, unit])
    const series = this.#series.get(key) ?? { name, unit, figures: [], ...(at === undefined ? {} : { at }) }
    this.#series.set(key, series)
    series.figures.push(figure)
  }

  /** Say, once, that something is not measured here. */
  skip(name: string, why: string): void {
    this.#skipped.set(name, why)
  }

  /** What is in it by now. */
  findings(): Findings {
    return {
      series: [...this.#series.values()],
      skipped: Array.from(this.#skipped, ([name, why]) => ({ name, why })),
    }
  }
}

/** The first series of this name; one without figures when there is none. */
export function seriesOf({ series }: Findings, name: string): Series {
  return series.find((each) => each.name === name) ?? { name, unit: '', figures: [] }
}

/** What the rounds of a series come to; all NaN when it was not measured. */
export function spreadOfSeries(findings: Findings, name: string): Spread {
  return spreadOf(seriesOf(findings, name).figures)
}

import { describe, expect, it } from 'vitest'
import { curveCells, markdownTable, plainTable, seriesCells, verdictCells } from '../../../bench/report/table.ts'
import { compared, curved, outcome } from '../support.ts'

describe('the table of an outcome', () => {
  it('has medians, what they lie between, and the share of the base of the same round', () => {
    expect(seriesCells(compared())).toEqual([
      ['', 'median (min–max)', 'unit', 'of loop'],
      ['loop', '2,000 (1,000–2,000)', 'jobs/s', '1'],
      ['gatherd', '1,500 (800–1,500)', 'jobs/s', '0.80 (0.75–0.80)'],
      ['late', '14 (12–14)', 'ms', ''],
    ])
  })

  it('has no shares where there is no base', () => {
    const { series } = compared()

    expect(seriesCells(outcome({ series }))[0]).toEqual(['', 'median (min–max)', 'unit'])
  })

  it('has no points of curves', () => {
    expect(seriesCells(curved())).toEqual([])
  })

  it('says of each target whether it is met', () => {
    expect(verdictCells(compared())).toEqual([
      ['target', 'found', ''],
      ['gatherd ≥ 0.70 × loop', '0.80 (0.75–0.80) ×', 'met'],
      ['late ≤ 10 ms', '14 (12–14) ms', 'missed'],
    ])
    expect(verdictCells(outcome())).toEqual([])
  })
})

describe('the table of a curve', () => {
  it('has its sizes downwards in their order and its lines across', () => {
    expect(curveCells(curved())).toEqual([
      ['open streams', 'p50 (ms)', 'p99 (ms)'],
      ['10', '0.10', '2 (1–2.50)'],
      ['100', '1', '20 (10–25)'],
      ['1,000', '10', '200 (100–250)'],
    ])
  })

  it('shows a gap where a line has no point', () => {
    const { series, axis } = curved()

    expect(curveCells({ series: series.slice(1), axis })[3]).toEqual(['1,000', '200 (100–250)', '–'])
  })

  it('is left to the chart when it has too many points to be read', () => {
    const series = Array.from({ length: 13 }, (_, x) => ({
      name: `${x}`,
      unit: 'ms',
      figures: [1],
      at: { line: 'a', x },
    }))

    expect(curveCells({ series })).toEqual([])
    expect(curveCells({ series: series.slice(1) })).toHaveLength(13)
  })

  it('is none without points', () => {
    expect(curveCells(compared())).toEqual([])
  })
})

describe('cells to be read', () => {
  const cells = [
    ['', 'unit'],
    ['a|b', 'ms'],
    ['longer', ''],
  ]

  it('stand in columns on a terminal', () => {
    expect(plainTable(cells)).toBe('        unit\na|b     ms\nlonger')
  })

  it('are a table of Markdown whose cells cannot end it', () => {
    expect(markdownTable(cells).split('\n')).toEqual([
      '|        | unit |',
      '| ------ | ---- |',
      '| a\\|b   | ms   |',
      '| longer |      |',
    ])
  })

  it('are nothing when there are none', () => {
    expect(markdownTable([])).toBe('')
  })
})

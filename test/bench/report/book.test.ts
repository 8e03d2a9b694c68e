import { describe, expect, it } from 'vitest'
import { Book, seriesOf, spreadOfSeries } from '../../../bench/report/book.ts'

describe('the book of a measure', () => {
  it('has the figures of each series in the order of the rounds', () => {
    const book = new Book()

    for (const figure of [3, 1, 2]) book.add('gatherd', 'jobs/s', figure)
    book.add('loop', 'jobs/s', 9)

    expect(book.findings().series).toEqual([
      { name: 'gatherd', unit: 'jobs/s', figures: [3, 1, 2] },
      { name: 'loop', unit: 'jobs/s', figures: [9] },
    ])
  })

  it('keeps two units of one name apart', () => {
    const book = new Book()

    book.add('gatherd', 'jobs/s', 1)
    book.add('gatherd', 'ms', 2)

    expect(book.findings().series.map(({ unit, figures }) => [unit, figures])).toEqual([
      ['jobs/s', [1]],
      ['ms', [2]],
    ])
  })

  it('knows where a point of a curve lies', () => {
    const book = new Book()

    book.add('p50, 10', 'ms', 1, { line: 'p50', x: 10 })

    expect(book.findings().series[0].at).toEqual({ line: 'p50', x: 10 })
  })

  it('says once why something is not measured, however many rounds find it so', () => {
    const book = new Book()

    book.skip('aiohttp', 'it is not installed')
    book.skip('aiohttp', 'it is not installed')

    expect(book.findings().skipped).toEqual([{ name: 'aiohttp', why: 'it is not installed' }])
  })
})

describe('a series by its name', () => {
  const found = { series: [{ name: 'a', unit: 'ms', figures: [1, 2, 3] }], skipped: [] }

  it('is found, with what its rounds come to', () => {
    expect(seriesOf(found, 'a').figures).toEqual([1, 2, 3])
    expect(spreadOfSeries(found, 'a').median).toBe(2)
  })

  it('has no figures when it was not measured', () => {
    expect(seriesOf(found, 'b').figures).toEqual([])
    expect(spreadOfSeries(found, 'b').median).toBeNaN()
  })
})

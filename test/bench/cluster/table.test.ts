import { describe, expect, it } from 'vitest'
import { SHARE, Table } from '../../../bench/cluster/table.ts'
import { Book } from '../../../bench/report/book.ts'

/** What a table with these figures of one row writes. */
function written(measure: string, systems: Record<string, number[]>) {
  const [table, book] = [new Table(), new Book()]
  for (const [name, figures] of Object.entries(systems)) table.add(measure, 'fetch', name, ...figures)
  table.write(book)
  return book.findings().series
}

describe('the table of the cluster', () => {
  it('writes each system of a row with its measure as the unit', () => {
    expect(written('Redis CPU', { gatherd: [6, 7], BullMQ: [100] })).toEqual([
      { name: 'fetch: gatherd', unit: 'Redis CPU', figures: [6, 7] },
      { name: 'fetch: BullMQ', unit: 'Redis CPU', figures: [100] },
    ])
  })

  it('compares jobs per second with the faster of the rivals in each round', () => {
    const series = written('jobs/s', { gatherd: [90, 60], BullMQ: [100, 20], 'BullMQ ring': [50, 120] })

    expect(series.find(({ name }) => name === `fetch: ${SHARE}`)).toMatchObject({ unit: '×', figures: [0.9, 0.5] })
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { jobIdOf, newBatchId, parseJobId } from '../src/ids.ts'

describe('newBatchId', () => {
  it('is a UUIDv7, new every time, and sorts by time', () => {
    const ids = Array.from({ length: 1_000 }, newBatchId)

    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(new Set(ids).size).toBe(1_000)
    expect(ids.toSorted()).toEqual(ids)
  })
})

describe('parseJobId', () => {
  it('takes a job id apart again', () => {
    fc.assert(
      fc.property(fc.uuid({ version: 7 }), fc.nat({ max: 9_999_999 }), (batchId, index) => {
        expect(parseJobId(jobIdOf(batchId, index))).toEqual({ batchId, index })
      }),
    )
  })

  const batchId = '0198c1a2-0000-7000-8000-000000000001'
  it.each([
    '',
    batchId,
    `${batchId}-`,
    `${batchId}-01`,
    `${batchId}--1`,
    `${batchId}-1.5`,
    `${batchId}-1e3`,
    `${batchId}-10000000`,
    `${batchId}-1 `,
    `${batchId}-1\n`,
    ` ${batchId}-1`,
    `${batchId.toUpperCase()}-1`,
    `${batchId.replace('-7', '-4')}-1`,
    `${batchId.replaceAll('-', '')}-1`,
  ])('knows that %j is none', (text) => {
    expect(parseJobId(text)).toBeNull()
  })
})

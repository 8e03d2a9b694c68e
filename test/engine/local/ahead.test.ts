import { describe, expect, it } from 'vitest'
import { AHEAD_BYTES, writeAhead } from '../../../src/engine/local/ahead.ts'
import type { AttemptEnd } from '../../../src/jobs/attempt.ts'
import type { JsonPieces } from '../../../src/json/raw.ts'
import type { Store } from '../../../src/store/store.ts'

const LONG: JsonPieces = ['"', Buffer.alloc(AHEAD_BYTES, 'x'), '"']
const returned = (result: string | JsonPieces | null): AttemptEnd => ({ type: 'returned', result })
const threw = (result: JsonPieces): AttemptEnd => ({
  type: 'threw',
  facts: { type: 'HTTPStatusError', code: 'http_status', message: 'The response has status 500.' },
  error: '{}',
  result,
})

/** A store that says what it was given, and does with it what is asked. */
function fakeStore(putAhead: NonNullable<Store['putAhead']> = async () => ({ bytes: 5 })) {
  const puts: unknown[][] = []
  const store: Pick<Store, 'putAhead'> = {
    putAhead(...args) {
      puts.push(args)
      return putAhead(...args)
    },
  }
  return { store, puts }
}

describe('writeAhead', () => {
  it.each([
    ['a value', returned(LONG)],
    ['an error with a response', threw(LONG)],
  ])('brings the long result of %s to the store, and keeps the rest of the end', async (_what, end) => {
    const { store, puts } = fakeStore()
    const { signal } = new AbortController()

    expect(await writeAhead(end, { store, no: 3, index: 4, signal })).toEqual({ ...end, result: { bytes: 5 } })
    expect(puts).toEqual([[3, 4, LONG, signal]])
  })

  it.each([
    ['nothing', returned(null)],
    ['a text', returned('x'.repeat(2 * AHEAD_BYTES))],
    ['pieces that are short', returned(['"', Buffer.alloc(AHEAD_BYTES - 2), '"'])],
    ['no end of its own', { type: 'unwound' } as const],
  ])('leaves an end with %s as it is, at once', (_what, end) => {
    const { store, puts } = fakeStore()

    expect(writeAhead(end, { store, no: 1, index: 0, signal: new AbortController().signal })).toBe(end)
    expect(puts).toEqual([])
  })

  it('leaves all to the record where the store writes nothing before it', () => {
    const end = returned(LONG)

    expect(writeAhead(end, { store: {}, no: 1, index: 0, signal: new AbortController().signal })).toBe(end)
  })

  it('leaves to the record what the store cannot take now', async () => {
    const { store } = fakeStore(() => Promise.reject(new Error('database or disk is full')))
    const end = returned(LONG)

    expect(await writeAhead(end, { store, no: 1, index: 0, signal: new AbortController().signal })).toBe(end)
  })

  it('has unwound when an abort stopped the writing', async () => {
    const { store } = fakeStore((_no, _index, _pieces, signal) => Promise.reject(signal.reason))

    const signal = AbortSignal.abort(new Error('cancelled'))
    expect(await writeAhead(returned(LONG), { store, no: 1, index: 0, signal })).toEqual({ type: 'unwound' })
  })
})

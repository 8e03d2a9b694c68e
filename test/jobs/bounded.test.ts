import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { bounded, inOnePiece } from '../../src/jobs/attempt.ts'
import type { JobKind } from '../../src/jobs/kind.ts'

const BOUND = { stored: 11, limit: 10 }
const kind = (whenFull?: JobKind['whenFull']): JobKind => ({
  name: 'any',
  spec: z.strictObject({}),
  run: async () => null,
  ...(whenFull !== undefined && { whenFull }),
})
const facts = { type: 'T', code: 'c', message: 'm' }

describe('bounded', () => {
  it('leaves an end as it is while there is room, nothing to leave out, or no result', () => {
    const end = { type: 'returned', result: '{"a":1}' } as const
    const none = { type: 'returned', result: null } as const

    expect(bounded(kind(), end, null)).toBe(end)
    expect(bounded(kind('own'), end, BOUND)).toBe(end)
    expect(
      bounded(
        kind((result) => result),
        end,
        BOUND,
      ),
    ).toBe(end)
    expect(bounded(kind(), none, BOUND)).toBe(none)
    expect(bounded(kind(), { type: 'unwound' }, BOUND)).toEqual({ type: 'unwound' })
  })

  it('fails what would have succeeded, with what the kind keeps', () => {
    const keeps = kind(() => ({ kept: true }))

    expect(bounded(keeps, { type: 'returned', result: '{"a":1}' }, BOUND)).toMatchObject({
      type: 'threw',
      facts: { type: 'StorageError', code: 'response_too_large' },
      result: '{"kept":true}',
    })
  })

  it('keeps the error of what has failed, and leaves out of its result what has no room', () => {
    const end = { type: 'threw', facts, error: '{}', result: '{"a":1}' } as const

    expect(bounded(kind(), end, BOUND)).toEqual({ ...end, result: null })
  })
})

describe('inOnePiece', () => {
  it('joins a result that is in pieces, and nothing else', () => {
    const pieces = ['{"body":', Buffer.from('"ä"'), '}']

    expect(inOnePiece({ type: 'returned', result: pieces })).toEqual({ type: 'returned', result: '{"body":"ä"}' })
    expect(inOnePiece({ type: 'returned', result: null })).toEqual({ type: 'returned', result: null })
    expect(inOnePiece({ type: 'unwound' })).toEqual({ type: 'unwound' })
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Cursors } from '../../src/engine/cursor.ts'
import { InvalidArgumentError } from '../../src/errors.ts'

const SCOPE = ['batches', 'acme', null, [['env', 'prod']]]
const cursors = new Cursors({ secret: new Uint8Array(32).fill(7) })

describe('Cursors', () => {
  it('give back the position they were given, for the same list and filters', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), fc.nat({ max: Number.MAX_SAFE_INTEGER }), (scope, position) => {
        expect(cursors.decode(scope, cursors.encode(scope, position), -1)).toBe(position)
      }),
    )
  })

  it('begin at the start without one', () => {
    expect(cursors.decode(SCOPE, undefined, 42)).toBe(42)
  })

  it('survive a restart with the same secret, and nothing else', () => {
    const cursor = cursors.encode(SCOPE, 9)

    expect(new Cursors({ secret: new Uint8Array(32).fill(7) }).decode(SCOPE, cursor, 0)).toBe(9)
    expect(() => new Cursors({ secret: new Uint8Array(32).fill(8) }).decode(SCOPE, cursor, 0)).toThrow(
      InvalidArgumentError,
    )
  })

  it.each<[string, unknown[]]>([
    ['another list', ['jobs', 'acme', null, [['env', 'prod']]]],
    ['another tenant', ['batches', 'other', null, [['env', 'prod']]]],
    ['another state', ['batches', 'acme', 'failed', [['env', 'prod']]]],
    ['another label', ['batches', 'acme', null, [['env', 'dev']]]],
    ['no filter', ['batches', 'acme', null, []]],
    ['a scope that only looks the same when it is joined', ['batches', 'acme,', [['env', 'prod']]]],
  ])('are refused for %s', (_what, scope) => {
    const cursor = cursors.encode(SCOPE, 9)

    expect(() => cursors.decode(scope, cursor, 0)).toThrow(InvalidArgumentError)
  })

  it.each(['', '.', '9', '9.', `9.${'A'.repeat(22)}`, '-9.x', 'é.ü', `${'z'.repeat(40)}.${'A'.repeat(22)}`])(
    'are refused when forged: %j',
    (forged) => {
      expect(() => cursors.decode(SCOPE, forged, 0)).toThrow(
        expect.objectContaining({
          code: 'invalid_argument',
          errors: [expect.objectContaining({ pointer: '/query/cursor' })],
        }),
      )
    },
  )

  it('are refused with another position under the same signature', () => {
    const [, signature] = cursors.encode(SCOPE, 9).split('.')

    expect(() => cursors.decode(SCOPE, `a.${signature}`, 0)).toThrow(InvalidArgumentError)
  })

  it('are refused when any character of them is changed', () => {
    const cursor = cursors.encode(SCOPE, 123_456)
    fc.assert(
      fc.property(fc.nat({ max: cursor.length - 1 }), fc.constantFrom(...'0az_-.A'), (at, character) => {
        fc.pre(cursor[at] !== character)
        const changed = cursor.slice(0, at) + character + cursor.slice(at + 1)
        expect(() => cursors.decode(SCOPE, changed, 0)).toThrow(InvalidArgumentError)
      }),
    )
  })
})

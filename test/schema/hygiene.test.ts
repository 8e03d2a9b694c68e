import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { findUnclean, isCleanText } from '../../src/schema/hygiene.ts'

const OPTIONS = { maxDepth: 4, maxErrors: 10 }

const pointers = (value: unknown, options = OPTIONS) => findUnclean(value, options).map(({ pointer }) => pointer)

/** Arrays inside each other. */
const nested = (depth: number): unknown => JSON.parse(`${'['.repeat(depth)}1${']'.repeat(depth)}`)

describe('isCleanText', () => {
  it.each([
    ['', true],
    ['plain', true],
    ['emoji \u{1f600}', true],
    ['\u0001', true],
    ['\0', false],
    ['a\0b', false],
    ['\ud800', false],
    ['\udc00\ud800', false],
  ])('says of %j %s', (text, clean) => {
    expect(isCleanText(text)).toBe(clean)
  })
})

describe('findUnclean', () => {
  it('finds nothing in what JSON can hold and everybody can read', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 3, noUnicodeString: false }), (value) => {
        fc.pre(!JSON.stringify(value).match(/__proto__|constructor|\\u0000|\\ud[89a-f]/))

        expect(findUnclean(structuredClone(value), OPTIONS)).toEqual([])
      }),
    )
  })

  it('points at NUL and lone surrogates in strings', () => {
    expect(pointers({ a: ['x', 'y\0'], b: { c: '\ud800' } })).toEqual(['/a/1', '/b/c'])
  })

  it('points at a bad key itself', () => {
    expect(pointers({ 'a/\0': 1 })).toEqual(['/a~1\0'])
  })

  it('refuses a lone string as well', () => {
    expect(pointers('\0')).toEqual([''])
  })

  it.each([
    ['__proto__ wherever it is', '{"a":{"__proto__":{"x":1}}}', ['/a/__proto__']],
    ['a constructor with a prototype', '{"constructor":{"prototype":{}}}', ['/constructor']],
  ])('refuses %s', (_, text, expected) => {
    expect(pointers(JSON.parse(text))).toEqual(expected)
  })

  it('lets a constructor pass that has no prototype', () => {
    expect(pointers({ constructor: 'Ford', a: { constructor: { x: 1 } } })).toEqual([])
  })

  it('allows as many levels as it is told and not one more', () => {
    expect(pointers(nested(4))).toEqual([])
    expect(pointers(nested(5))).toEqual(['/0/0/0/0'])
  })

  it('cuts off what is nested too deep, so that who comes next can recurse', () => {
    const value = nested(100_000)

    const errors = findUnclean(value, OPTIONS)

    expect(errors).toHaveLength(1)
    expect(JSON.stringify(value)).toBe('[[[[null]]]]')
  })

  it('asks for an exemption with the path and the object around the text', () => {
    const asked: unknown[] = []
    const exempt = (path: readonly PropertyKey[], parent: object) => {
      asked.push([...path], parent)
      return path.at(-1) === 'body'
    }

    const errors = findUnclean({ body: '\0', other: '\0' }, { ...OPTIONS, exempt })

    expect(errors.map(({ pointer }) => pointer)).toEqual(['/other'])
    expect(asked[0]).toEqual(['body'])
    expect(asked[1]).toMatchObject({ body: '\0' })
  })

  it('stops looking after as many as it is told', () => {
    expect(
      pointers(
        Array.from({ length: 50 }, () => '\0'),
        { maxDepth: 4, maxErrors: 3 },
      ),
    ).toEqual(['/0', '/1', '/2'])
  })

  it('says what would be right', () => {
    const [text, deep] = findUnclean({ a: '\0', b: nested(9) }, OPTIONS)

    expect(text?.detail).toBe('Must be well-formed Unicode text without NUL characters.')
    expect(deep?.detail).toBe('Is nested too deep: at most 4 arrays and objects may be inside each other.')
  })
})

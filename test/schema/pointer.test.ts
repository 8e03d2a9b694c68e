import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { pointerOf } from '../../src/schema/pointer.ts'

/** RFC 6901, section 4: evaluate a pointer. */
function evaluate(pointer: string, value: unknown): unknown {
  const parts = pointer.split('/').slice(1)
  const names = parts.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  return names.reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], value)
}

describe('pointerOf', () => {
  it('is empty for the whole document', () => {
    expect(pointerOf([])).toBe('')
  })

  it('writes keys and indexes with a slash before each', () => {
    expect(pointerOf(['jobs', 3, 'url'])).toBe('/jobs/3/url')
  })

  it('escapes tildes before slashes', () => {
    expect(pointerOf(['a/b', 'm~n', '~1'])).toBe('/a~1b/m~0n/~01')
  })

  it('keeps empty keys', () => {
    expect(pointerOf([''])).toBe('/')
  })

  it('leads to the value at any path', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { minLength: 1, maxLength: 5 }), (path) => {
        const document = path.reduceRight<unknown>((inner, key) => Object.fromEntries([[key, inner]]), 'here')

        expect(evaluate(pointerOf(path), document)).toBe('here')
      }),
    )
  })
})

import fc from 'fast-check'
import { util } from 'undici'
import { describe, expect, it } from 'vitest'
import { headerOf, responseHeaders } from '../../../src/jobs/fetch/response-headers.ts'

/** As undici parses the lines of a response. */
function parsed(lines: [string, string][]): Record<string, string | string[] | undefined> {
  return util.parseHeaders(lines.flat().map((text) => Buffer.from(text, 'latin1')))
}

const names = fc.constantFrom('a', 'b', 'set-cookie', '__proto__', 'constructor', 'tostring')
const lines = fc.array(fc.tuple(names, fc.stringMatching(/^[!-~]{0,5}$/)), { maxLength: 8 })

describe('responseHeaders', () => {
  it('has every line under its name, in order, and no name that was not there', () => {
    fc.assert(
      fc.property(lines, (list) => {
        const headers = responseHeaders(parsed(list))

        expect(Object.keys(headers).sort()).toEqual([...new Set(list.map(([name]) => name))].sort())
        for (const name of Object.keys(headers)) {
          const values = list.filter(([own]) => own === name).map(([, value]) => value)
          expect(headers[name]).toEqual(name === 'set-cookie' ? values : values.join(', '))
        }
      }),
      { numRuns: 300 },
    )
  })

  it('takes what undici has parsed as it is where nothing came twice', () => {
    const plain = parsed([['a', '1']])

    expect(responseHeaders(plain)).toBe(plain)
  })
})

describe('headerOf', () => {
  it('joins the values of a list', () => {
    const headers = responseHeaders(
      parsed([
        ['set-cookie', 'a'],
        ['set-cookie', 'b'],
        ['x', '1'],
      ]),
    )

    expect([headerOf(headers, 'set-cookie'), headerOf(headers, 'x'), headerOf(headers, 'y')]).toEqual([
      'a, b',
      '1',
      undefined,
    ])
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { JsonScanner, type ScanLimits } from '../../src/json/scanner.ts'

const RUNS = { numRuns: 500 }
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The scanner's verdict on pieces. */
function scan(pieces: readonly Uint8Array[], limits: ScanLimits = { maxDepth: 10_000 }): JsonScanner {
  const scanner = new JsonScanner(limits)
  for (const piece of pieces) scanner.write(piece)
  scanner.end()
  return scanner
}

/** `JSON.parse`'s. */
function isJson(bytes: Uint8Array): boolean {
  try {
    JSON.parse(utf8.decode(bytes))
    return true
  } catch {
    return false
  }
}

/** Bytes cut at random places. */
const cut = (bytes: Uint8Array) =>
  fc.array(fc.nat(bytes.length), { maxLength: 8 }).map((places) => {
    const ends = [...places.sort((a, b) => a - b), bytes.length]
    return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
  })

/** JSON with white space anywhere between its tokens, and strings of any form. */
const text = fc
  .tuple(fc.jsonValue({ maxDepth: 6, stringUnit: 'binary' }), fc.constantFrom(0, 2, '\t', ' \r\n '), fc.boolean())
  .map(([value, space, padded]) => JSON.stringify(value, null, space as number) + (padded ? '\r\n\t ' : ''))
const numbers = fc
  .array(fc.constantFrom('0', '1', '9', '-', '+', '.', 'e', 'E', ' '), { maxLength: 9 })
  .map((chars) => chars.join(''))
const tokens = fc
  .array(
    fc.constantFrom(
      ...['[', ']', '{', '}', ',', ':', '"', '"a"', '"a":', '\\', '\\u12aF', '\\n', '\\x', 'tru', 'true', 'false'],
      ...[
        'nul',
        'null',
        '1',
        '-',
        '0',
        '01',
        '1.5e3',
        ' ',
        '\n',
        '\u000b',
        '\u00a0',
        '\ufeff',
        'é',
        '漢',
        '😀',
        '\u0000',
      ],
    ),
    { maxLength: 14 },
  )
  .map((parts) => parts.join(''))

/** Bytes that are JSON, nearly JSON, or nothing of the kind. */
const anyBytes = fc.oneof(
  fc.oneof(text, numbers, tokens).map((each) => Buffer.from(each)),
  fc.uint8Array({ maxLength: 12 }),
  fc.uint8Array({ maxLength: 8 }).map((inner) => Buffer.concat([Buffer.from('"'), inner, Buffer.from('"')])),
  fc.tuple(text, fc.nat(), fc.nat(255), fc.constantFrom('replace', 'insert', 'delete')).map(([each, at, byte, how]) => {
    const bytes = Buffer.from(each)
    const place = at % (bytes.length + 1)
    const rest = bytes.subarray(how === 'insert' ? place : place + 1)
    return Buffer.concat([bytes.subarray(0, place), Buffer.from(how === 'delete' ? [] : [byte]), rest])
  }),
)

describe('JsonScanner', () => {
  it('takes what JSON.parse takes, and nothing else, however it is cut', () => {
    const cutBytes = anyBytes.chain((bytes) => fc.tuple(fc.constant(bytes), cut(bytes)))
    fc.assert(
      fc.property(cutBytes, ([bytes, pieces]) => {
        expect(scan(pieces).fault === null).toBe(isJson(bytes))
      }),
      { numRuns: 5_000 },
    )
  })

  it('takes each one-byte and two-byte character, and each start of one, as UTF-8 has them', () => {
    for (let first = 0; first < 256; first++) {
      for (const second of [[], [0x7f], [0x80], [0x8f], [0x90], [0x9f], [0xa0], [0xbf], [0xc0]]) {
        for (const rest of [[], [0x80], [0x80, 0x80], [0xbf, 0x20]]) {
          const bytes = Buffer.from([0x22, first, ...second, ...rest, 0x22])
          expect([bytes, scan([bytes]).fault === null]).toEqual([bytes, isJson(bytes)])
        }
      }
    }
  })

  it('takes each number of up to five characters that is one', () => {
    const chars = ['0', '1', '-', '+', '.', 'e']
    let texts = ['']
    for (let length = 1; length <= 5; length++) {
      texts = texts.flatMap((text) => chars.map((char) => text + char))
      const wrong = texts.filter((text) => (scan([Buffer.from(text)]).fault === null) !== isJson(Buffer.from(text)))
      expect(wrong).toEqual([])
    }
  })

  it('tells the same place of a fault, however the text is cut', () => {
    const cutBytes = anyBytes.chain((bytes) => fc.tuple(fc.constant(bytes), cut(bytes)))
    fc.assert(
      fc.property(cutBytes, ([bytes, pieces]) => {
        expect(scan(pieces).fault).toEqual(scan([bytes]).fault)
      }),
      RUNS,
    )
  })

  it('tells the first byte with which nothing could be JSON any more', () => {
    fc.assert(
      fc.property(text, fc.nat(), (each, at) => {
        const bytes = Buffer.from(each)
        const place = at % bytes.length
        bytes[place] = 0x01
        const { fault } = scan([bytes])
        const before = bytes.subarray(0, place)
        expect(fault).toEqual({
          kind: 'syntax',
          offset: place,
          line: before.filter((byte) => byte === 0x0a).length + 1,
          column: place - before.lastIndexOf(0x0a),
        })
      }),
      RUNS,
    )
  })

  it.each([
    ['', 'ended', 0],
    ['  ', 'ended', 2],
    ['[1,', 'ended', 3],
    ['"a', 'ended', 2],
    ['-', 'ended', 1],
    ['1 2', 'syntax', 2],
    ['[1}', 'syntax', 2],
    ['{"a":1]', 'syntax', 6],
    [']', 'syntax', 0],
    ['1,', 'syntax', 1],
    ['{"a":1,}', 'syntax', 7],
    ['\ufeff1', 'syntax', 0],
  ])('says of %j that it is wrong: %s at %i', (wrong, kind, offset) => {
    expect(scan([Buffer.from(wrong)]).fault).toEqual({ kind, offset, line: 1, column: offset + 1 })
  })

  it('counts lines over pieces', () => {
    expect(scan(['[\n1', ',\r', '\n\n ', ' x'].map((piece) => Buffer.from(piece))).fault).toMatchObject({
      offset: 9,
      line: 4,
      column: 3,
    })
  })

  it('takes nothing more once something was wrong', () => {
    const scanner = new JsonScanner({ maxDepth: 1 })

    expect(scanner.write(Buffer.from('x'))).toBe(false)
    expect(scanner.write(Buffer.from('1'))).toBe(false)
    expect(scanner.end()).toMatchObject({ offset: 0 })
    expect(scanner.values).toBe(0)
  })

  it('looks at the part of its bytes that it is told', () => {
    const scanner = new JsonScanner({ maxDepth: 1 })

    expect(scanner.write(Buffer.from('xx[1,2]yy'), 2, 5)).toBe(true)
    expect(scanner.write(Buffer.from('xx[1,2]yy'), 5, 7)).toBe(true)
    expect(scanner.end()).toBe(null)
    scanner.write(Buffer.from('xx[1,2]yy'), 7)
    expect(scanner.fault).toMatchObject({ offset: 5, column: 6 })
  })

  it.each([
    [0, '1', null],
    [0, ' []', 1],
    [1, '[{}]', 1],
    [2, '[{}]', null],
    [64, '['.repeat(64) + ']'.repeat(64), null],
    [64, '['.repeat(65), 64],
    [64, '{"a":'.repeat(65), 320],
    [64, '[[],'.repeat(40) + '1'.padEnd(41, ']'), null],
  ])('is %i deep at most: %s', (maxDepth, deep, offset) => {
    expect(scan([Buffer.from(deep)], { maxDepth }).fault?.offset ?? null).toBe(offset)
    if (offset !== null) expect(scan([Buffer.from(deep)], { maxDepth }).fault?.kind).toBe('depth')
  })

  it('counts the values of the text, and no names', () => {
    const count = (value: unknown): number =>
      typeof value === 'object' && value !== null
        ? 1 + Object.values(value).reduce<number>((n, each) => n + count(each), 0)
        : 1
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        const bytes = Buffer.from(JSON.stringify(value))
        expect(scan([bytes]).values).toBe(count(JSON.parse(bytes.toString())))
        expect(scan([bytes], { maxDepth: 9, maxValues: count(value) }).fault).toBe(null)
        expect(scan([bytes], { maxDepth: 9, maxValues: count(value) - 1 }).fault?.kind).toBe('values')
      }),
      RUNS,
    )
  })

  it.each(['[1,2,"x"]', '[1,2,[]]', '[1,2,{}]', '[1,2,null]', '[1,2,-1]', '{"a":1,"b":2,"c":3}'])(
    'stops at the value after the last one: %s',
    (many) => {
      expect(scan([Buffer.from(many)], { maxDepth: 2, maxValues: 3 }).fault).toMatchObject({ kind: 'values' })
      expect(scan([Buffer.from(many)], { maxDepth: 2, maxValues: 4 }).fault).toBe(null)
    },
  )

  it('counts each different name once, wherever it stands and however it is cut', () => {
    const names = fc.array(fc.string({ maxLength: 4 }), { minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(
        names.chain((list) => {
          const bytes = Buffer.from(`[${list.map((name) => `{${JSON.stringify(name)}:["x"]}`).join(', ')}]`)
          return fc.tuple(fc.constant(list), cut(bytes))
        }),
        ([list, pieces]) => {
          const different = new Set(list).size
          expect(scan(pieces, { maxDepth: 3, maxNames: different }).fault).toBe(null)
          expect(scan(pieces, { maxDepth: 3, maxNames: different - 1 }).fault?.kind).toBe('names')
        },
      ),
      RUNS,
    )
  })

  it('knows how much white space there is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.nat(4), (value, indent) => {
        const compact = JSON.stringify(value)
        const wide = ` ${JSON.stringify(value, null, indent)}\n`
        expect(scan([Buffer.from(wide)]).spaces).toBe(Buffer.byteLength(wide) - Buffer.byteLength(compact))
      }),
      RUNS,
    )
  })
})

/**
 * The grammar of RFC 8259 over the bytes of UTF-8 (RFC 3629) as one table: what follows is found at `state * 256 + byte`.
 * The low six bits of an entry are the next state, and what stands above them is what has to be done, see {@link Do}.
 */
export const TABLE = new Uint16Array(64 * 256)

/** What a scanner expects. Anything that is not in the table leads to `fault`. */
export const State = {
  fault: 0,
  /** A value; also the beginning. */
  value: 1,
  /** A value, or the end of the array that has just begun. */
  first: 2,
  /** A name, or the end of the object that has just begun. */
  firstName: 3,
  name: 4,
  colon: 5,
  /** After a value: a comma, the end of what it stands in, or, outside of everything, nothing more. */
  after: 6,
  string: 7,
  escape: 8,
  /** The first of four hexadecimal digits; the next three states are for the others. */
  hex: 9,
  /** Bytes of a character that are still to come: one, two, three; then those with narrower bounds. */
  tail1: 13,
  tail2: 14,
  tail3: 15,
  tailE0: 16,
  tailED: 17,
  tailF0: 18,
  tailF4: 19,
  minus: 20,
  zero: 21,
  digits: 22,
  point: 23,
  fraction: 24,
  exponent: 25,
  exponentSign: 26,
  exponentDigits: 27,
  /** Within `true`, `false` and `null`; the states after it are for their letters. */
  literal: 28,
} as const

/** What an entry of the table asks for. */
export const Do = {
  nothing: 0,
  /** White space outside of a string. */
  space: 1,
  /** A number or a literal begins. */
  scalar: 2,
  openArray: 3,
  openObject: 4,
  closeArray: 5,
  closeObject: 6,
  comma: 7,
  /** A string begins, as a value or as a name. */
  quote: 8,
  quoteName: 9,
  unquote: 10,
} as const

const S = State

function set(state: number, bytes: string | readonly [from: number, to: number], next: number, todo = 0): void {
  const list = typeof bytes === 'string' ? Array.from(bytes, (char) => char.charCodeAt(0)) : range(...bytes)
  for (const byte of list) TABLE[state * 256 + byte] = next | (todo << 6)
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

const SPACE = ' \t\n\r'
for (const state of [S.value, S.first, S.firstName, S.name, S.colon, S.after]) set(state, SPACE, state, Do.space)

let free: number = S.literal
for (const state of [S.value, S.first]) {
  set(state, '[', S.first, Do.openArray)
  set(state, '{', S.firstName, Do.openObject)
  set(state, '"', S.string, Do.quote)
  set(state, '-', S.minus, Do.scalar)
  set(state, '0', S.zero, Do.scalar)
  set(state, '123456789', S.digits, Do.scalar)
}
for (const word of ['true', 'false', 'null']) {
  for (const state of [S.value, S.first]) set(state, word[0] ?? '', free, Do.scalar)
  for (const letter of word.slice(1, -1)) set(free, letter, ++free)
  set(free++, word.slice(-1), S.after)
}

set(S.first, ']', S.after, Do.closeArray)
set(S.firstName, '}', S.after, Do.closeObject)
for (const state of [S.firstName, S.name]) set(state, '"', S.string, Do.quoteName)
set(S.colon, ':', S.value)

// What may end a number stands in its own states, so that no byte is looked at twice.
for (const state of [S.after, S.zero, S.digits, S.fraction, S.exponentDigits]) {
  set(state, ',', S.after, Do.comma)
  set(state, ']', S.after, Do.closeArray)
  set(state, '}', S.after, Do.closeObject)
  set(state, SPACE, S.after, Do.space)
}
set(S.minus, '0', S.zero)
set(S.minus, '123456789', S.digits)
set(S.digits, '0123456789', S.digits)
for (const state of [S.zero, S.digits]) set(state, '.', S.point)
for (const state of [S.point, S.fraction]) set(state, '0123456789', S.fraction)
for (const state of [S.zero, S.digits, S.fraction]) set(state, 'eE', S.exponent)
set(S.exponent, '+-', S.exponentSign)
for (const state of [S.exponent, S.exponentSign, S.exponentDigits]) set(state, '0123456789', S.exponentDigits)

set(S.string, [0x20, 0x7f], S.string)
set(S.string, '"', S.after, Do.unquote)
set(S.string, '\\', S.escape)
set(S.escape, '"\\/bfnrt', S.string)
set(S.escape, 'u', S.hex)
for (let digit = 0; digit < 4; digit++) {
  set(S.hex + digit, '0123456789abcdefABCDEF', digit === 3 ? S.string : S.hex + digit + 1)
}

set(S.string, [0xc2, 0xdf], S.tail1)
set(S.string, [0xe0, 0xef], S.tail2)
set(S.string, [0xe0, 0xe0], S.tailE0)
set(S.string, [0xed, 0xed], S.tailED)
set(S.string, [0xf1, 0xf3], S.tail3)
set(S.string, [0xf0, 0xf0], S.tailF0)
set(S.string, [0xf4, 0xf4], S.tailF4)
set(S.tail1, [0x80, 0xbf], S.string)
set(S.tail2, [0x80, 0xbf], S.tail1)
set(S.tail3, [0x80, 0xbf], S.tail2)
set(S.tailE0, [0xa0, 0xbf], S.tail1)
set(S.tailED, [0x80, 0x9f], S.tail1)
set(S.tailF0, [0x90, 0xbf], S.tail2)
set(S.tailF4, [0x80, 0x8f], S.tail2)

/** A number that may end where the text does. */
export function mayEnd(state: number): boolean {
  return [S.after, S.zero, S.digits, S.fraction, S.exponentDigits].some((end) => end === state)
}

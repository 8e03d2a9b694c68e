import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BITS, formatAddress } from '../../../src/egress/guard/address.ts'
import { checkUrl } from '../../../src/egress/guard/check-url.ts'
import { EgressPolicy } from '../../../src/egress/guard/policy.ts'
import { SPECIAL, specialRange } from '../../../src/egress/guard/special.ts'

const policy = new EgressPolicy()
const FROM = new URL('https://www.example.com/a/b?c#d')

/** The URL, or `invalid: sentence`, or `denied: kind`. */
function told(text: string, base?: URL, rules = policy): string {
  const result = checkUrl(text, rules, base)
  if (result instanceof URL) return result.href
  return result.verdict === 'invalid' ? `invalid: ${result.sentence}` : `denied: ${result.kind}`
}

describe('a submitted URL', () => {
  it.each([
    ['http://example.com', 'http://example.com/'],
    ['HTTPS://Example.COM.:8443/a?b=c#d', 'https://example.com.:8443/a?b=c#d'],
    ['http://bücher.example/', 'http://xn--bcher-kva.example/'],
    ['http://example.com/a@b//c', 'http://example.com/a@b//c'],
    ['http://example.com#@127.0.0.1/', 'http://example.com/#@127.0.0.1/'],
    ['http://example.com/?http://127.0.0.1/', 'http://example.com/?http://127.0.0.1/'],
    ['http://[2606:4700::1111]:8080/', 'http://[2606:4700::1111]:8080/'],
    ['http://[::ffff:8.8.8.8]/', 'http://[::ffff:808:808]/'],
  ])('%s is taken', (text, href) => {
    expect(told(text)).toBe(href)
  })

  it.each([
    ['', 'http:// or https://'],
    ['/path', 'http:// or https://'],
    ['//example.com/', 'http:// or https://'],
    ['ftp://example.com/', 'http:// or https://'],
    ['http:example.com/', 'http:// or https://'],
    ['http:/example.com/', 'http:// or https://'],
    ['http:///example.com/', 'Two slashes'],
    ['http:////example.com/', 'Two slashes'],
    ['http://?example.com/', 'not a URL'],
    ['http://user@example.com/', 'user name'],
    ['http://@example.com/', 'user name'],
    ['http://:@example.com/', 'user name'],
    ['http://a:b@c@example.com/', 'user name'],
    ['http://example.com\\@evil.example.com/', 'backslashes'],
    ['http://example.com\t/', 'blanks'],
    ['http://exa mple.com/', 'blanks'],
    ['http://example.com/\u3000', 'blanks'],
    ['http://example.com:65536/', 'port of a URL'],
    ['http://example.com:٨٠/', 'port of a URL'],
    ['http://*.example.com/', 'not a valid name'],
    ['http://a..example.com/', 'not a valid name'],
    ['http://127.0.0.1../', 'not a valid name'],
    ['http://-a.example.com/', 'not a valid name'],
    ["http://a'b.example.com/", 'not a valid name'],
    [`http://example.com/${'a'.repeat(8_192)}`, 'at most'],
    [`http://127.0.0.1/${'a'.repeat(8_192)}`, 'at most'],
    ['http://[fe80::1%25eth0]/', 'not a URL'],
    ['http://4294967296/', 'not a URL'],
    ['http://127.0.0.1%00.example.com/', 'not a URL'],
  ])('%j is malformed', (text, why) => {
    expect(told(text)).toMatch(new RegExp(`^invalid: .*${why}`))
  })

  it.each([
    ['http://127.0.0.1/', 'address'],
    ['http://169.254.169.254/', 'metadata'],
    ['http://localhost/', 'name'],
    ['http://redis/', 'name'],
    ['http://metadata.goog/', 'metadata'],
    ['http://example.com:22/', 'port'],
    ['https://example.com:0/', 'port'],
    ['http://127.0.0.1:6379/', 'port'],
  ])('%s is refused', (text, kind) => {
    expect(told(text)).toBe(`denied: ${kind}`)
  })

  it.each([
    'http://user@127.0.0.1/',
    'http://example.com:80@127.0.0.1/',
    'http:///127.0.0.1/',
    'http://127.0.0.1\t/',
    ' http://127.0.0.1/',
    'http:\\\\127.0.0.1\\',
  ])('%j is refused, malformed as it is', (text) => {
    expect(told(text)).toBe('denied: address')
  })

  it('is judged by the policy that it is given', () => {
    const rules = new EgressPolicy({ allow: ['127.0.0.1:8000'], allowHosts: ['app.corp'], denyHosts: ['*.test'] })

    expect(told('http://127.1:8000/', undefined, rules)).toBe('http://127.0.0.1:8000/')
    expect(told('http://127.1:8001/', undefined, rules)).toBe('denied: address')
    expect(told('http://APP.corp./', undefined, rules)).toBe('http://app.corp./')
    expect(told('http://a.test/', undefined, rules)).toBe('denied: deny')
  })

  it('says no address in a sentence for tenants', () => {
    const text = fc.oneof(
      fc.string(),
      fc.webUrl(),
      fc.ipV4().map((ip) => `http://${ip}:x/`),
    )

    fc.assert(
      fc.property(text, (one) => {
        const result = checkUrl(one, policy)

        if (!(result instanceof URL) && result.verdict === 'invalid')
          expect(result.sentence.replace('8192', '').replace('0 to 65535', '')).not.toMatch(/\d/)
      }),
    )
  })
})

describe('a Location', () => {
  it.each([
    ['../c', 'https://www.example.com/c'],
    ['', 'https://www.example.com/a/b?c'],
    ['?x=a:b', 'https://www.example.com/a/b?x=a:b'],
    ['/x//y@z', 'https://www.example.com/x//y@z'],
    ['//other.example.com/x', 'https://other.example.com/x'],
    ['HTTPS://other.example.com/', 'https://other.example.com/'],
  ])('%j is taken', (location, href) => {
    expect(told(location, FROM)).toBe(href)
  })

  it.each([
    ['//127.0.0.1/', 'address'],
    ['///127.0.0.1/', 'address'],
    ['//user@127.0.0.1/', 'address'],
    ['/\\127.0.0.1/', 'address'],
    ['http://2130706433/', 'address'],
    ['//localhost', 'name'],
    ['data:text/html,x', 'scheme'],
    ['javascript:alert(1)', 'scheme'],
    ['file:///etc/passwd', 'scheme'],
    ['gopher://127.0.0.1:6379/_INFO', 'scheme'],
  ])('%j is refused', (location, kind) => {
    expect(told(location, FROM)).toBe(`denied: ${kind}`)
  })

  it.each(['https:/x', 'https:x', '///other.example.com/', '//@other.example.com/', '//a b/', '//', 'http://[::1'])(
    '%j is malformed',
    (location) => {
      expect(told(location, FROM)).toMatch(/^invalid: /)
    },
  )
})

/** An address as the number it is, in one of the ways that URL parsers understand. */
const SPELLINGS = {
  part: (value: number) =>
    fc.constantFrom(
      `${value}`,
      `0${value.toString(8)}`,
      `000${value.toString(8)}`,
      `0x${value.toString(16)}`,
      `0X${value.toString(16).toUpperCase()}`,
      `0x00${value.toString(16)}`,
    ),
  /** The last part stands for all bytes that are left. */
  parts: (value: number, count: number) => {
    const rest = 4 - count
    const last = rest === 3 ? value : value % 256 ** (rest + 1)
    return [...[24, 16, 8].slice(0, count - 1).map((shift) => (value >>> shift) & 255), last]
  },
  dot: fc.constantFrom('.', '%2e', '\u3002', '\uff0e', '\uff61'),
  digits: [
    (text: string) => text,
    (text: string) => text.replace(/\d/g, (digit) => String.fromCharCode(digit.charCodeAt(0) + 0xfee0)),
    (text: string) => text.replace(/\d/g, (digit) => `%3${digit}`),
  ],
}

const oddIPv4 = (value: number) =>
  fc
    .constantFrom(1, 2, 3, 4)
    .chain((count) =>
      fc
        .tuple(
          fc.tuple(...SPELLINGS.parts(value, count).map(SPELLINGS.part)),
          SPELLINGS.dot,
          fc.constantFrom(...SPELLINGS.digits),
          fc.constantFrom('', '.'),
        )
        .map(([parts, dot, digits, root]) => `${digits(parts.join('.')).replaceAll('.', dot)}${root}`),
    )

const hex = (value: number) => value.toString(16)
const inIPv6 = (value: number) => {
  const [high, low] = [value >>> 16, value & 0xffff]
  const dotted = formatAddress({ family: 4, value: BigInt(value) })
  const tail = fc.constantFrom(
    dotted,
    `${hex(high)}:${hex(low)}`,
    `${hex(high).padStart(4, '0')}:${hex(low).padStart(4, '0')}`,
  )
  const head = fc.constantFrom('::ffff:', '0::ffff:', '0:0:0:0:0:ffff:', '0000:0::FFFF:', '::0:ffff:')
  return fc.tuple(head, tail).map(([front, back]) => `[${front}${back}]`)
}

const inSpecialIPv4 = fc
  .constantFrom(...SPECIAL.filter(({ range }) => range.family === 4).map(({ range }) => range))
  .chain(({ bits, prefix }) => {
    const first = Number(prefix << BigInt(BITS[4] - bits))
    return fc.integer({ min: first, max: first + 2 ** (BITS[4] - bits) - 1 })
  })
const publicIPv4 = fc
  .integer({ min: 0, max: 2 ** 32 - 1 })
  .filter((value) => specialRange({ family: 4, value: BigInt(value) }) === undefined)

const spelled = (value: fc.Arbitrary<number>) => value.chain((one) => fc.oneof(oddIPv4(one), inIPv6(one)))

describe('in whatever spelling', () => {
  it('a special IPv4 address is refused', () => {
    fc.assert(
      fc.property(spelled(inSpecialIPv4), (host) => {
        expect(told(`http://${host}/`)).toMatch(/^denied: (address|metadata)$/)
      }),
      { numRuns: 5_000 },
    )
  })

  it('a public IPv4 address is taken', () => {
    fc.assert(
      fc.property(spelled(publicIPv4), (host) => {
        expect(told(`http://${host}/`)).toMatch(/^http:/)
      }),
      { numRuns: 2_000 },
    )
  })

  it('what stands for an IPv4 address, and is not mapped, is refused', () => {
    const stands = fc
      .tuple(fc.constantFrom('::', '::ffff:0:', '64:ff9b::', '64:ff9b:1::', '2002:', '2001:0:'), publicIPv4)
      .map(
        ([front, value]) =>
          `${front}${hex(value >>> 16)}:${hex(value & 0xffff)}${front.endsWith('::') || front === '::ffff:0:' ? '' : '::'}`,
      )

    fc.assert(
      fc.property(stands, (host) => {
        expect(told(`http://[${host}]/`)).toBe('denied: address')
      }),
    )
  })

  it('a name of this machine is refused', () => {
    const letters = [
      (letter: string) => letter,
      (letter: string) => letter.toUpperCase(),
      (letter: string) => `%${letter.charCodeAt(0).toString(16)}`,
      (letter: string) => String.fromCharCode(letter.charCodeAt(0) + 0xfee0),
      (letter: string) => `${letter}\u00ad`,
      (letter: string) => `\u200b${letter}`,
    ]
    const localhost = fc.tuple(
      ...[...'localhost'].map((letter) => fc.constantFrom(...letters).map((spell) => spell(letter))),
    )

    fc.assert(
      fc.property(localhost, fc.constantFrom('', '.', ':80', '.:443'), (host, rest) => {
        expect(told(`http://${host.join('')}${rest}/`)).toBe('denied: name')
      }),
      { numRuns: 500 },
    )
  })

  it('nothing is taken whose own reading is another', () => {
    const unsafe = fc.constantFrom(' ', '\t', '\r', '\n', '\0', '\\', '\u2028', '\u007f')

    fc.assert(
      fc.property(fc.webUrl(), unsafe, fc.nat(), (url, character, at) => {
        const split = at % (url.length + 1)

        expect(checkUrl(url.slice(0, split) + character + url.slice(split), policy)).not.toBeInstanceOf(URL)
      }),
    )
  })
})

import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import {
  checkUrl,
  hasAuthority,
  hostAndPort,
  MAX_URL_LENGTH,
  plainAuthority,
  portOf,
  urlCheck,
} from '../../src/egress/url.ts'

describe('checkUrl', () => {
  it.each([
    'http://example.com',
    'HTTPS://Example.com:8443/a?b=c#d',
    'http://[2001:db8::1]:80/',
    'http://xn--nxasmq6b/',
  ])('takes %s', (text) => {
    expect(checkUrl(text)).toBeInstanceOf(URL)
  })

  it.each([
    ['ftp://example.com', 'http:// or https://'],
    ['//example.com/', 'http:// or https://'],
    ['http:example.com', 'http:// or https://'],
    ['/path', 'http:// or https://'],
    ['', 'http:// or https://'],
    ['http://user@example.com/', 'user name'],
    ['http://:secret@example.com/', 'user name'],
    ['http://example.com/a b', 'blanks'],
    [' http://example.com/', 'blanks'],
    ['http://exa\tmple.com/', 'blanks'],
    ['http://example.com/\u0000', 'control'],
    ['http://example.com/\u00a0', 'blanks'],
    ['http://example.com\\@evil.test/', 'backslashes'],
    ['http://example.com:99999/', 'port of a URL must be 0 to 65535'],
    ['http://example.com:-1?x', 'port of a URL must be 0 to 65535'],
    ['https://[::1]:http', 'port of a URL must be 0 to 65535'],
    ['http://example.com:80:99999/', 'not a URL'],
    ['http://[::1/', 'not a URL'],
    ['http://exa%mple.com:99999/', 'not a URL'],
    ['http://', 'not a URL'],
  ])('refuses %j', (text, why) => {
    expect(checkUrl(text)).toContain(why)
  })

  it('refuses what is too long before and after it is parsed', () => {
    expect(checkUrl(`http://example.com/${'a'.repeat(MAX_URL_LENGTH)}`)).toContain('at most')
    expect(checkUrl(`http://example.com/${'ä'.repeat(MAX_URL_LENGTH / 2)}`)).toContain('at most')
  })

  it('resolves a relative reference against its base', () => {
    const base = new URL('https://example.com/a/b')

    expect(checkUrl('../c', base)).toHaveProperty('href', 'https://example.com/c')
    expect(checkUrl('//other.test/', base)).toHaveProperty('href', 'https://other.test/')
    expect(checkUrl('javascript:alert(1)', base)).toContain('Only http')
  })

  it('never takes a text with a control character, blank or backslash', () => {
    fc.assert(
      fc.property(
        fc.webUrl(),
        fc.constantFrom(' ', '\t', '\r', '\n', '\0', '\\', '\u2028', '\u007f'),
        fc.nat(),
        (url, unsafe, at) => {
          const split = at % (url.length + 1)
          expect(typeof checkUrl(url.slice(0, split) + unsafe + url.slice(split))).toBe('string')
        },
      ),
    )
  })
})

describe('hostAndPort', () => {
  it.each([
    ['http://Example.COM/', 'example.com:80'],
    ['https://example.com./', 'example.com:443'],
    ['http://example.com:8080/', 'example.com:8080'],
    ['http://0x7f.1/', '127.0.0.1:80'],
    ['https://[::1]/', '[::1]:443'],
  ])('spells the destination of %s in one way', (url, expected) => {
    expect(hostAndPort(new URL(url))).toBe(expected)
  })

  it('knows the default ports', () => {
    expect([
      portOf(new URL('http://a.test')),
      portOf(new URL('https://a.test')),
      portOf(new URL('http://a.test:1')),
    ]).toEqual([80, 443, 1])
  })
})

/** Texts that share authorities, so that what was learnt of one is used for others; what follows them is anything. */
const authority = fc.constantFrom(
  'http://a.example',
  'http://a.example:80',
  'HTTP://A.example',
  'https://a.example:8443',
  'http://a.example:99999',
  'http://1.2.3.4.5',
  'http://xn--a',
  'http://u@a.example',
  'http://[::1]',
  'http://a.example.',
  'http://',
  'ftp://a.example',
)
const rest = fc.oneof(
  fc.constantFrom(
    '',
    '/',
    '?',
    '#',
    '/a?b#c',
    '@evil.test/',
    ':81/',
    '.evil.test/',
    '\\@evil.test/',
    '/a b',
    '/ü',
    '/%zz',
  ),
  fc.constantFrom('/\u0000', '/\t', '/..//', '/"<>`{}|^', `/${'"'.repeat(2_800)}`, `/${'x'.repeat(MAX_URL_LENGTH)}`),
  fc.string({ maxLength: 10 }).map((text) => `/${text}`),
  fc.string({ maxLength: 4 }),
)
const text = fc.tuple(authority, rest).map(([authority, rest]) => authority + rest)

describe('urlCheck', () => {
  it('says what checkUrl says, whatever it was asked before', () => {
    fc.assert(
      fc.property(fc.array(text, { maxLength: 12 }), (texts) => {
        const isUrl = urlCheck()
        for (const text of texts) expect([text, isUrl(text)]).toEqual([text, checkUrl(text) instanceof URL])
      }),
      { numRuns: 2_000 },
    )
  })

  it('parses one URL of a host, and again after one of another', () => {
    const parse = vi.spyOn(URL, 'parse')
    const isUrl = urlCheck()

    const parsed = ['http://a.example/1', 'http://a.example/2', 'http://a.example:80/3', 'http://a.example/4'].map(
      (text) => {
        parse.mockClear()
        return [isUrl(text), parse.mock.calls.length]
      },
    )
    parse.mockRestore()

    expect(parsed).toEqual([
      [true, 1],
      [true, 0],
      [true, 1],
      [true, 1],
    ])
  })
})

describe('plainAuthority', () => {
  it.each([
    ['http://a.example', 'http://a.example'],
    ['HTTPS://A.example:8443?x', 'HTTPS://A.example:8443'],
    ['http://a.example#x', 'http://a.example'],
    ['http://u@a.example/', undefined],
    ['http://[::1]/', undefined],
    ['http://a.example\\x', undefined],
    ['http://a%2e/', undefined],
    ['http://a.example:123456/', undefined],
  ])('of %s is %s', (text, authority) => {
    expect(plainAuthority(text)).toBe(authority)
  })
})

describe('hasAuthority', () => {
  it('wants it whole', () => {
    const has = (text: string) => hasAuthority(text, 'http://a.example')
    expect(['', '/', '?q', '#f', '/a'].map((rest) => has(`http://a.example${rest}`))).toEqual(Array(5).fill(true))
    expect(['.', ':80', '@b', 'x', '\\', '%'].map((rest) => has(`http://a.example${rest}`))).toEqual(
      Array(6).fill(false),
    )
    expect(has('http://a.exampl')).toBe(false)
  })
})

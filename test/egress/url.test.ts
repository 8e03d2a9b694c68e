import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkUrl, hostAndPort, MAX_URL_LENGTH, portOf } from '../../src/egress/url.ts'

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

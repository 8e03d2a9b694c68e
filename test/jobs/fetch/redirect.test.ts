import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { locationOf, redirected as redirectedBy, type Signpost } from '../../../src/jobs/fetch/redirect.ts'
import type { HopRequest } from '../../../src/jobs/fetch/request.ts'
import { METHODS } from '../../../src/jobs/fetch/spec.ts'
import { openGuard } from '../../support/guard.ts'

const KEPT = [
  'accept',
  'accept-language',
  'accept-encoding',
  'user-agent',
  'range',
  'if-none-match',
  'if-modified-since',
]

function request(own: Partial<Omit<HopRequest, 'headers'>> & { headers?: Record<string, string> } = {}): HopRequest {
  const { headers = {}, ...rest } = own
  return {
    url: new URL('https://a.test/x'),
    method: 'GET',
    body: null,
    headers: new Map(Object.entries(headers)),
    ...rest,
  }
}

const GUARD = openGuard()
const SIGNPOST: Signpost = {
  check: (text, base) => GUARD.checkUrl('acme', text, base),
  refuse: (denial) => GUARD.refuse('acme', denial),
}

function redirected(from: HopRequest, status: number, location: string): HopRequest {
  return redirectedBy(from, status, location, SIGNPOST)
}

describe('redirected', () => {
  it.each([
    [301, 'POST', 'GET'],
    [302, 'POST', 'GET'],
    [303, 'POST', 'GET'],
    [303, 'PUT', 'GET'],
    [303, 'DELETE', 'GET'],
    [301, 'PUT', 'PUT'],
    [302, 'PATCH', 'PATCH'],
    [307, 'POST', 'POST'],
    [308, 'PATCH', 'PATCH'],
    [301, 'HEAD', 'HEAD'],
    [303, 'HEAD', 'HEAD'],
    [303, 'GET', 'GET'],
  ] as const)('%i makes %s a %s', (status, method, expected) => {
    expect(redirected(request({ method }), status, '/y').method).toBe(expected)
  })

  it('drops the body, and what describes it, when the method becomes GET', () => {
    const headers = { 'content-type': 'text/plain', 'content-language': 'de', 'x-mine': '1' }
    const next = redirected(request({ method: 'POST', body: Buffer.from('b'), headers }), 303, '/y')

    expect(next.body).toBe(null)
    expect([...next.headers.keys()]).toEqual(['x-mine'])
  })

  it('keeps body and headers within the origin otherwise', () => {
    const from = request({
      method: 'POST',
      body: Buffer.from('b'),
      headers: { authorization: 'x', 'content-type': 'a' },
    })

    expect(redirected(from, 307, '?q')).toEqual({ ...from, url: new URL('https://a.test/x?q') })
  })

  it.each(['https://b.test/', 'https://a.test:8443/'])('refuses to take a body to %s', (location) => {
    const from = request({ method: 'PUT', body: Buffer.from('b') })

    expect(() => redirected(from, 308, location)).toThrow(expect.objectContaining({ code: 'bad_redirect' }))
  })

  it('goes to another origin without a body', () => {
    expect(redirected(request({ method: 'POST', body: Buffer.from('b') }), 302, 'https://b.test/').url.host).toBe(
      'b.test',
    )
  })

  it.each(['http://a.test/', 'https://u:p@b.test/', 'https://b.test\\@a.test/', 'https://[', '/a b', '/\u0001'])(
    'refuses to go from https to %j',
    (location) => {
      expect(() => redirected(request(), 302, location)).toThrow(
        expect.objectContaining({
          type: 'FetchError',
          code: 'bad_redirect',
          message: expect.not.stringContaining('test'),
        }),
      )
    },
  )

  it.each([
    'ftp://b.test/',
    'file:///etc/passwd',
    'http://10.0.0.1/',
    '//169.254.169.254/latest',
    'http://db.internal/',
  ])('is denied %j, without a word of where', (location) => {
    expect(() => redirected(request(), 302, location)).toThrow(
      expect.objectContaining({ code: 'egress_denied', message: 'The destination is not allowed.' }),
    )
  })

  it('goes from http to https, as to another origin', () => {
    const from = request({ url: new URL('http://a.test/'), headers: { cookie: 'x', accept: 'y' } })

    expect([...redirected(from, 301, 'https://a.test/').headers]).toEqual([
      ['accept', 'y'],
      ['cdn-loop', 'gatherd'],
    ])
  })

  it('reads a location as UTF-8, and inherits the fragment', () => {
    const from = request({ url: new URL('https://a.test/x#frag') })
    const asReceived = Buffer.from('/ä', 'utf8').toString('latin1')

    expect(redirected(from, 302, asReceived).url.href).toBe('https://a.test/%C3%A4#frag')
    expect(redirected(from, 302, '/y#own').url.hash).toBe('#own')
  })

  const name = fc.oneof(
    fc.constantFrom(...KEPT, 'authorization', 'cookie', 'x-api-key', 'traceparent', 'baggage', 'referer'),
    fc.stringMatching(/^[a-z][a-z-]{0,12}$/),
  )

  it('shows another origin nothing but the listed headers and our own loop header', () => {
    fc.assert(
      fc.property(
        fc.dictionary(name, fc.string()),
        fc.constantFrom(...METHODS),
        fc.constantFrom(301, 302, 303, 307, 308),
        (headers, method, status) => {
          const next = redirected(request({ headers, method }), status, 'https://other.test/')

          for (const [header, value] of next.headers) {
            if (header !== 'cdn-loop') expect([KEPT.includes(header), value]).toEqual([true, headers[header]])
          }
          for (const kept of KEPT) expect(next.headers.get(kept)).toBe(headers[kept])
          expect(next.headers.get('cdn-loop')).toBe('gatherd')
        },
      ),
    )
  })

  it('never changes the request that it follows from', () => {
    fc.assert(
      fc.property(
        fc.dictionary(name, fc.string()),
        fc.constantFrom('/y', 'https://other.test/'),
        (headers, location) => {
          const from = request({ headers, method: 'POST' })
          redirected(from, 303, location)
          expect(Object.fromEntries(from.headers)).toEqual({ ...headers })
        },
      ),
    )
  })
})

describe('locationOf', () => {
  it.each([301, 302, 303, 307, 308])('is where %i says', (status) => {
    expect(locationOf(status, { location: '/x' })).toBe('/x')
  })

  it.each([200, 201, 300, 304, 305])('is nowhere with %i', (status) => {
    expect(locationOf(status, { location: '/x' })).toBe(undefined)
  })
})

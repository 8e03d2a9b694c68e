import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { DEFAULT_FETCH_LIMITS } from '../../../src/jobs/fetch/limits.ts'
import { fetchSpec } from '../../../src/jobs/fetch/spec.ts'
import { detailOf, fieldErrors } from '../../../src/schema/issues.ts'

const url = 'http://example.com/'
const spec = fetchSpec({ ...DEFAULT_FETCH_LIMITS, maxRequestBytes: 100, maxResponseBytes: 1_000 })

/** JSON Pointers of what is wrong, sorted. */
function wrong(input: unknown, schema: z.ZodType = spec): string[] {
  const { error } = schema.safeParse(input)
  return (error?.issues ?? []).flatMap(pointers).sort()
}

function pointers(issue: z.core.$ZodIssue): string[] {
  const path = issue.path.map((part) => `/${String(part)}`).join('')
  return issue.code === 'unrecognized_keys' ? issue.keys.map((key) => `${path}/${key}`) : [path]
}

describe('the fields of a fetch', () => {
  it('fill in their defaults', () => {
    expect(spec.parse({ url })).toEqual({
      url,
      method: 'GET',
      redirects: 5,
      okStatus: ['2xx', '3xx'],
      maxResponseBytes: 1_000,
      response: 'full',
    })
  })

  it('take everything that is allowed', () => {
    const full = {
      url,
      method: 'POST',
      headers: { 'X-A': 'visible, with\tinner blanks', empty: '' },
      json: null,
      redirects: 0,
      okStatus: ['1xx', 599],
      maxResponseBytes: 0,
      response: 'none',
    }

    expect(spec.parse(full)).toEqual(full)
  })

  it('name every wrong field at once, the rules between fields included', () => {
    const input = {
      url: 'ftp://x',
      method: 'GET',
      headers: { host: 'a', 'bad name': 'x', 'x-ok': 'y', 'x-bad': 'a\nb' },
      body: 1,
      json: {},
      bodyBase64: '*',
      redirects: 11,
      okStatus: ['6xx', 99],
      maxResponseBytes: -1,
      response: 'all',
      extra: true,
    }

    expect(wrong(input)).toEqual(
      [
        '/url',
        '/headers/host',
        '/headers/bad name',
        '/headers/x-bad',
        '/body',
        '/json',
        '/bodyBase64',
        '/redirects',
        '/okStatus/0',
        '/okStatus/1',
        '/maxResponseBytes',
        '/response',
        '/extra',
      ].sort(),
    )
  })

  it('keep their rules between fields when the common fields are added', () => {
    const job = spec.extend({ kind: z.literal('fetch'), timeoutMs: z.int().optional() })

    expect(wrong({ kind: 'fetch', url: 1, timeoutMs: 'x', body: 'a', json: 1 }, job)).toEqual([
      '/body',
      '/json',
      '/timeoutMs',
      '/url',
    ])
  })

  it.each([[undefined], [null], [1], ['x'], [[]]])('refuse %j as a whole', (input) => {
    expect(wrong(input)).toEqual([''])
  })

  it.each([['GET'], ['HEAD']])('refuse a body with %s', (method) => {
    expect(wrong({ url, method, json: false })).toEqual(['/json'])
    expect(wrong({ url, method, body: '' })).toEqual(['/body'])
  })

  it('refuse a second and a third body', () => {
    expect(wrong({ url, method: 'PUT', body: 'a', json: 1, bodyBase64: 'aa==' })).toEqual(['/bodyBase64', '/json'])
  })

  it('refuse a body that is too large on the wire', () => {
    const post = { url, method: 'POST' }

    expect(wrong({ ...post, body: 'ä'.repeat(51) })).toEqual(['/body'])
    expect(wrong({ ...post, body: 'ä'.repeat(50) })).toEqual([])
    expect(wrong({ ...post, json: 'x'.repeat(99) })).toEqual(['/json'])
    expect(wrong({ ...post, json: 'x'.repeat(98) })).toEqual([])
    expect(wrong({ ...post, bodyBase64: Buffer.alloc(101).toString('base64') })).toEqual(['/bodyBase64'])
    expect(wrong({ ...post, bodyBase64: Buffer.alloc(100).toString('base64') })).toEqual([])
  })

  it.each([
    [{ body: 1 }, '/body'],
    [{ body: 'x'.repeat(101) }, '/body'],
    [{ bodyBase64: '*'.repeat(200) }, '/bodyBase64'],
    [{ method: 'POST', body: 'x'.repeat(101) }, '/body'],
    [{ method: 'POST', bodyBase64: '*'.repeat(200) }, '/bodyBase64'],
    [{ headers: { host: 'ä' } }, '/headers/host'],
    [{ headers: { host: 1 } }, '/headers/host'],
    [{ headers: { 'x-a': 'ä'.repeat(20_000) } }, '/headers', '/headers/x-a'],
    [{ headers: { ['ä'.repeat(300)]: '' } }, `/headers/${'ä'.repeat(300)}`],
    [{ headers: Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`x-${n}`, 'x'.repeat(300)])) }, '/headers'],
  ])('are named once each, whatever else is wrong with them (%#)', (input, ...pointers) => {
    expect(wrong({ url, ...input })).toEqual(pointers)
  })

  it.each([
    [{ headers: { 'x-a': 'ä' } }, 'Must be visible ASCII characters, blanks and tabs only inside.'],
    [{ headers: { 'x a': '' } }, "A header is named with A-Z, a-z, 0-9 and !#$%&'*+-.^_`|~."],
    [{ url: 'http://a.test:65536/' }, 'The port of a URL must be 0 to 65535.'],
    [{ method: 'POST', bodyBase64: '*' }, 'Must be base64 (RFC 4648, 4).'],
  ])('say in words what would be right: %j', (input, detail) => {
    const { error } = spec.safeParse({ url, ...input }, { error: detailOf })

    expect(fieldErrors(error?.issues ?? []).map((field) => field.detail)).toEqual([detail])
  })

  it('refuse JSON that is nested deeper than 32', () => {
    const nested = (depth: number): unknown => JSON.parse('['.repeat(depth) + ']'.repeat(depth))

    expect(wrong({ url, method: 'POST', json: nested(32) })).toEqual([])
    expect(wrong({ url, method: 'POST', json: nested(33) })).toEqual(['/json'])
    expect(wrong({ url, method: 'POST', json: nested(100_000) })).toEqual(['/json'])
  })

  it('refuse an empty and an endless okStatus without hiding what is wrong beside it', () => {
    expect(wrong({ url, okStatus: [] })).toEqual(['/okStatus'])
    expect(wrong({ url, okStatus: Array(65).fill(200), json: 1 })).toEqual(['/json', '/okStatus'])
  })

  it.each([
    ...[
      'Host',
      'connection',
      'Keep-Alive',
      'proxy-authorization',
      'Proxy-Connection',
      'transfer-encoding',
      'Content-Length',
    ],
    ...['te', 'trailer', 'Upgrade', 'expect', 'HTTP2-Settings', 'via', 'forwarded', 'X-Forwarded-For', 'x-real-ip'],
    ...['Sec-Fetch-Site', 'Metadata', 'Metadata-Flavor', 'X-aws-ec2-metadata-token', 'X-Google-Metadata-Request'],
  ])('refuse the header %s at its own pointer', (name) => {
    expect(wrong({ url, headers: { [name]: 'x' } })).toEqual([`/headers/${name}`])
  })

  it('refuse a header that is given twice, and too many or too large ones', () => {
    const many = Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`x-${n}`, '']))

    expect(wrong({ url, headers: { accept: 'a', Accept: 'b' } })).toEqual(['/headers/Accept'])
    expect(wrong({ url, headers: many })).toEqual(['/headers'])
    expect(wrong({ url, headers: { a: 'x'.repeat(9_000), b: 'x'.repeat(9_000) } })).toEqual(['/headers'])
  })

  it('take a header value exactly when it is visible ASCII with blanks inside', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 20 }), (value) => {
        const visible = value.trim() === value && /^[\t\x20-\x7e]*$/.test(value)
        expect(wrong({ url, headers: { a: value } }).length).toBe(visible ? 0 : 1)
      }),
    )
  })

  it.each(['input', 'output'] as const)('have a JSON schema as %s, with a description and examples for each', (io) => {
    const schema = z.toJSONSchema(spec, { io })

    expect(schema.additionalProperties).toBe(false)
    for (const field of Object.values(schema.properties ?? {})) {
      expect(field).toMatchObject({ description: expect.any(String), examples: expect.any(Array) })
    }
    expect(schema.properties).toMatchObject({ maxResponseBytes: { maximum: 1_000 }, okStatus: { maxItems: 64 } })
  })
})

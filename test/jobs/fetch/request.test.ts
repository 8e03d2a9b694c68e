import { describe, expect, it } from 'vitest'
import { firstRequest, headerLines } from '../../../src/jobs/fetch/request.ts'
import type { FetchFields } from '../../../src/jobs/fetch/spec.ts'
import { attempt } from '../attempt.ts'

const spec = (own: Partial<FetchFields> = {}): FetchFields => ({
  url: 'http://a.example/',
  method: 'GET',
  redirects: 5,
  okStatus: ['2xx'],
  maxResponseBytes: 10,
  response: 'full',
  ...own,
})
const traceparent = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`

/** The names of the headers that are sent. */
function namesOf(own: Partial<FetchFields>, context: Parameters<typeof attempt>[0] = {}): string[] {
  const { headers } = firstRequest(spec(own), attempt(context))
  expect(headerLines(headers)).toEqual([...headers].flat())
  return [...headers.keys()]
}

const OURS = ['user-agent', 'accept-encoding', 'cdn-loop']

describe('the headers of a first request', () => {
  it('are ours alone, and the same for all, where nothing else is asked for', () => {
    const [one, other] = [spec(), spec({ url: 'http://b.example/', method: 'DELETE' })].map((each) =>
      headerLines(firstRequest(each, attempt()).headers),
    )

    expect(namesOf({})).toEqual(OURS)
    expect(one).toBe(other)
  })

  it.each([
    ['a header of its own', { headers: { x: '1' } }, {}, ['x', ...OURS]],
    ['no header of its own', { headers: {} }, {}, OURS],
    ['a body', { method: 'POST', body: 'hi' }, {}, [...OURS, 'content-type']],
    ['JSON', { method: 'POST', json: null }, {}, [...OURS, 'content-type']],
    ['bytes', { method: 'POST', bodyBase64: '' }, {}, OURS],
    ['a trace to go on with', {}, { traceparent }, [...OURS, 'traceparent']],
    ['a span', {}, { span: traceparent }, [...OURS, 'traceparent']],
    ['a context', {}, { context: { a: 'b' } }, [...OURS, 'baggage']],
  ] as const)('of a fetch with %s', (_what, own, context, expected) => {
    expect(namesOf(own as Partial<FetchFields>, context)).toEqual(expected)
  })
})

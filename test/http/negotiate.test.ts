import { describe, expect, it } from 'vitest'
import { negotiate } from '../../src/http/negotiate.ts'

const OFFERS = ['application/json', 'text/event-stream', 'application/x-ndjson'] as const

describe('negotiate', () => {
  it.each([
    [undefined, 'application/json'],
    ['', 'application/json'],
    ['*/*', 'application/json'],
    ['application/*', 'application/json'],
    ['text/*', 'text/event-stream'],
    ['text/event-stream', 'text/event-stream'],
    ['TEXT/Event-Stream', 'text/event-stream'],
    ['application/x-ndjson, application/json;q=0.5', 'application/x-ndjson'],
    ['application/json;q=0.5, application/x-ndjson;q=0.6', 'application/x-ndjson'],
    ['application/json; charset=utf-8', 'application/json'],
    ['application/json;q=0, */*', 'text/event-stream'],
    ['application/json;q=0, text/event-stream;q=0, */*;q=0.1', 'application/x-ndjson'],
    ['image/png, */*;q=0.1', 'application/json'],
    ['text/html, application/xhtml+xml, */*;q=0.8', 'application/json'],
    ['application/json;q=nonsense', 'application/json'],
    ['application/json ; q=0.1 , text/event-stream ; q=0.2', 'text/event-stream'],
  ])('answers %j with %s', (accept, expected) => {
    expect(negotiate(accept, OFFERS)).toBe(expected)
  })

  it.each([['image/png'], ['application/json;q=0'], ['*/*;q=0'], ['nonsense'], ['text/html, image/*']])(
    'has nothing for %j',
    (accept) => {
      expect(negotiate(accept, OFFERS)).toBeNull()
    },
  )

  it('has nothing when nothing is offered', () => {
    expect(negotiate('*/*', [])).toBeNull()
    expect(negotiate(undefined, [])).toBeNull()
  })

  it('lets the exact range decide over the wider one', () => {
    expect(negotiate('application/*, application/json;q=0.1', ['application/json', 'application/x-ndjson'])).toBe(
      'application/x-ndjson',
    )
  })
})

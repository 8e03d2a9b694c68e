import { describe, expect, it } from 'vitest'
import * as errors from '../src/errors.ts'
import { EVERY } from './support/every-error.ts'

/** What has several reasons and one remedy: to come again later. */
const SHARED = new Set(['rate_limited', 'overloaded', 'queue_full'])

describe('the errors raised on purpose', () => {
  it.each(EVERY)('%s keeps its code, is named after its class and says one sentence', (code, error) => {
    expect(error).toBeInstanceOf(errors.ServiceError)
    expect(error).toBeInstanceOf(Error)
    expect(error.code).toBe(code)
    expect(error.name).toBe(error.constructor.name)
    expect(error.message).toMatch(/^[A-Z0-9].*\.$/)
  })

  it('are all in this list, each with a code of its own but for the ways to be too much', () => {
    const classes = Object.values(errors).filter((each) => each !== errors.ServiceError)

    expect(new Set(EVERY.map(([, error]) => error.constructor))).toEqual(new Set(classes))
    const own = EVERY.map(([code]) => code).filter((code) => !SHARED.has(code))
    expect(new Set(own).size).toBe(own.length)
  })

  it('say when trying again makes sense, and only then', () => {
    const retry = EVERY.filter(([, error]) => error.retryAfterS !== undefined).map(([code]) => code)

    expect(retry).toEqual(expect.arrayContaining(['queue_full', 'shutting_down', 'overloaded']))
    expect(retry).not.toContain('not_found')
    expect(retry).not.toContain('batch_too_large')
    expect(new errors.QueueFullError(5, 9).retryAfterS).toBe(9)
    expect(new errors.OverloadedError('Too much.', 7)).toMatchObject({ message: 'Too much.', retryAfterS: 7 })
  })

  it('keep their facts and their cause', () => {
    const cause = new Error('ENOSPC')

    expect(new errors.OverloadedError(undefined, 2, { cause }).cause).toBe(cause)
    expect(new errors.StoreUnusableError('It is.', { cause }).cause).toBe(cause)
    expect(new errors.BatchTooLargeError(5, 'the limit')).toMatchObject({ limit: 5 })
    const two = [
      { pointer: '/a', detail: 'x' },
      { pointer: '/b', detail: 'y' },
    ]
    expect(new errors.InvalidArgumentError(two)).toMatchObject({ errors: two, message: '2 fields are wrong.' })
  })
})

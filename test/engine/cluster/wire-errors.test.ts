import { describe, expect, it } from 'vitest'
import * as own from '../../../src/engine/cluster/errors.ts'
import { decodeError, encodeError } from '../../../src/engine/cluster/wire-errors.ts'
import * as errors from '../../../src/errors.ts'
import { EVERY } from '../../support/every-error.ts'

const OWN = [new own.NoLeaseError(), new own.NoReplicaError(), new own.BusTimeoutError(5), new own.BusLostError()]

/** There and back, as it goes over Redis. */
const across = (thrown: unknown) => decodeError(JSON.parse(JSON.stringify(encodeError(thrown))))

describe('an error on its way to another replica', () => {
  it.each([...EVERY.map(([, error]) => error), ...OWN])('is the same there: %s', (error) => {
    const there = across(error)

    expect(there.constructor).toBe(error.constructor)
    expect(there).toBeInstanceOf(errors.ServiceError)
    expect(there.name).toBe(error.name)
    expect(there.message).toBe(error.message)
    const fields = Object.entries(error).filter(([, value]) => value !== undefined)
    expect(Object.fromEntries(Object.entries(there))).toEqual(Object.fromEntries(fields))
    expect((there as errors.ServiceError).code).toBe(error.code)
    expect(there.stack).toMatch(new RegExp(`^${error.name}: [^]*\\n +at `))
  })

  it('is one of every class that there is', () => {
    const classes = [...Object.values(errors), ...Object.values(own)].filter(
      (each) => each !== errors.ServiceError && each !== own.RemoteError,
    )
    const crossed = [...EVERY.map(([, error]) => error), ...OWN].map((error) => across(error).constructor)

    expect(new Set(crossed)).toEqual(new Set(classes))
  })

  it('keeps what its fields say, whatever they are', () => {
    const wrong = [{ pointer: '/jobs/1/url', detail: 'is "wrong" – ü', code: 'egress_denied' }]

    expect(across(new errors.InvalidArgumentError(wrong))).toMatchObject({
      errors: wrong,
      message: '1 field is wrong.',
    })
    const refusals = new Map([['private', 2]])
    expect(across(new errors.InvalidArgumentError(wrong, refusals))).toMatchObject({ refusals })
    expect(across(new errors.QueueFullError(5, 9))).toMatchObject({ retryAfterS: 9 })
  })

  it('leaves its cause behind', () => {
    const error = new errors.OverloadedError('Full.', 3, { cause: new Error('geheim') })

    expect(JSON.stringify(encodeError(error))).not.toContain('cause')
    expect(across(error)).toMatchObject({ message: 'Full.', retryAfterS: 3 })
    expect(across(error).cause).toBeUndefined()
  })

  class Impostor extends errors.ServiceError {
    readonly code = 'impostor'
  }
  Object.defineProperty(Impostor, 'name', { value: 'NotFoundError' })

  it.each([
    ['a foreign one', new TypeError('geheim')],
    ['one of ours that no caller is told of', new Impostor('geheim')],
    ['no error at all', 'geheim'],
    ['nothing', undefined],
  ])('says nothing when it is %s', (_, thrown) => {
    expect(JSON.stringify(encodeError(thrown))).not.toContain('geheim')
    expect(across(thrown)).toBeInstanceOf(own.RemoteError)
  })

  it('of a class that this version does not know says nothing either', () => {
    expect(decodeError({ name: 'OfTomorrowError', message: 'x', fields: {} })).toBeInstanceOf(own.RemoteError)
    expect(decodeError({ name: 'constructor', message: 'x', fields: {} })).toBeInstanceOf(own.RemoteError)
  })
})

import { describe, expect, it } from 'vitest'
import { BodyShareError, OverloadedError } from '../../src/errors.ts'
import { BodyBudget, SMALL_BODY_BYTES } from '../../src/http/body-budget.ts'

const MIB = 1_048_576

function start({ maxBytes = 64 * MIB, largestBytes = 16 * MIB } = {}) {
  return new BodyBudget({ maxBytes, largestBytes })
}

describe('BodyBudget', () => {
  it('gives a tenant a half, and says so to whoever wants more', () => {
    const budget = start()
    budget.reserve('a', 16 * MIB)
    budget.reserve('a', 16 * MIB)

    expect(() => budget.reserve('a', SMALL_BODY_BYTES + 1)).toThrow(BodyShareError)
    expect(() => budget.reserve('a', SMALL_BODY_BYTES + 1)).toThrow('at most 33554432 bytes at once')
    expect(budget.used).toBe(32 * MIB)
  })

  it('leaves the other half to others, and refuses whoever comes when all is taken', () => {
    const budget = start()
    for (const tenant of ['a', 'a', 'b', 'b']) budget.reserve(tenant, 16 * MIB)

    expect(() => budget.reserve('c', SMALL_BODY_BYTES + 1)).toThrow(OverloadedError)
    expect(budget.used).toBe(64 * MIB)
  })

  it.each([
    ['as large as one body', 16 * MIB],
    ['a body and a half', 24 * MIB],
    ['smaller than one', 1],
  ])('always has room for one body of the largest size, when it is %s', (_what, maxBytes) => {
    const budget = start({ maxBytes })

    const one = budget.reserve('a', 16 * MIB)
    one.release()

    expect(budget.used).toBe(0)
    expect(() => budget.reserve('b', 16 * MIB)).not.toThrow()
  })

  it('has all back when all is released, once each however often that is said', () => {
    const budget = start()
    const [one, two] = [budget.reserve('a', 16 * MIB), budget.reserve('a', 16 * MIB)]

    one.release()
    one.release()

    expect(budget.used).toBe(16 * MIB)
    expect(() => budget.reserve('a', 16 * MIB + 1)).toThrow(BodyShareError)
    two.release()
    expect(budget.used).toBe(0)
  })

  it('lets a reservation grow as far as there is room, and keeps what it had when there is none', () => {
    const budget = start()
    const growing = budget.reserve('a', SMALL_BODY_BYTES)
    growing.growTo(30 * MIB)
    expect(budget.used).toBe(30 * MIB)

    expect(() => growing.growTo(33 * MIB)).toThrow(BodyShareError)

    expect(budget.used).toBe(30 * MIB)
    growing.growTo(MIB)
    expect(budget.used).toBe(30 * MIB)
    growing.release()
    expect(budget.used).toBe(0)
  })

  it('reserves nothing more for what is over', () => {
    const budget = start()
    const late = budget.reserve('a', 10)
    late.release()

    late.growTo(MIB)

    expect(budget.used).toBe(0)
  })

  it('has room for small bodies beside large ones: an eighth, of which a tenant has a half', () => {
    const budget = start()
    for (const tenant of ['a', 'a', 'b', 'b']) budget.reserve(tenant, 16 * MIB)
    const small = (tenant: string) => budget.reserve(tenant, SMALL_BODY_BYTES)

    for (let i = 0; i < 64; i++) small('a')
    expect(() => small('a')).toThrow(BodyShareError)
    for (let i = 0; i < 64; i++) small('c')

    expect(() => small('d')).toThrow(OverloadedError)
    expect(budget.used).toBe(72 * MIB)
  })

  it('has the room for small bodies back as well', () => {
    const budget = start()
    const all = ['a', 'a', 'b', 'b'].map((tenant) => budget.reserve(tenant, 16 * MIB))
    const small = budget.reserve('a', 100)
    for (const each of [...all, small]) each.release()

    expect(budget.used).toBe(0)
  })

  it('lets what began small not grow large in the room for small ones', () => {
    const budget = start()
    for (const tenant of ['a', 'a', 'b', 'b']) budget.reserve(tenant, 16 * MIB)
    const growing = budget.reserve('a', SMALL_BODY_BYTES)

    expect(() => growing.growTo(SMALL_BODY_BYTES + 1)).toThrow(BodyShareError)
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Domains } from '../../../src/egress/guard/domains.ts'

describe('Domains', () => {
  const domains = new Domains(['svc.corp', 'lan', 'x.lan'])

  it.each([
    ['svc.corp', false],
    ['a.svc.corp', true],
    ['a.b.c.d.svc.corp', true],
    ['esvc.corp', false],
    ['svc.corp.test', false],
    ['lan', false],
    ['x.lan', true],
    ['a.x.lan', true],
    ['.lan', false],
    ['', false],
  ])('is above %j: %s', (name, expected) => {
    expect(domains.hasAbove(name)).toBe(expected)
  })

  it('finds what looking at every parent finds', () => {
    const name = fc.array(fc.constantFrom('a', 'bb', 'c'), { minLength: 1, maxLength: 5 })

    fc.assert(
      fc.property(fc.array(name, { maxLength: 4 }), name, (names, labels) => {
        const known = names.map((one) => one.join('.'))
        const parents = labels.slice(1).map((_, index) => labels.slice(index + 1).join('.'))

        expect(new Domains(known).hasAbove(labels.join('.'))).toBe(parents.some((parent) => known.includes(parent)))
      }),
    )
  })
})

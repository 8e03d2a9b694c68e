import { expect, it } from 'vitest'
import { Egress } from '../../src/egress/egress.ts'
import { builtInKinds } from '../../src/jobs/index.ts'

it('lists the kinds that every service has, under the limits that it was given', () => {
  const kinds = builtInKinds({ egress: new Egress(), limits: { maxResponseBytes: 7 } })

  expect(kinds.map(({ name }) => name)).toEqual(['fetch', 'sleep'])
  expect(kinds[0]?.spec.parse({ url: 'http://a.test' })).toMatchObject({ maxResponseBytes: 7 })
})

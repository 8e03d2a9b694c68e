import { describe, expect, it } from 'vitest'
import { Delivery } from '../../src/traces/delivery.ts'
import { StillClock } from '../support/fake-parts.ts'

describe('spans that are lost', () => {
  const start = () => {
    const clock = new StillClock()
    const told: object[] = []
    return { clock, told, delivery: new Delivery({ clock, lost: (facts) => told.push(facts) }) }
  }

  it('are told at once, and then once a minute with how many there were', () => {
    const { clock, told, delivery } = start()

    delivery.lose(3, 'first')
    delivery.lose(4, 'second')
    clock.advance(59_999)
    delivery.lose(5, 'third')
    clock.advance(1)
    delivery.lose(6, 'fourth')

    expect(told).toEqual([
      { count: 3, reason: 'first' },
      { count: 15, reason: 'fourth' },
    ])
  })

  it('are not told where there are none', () => {
    const { told, delivery } = start()

    delivery.lose(0, 'x')

    expect(told).toEqual([])
  })
})

import { describe, expect, it } from 'vitest'
import { Delivery } from '../../src/traces/delivery.ts'
import { FakeClock } from '../support/fake-clock.ts'

describe('spans that are lost', () => {
  const start = () => {
    const clock = new FakeClock()
    const told: object[] = []
    return { clock, told, delivery: new Delivery({ clock, lost: (facts) => told.push(facts) }) }
  }

  it('are told at once, and then once a minute with how many there were', () => {
    const { clock, told, delivery } = start()

    delivery.lose(3, 'first')
    delivery.lose(4, 'second')
    clock.advance(59_999)
    delivery.lose(5, 'third')
    expect(told).toEqual([{ count: 3, reason: 'first' }])
    clock.advance(1)
    delivery.lose(6, 'fourth')
    clock.advance(60_000)

    expect(told).toEqual([
      { count: 3, reason: 'first' },
      { count: 9, reason: 'third' },
      { count: 6, reason: 'fourth' },
    ])
  })

  it('are told at once again after a minute in which none were', () => {
    const { clock, told, delivery } = start()
    delivery.lose(1, 'first')
    clock.advance(60_000)

    delivery.lose(2, 'second')

    expect(told).toEqual([
      { count: 1, reason: 'first' },
      { count: 2, reason: 'second' },
    ])
  })

  it('leave no clock running at the close', () => {
    const { clock, delivery } = start()
    delivery.lose(1, 'first')
    delivery.lose(2, 'second')

    delivery.close()

    expect(clock.armed).toBe(0)
  })

  it('are told at the close, those that were not told yet, and once', () => {
    const { told, delivery } = start()

    delivery.lose(1, 'first')
    delivery.lose(4, 'second')
    delivery.lose(2, 'third')
    delivery.close()
    delivery.lose(7, 'too late')
    delivery.close()

    expect(told).toEqual([
      { count: 1, reason: 'first' },
      { count: 6, reason: 'third' },
    ])
  })

  it('are not told at the close where all were told', () => {
    const { told, delivery } = start()

    delivery.lose(1, 'first')
    delivery.close()

    expect(told).toEqual([{ count: 1, reason: 'first' }])
  })

  it('are not told where there are none', () => {
    const { told, delivery } = start()

    delivery.lose(0, 'x')

    expect(told).toEqual([])
  })
})

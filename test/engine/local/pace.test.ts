import { describe, expect, it } from 'vitest'
import { Pace } from '../../../src/engine/local/pace.ts'
import { FakeClock, turn } from '../../support/fake-clock.ts'

function start() {
  const clock = new FakeClock()
  const pace = new Pace(clock)
  const told: string[] = []
  const wait = (name: string) => {
    const turn = pace.turn()
    if (turn === null) told.push(`${name} at once`)
    else void turn.then(() => told.push(name))
  }
  return { clock, pace, told, wait }
}

describe('Pace', () => {
  it('lets commits of few follow each other at once', () => {
    const { pace, told, wait } = start()

    wait('first')
    pace.begins(31)
    wait('second')

    expect(told).toEqual(['first at once', 'second at once'])
  })

  it('has the commit after one of many begin ten milliseconds after it', async () => {
    const { clock, pace, told, wait } = start()
    pace.begins(32)

    wait('next')
    clock.advance(9.9)
    await turn()
    expect(told).toEqual([])
    clock.advance(0.1)
    await turn()

    expect(told).toEqual(['next'])
  })

  it('waits for nothing once the time has passed, and not after a commit of few', () => {
    const { clock, pace, told, wait } = start()
    pace.begins(1_000)
    clock.advance(10)
    wait('late')
    pace.begins(1_000)
    pace.begins(1)
    wait('few')

    expect(told).toEqual(['late at once', 'few at once'])
  })

  it('is called off by who is in a hurry, once', async () => {
    const { clock, pace, told, wait } = start()
    pace.begins(32)
    wait('next')

    pace.hurry()
    await turn()
    expect(told).toEqual(['next'])
    pace.begins(32)
    wait('after')
    clock.advance(9)
    await turn()

    expect(told).toEqual(['next'])
  })

  it('is called off before there is anybody to wait', () => {
    const { pace, told, wait } = start()
    pace.begins(32)

    pace.hurry()
    wait('next')

    expect(told).toEqual(['next at once'])
  })
})

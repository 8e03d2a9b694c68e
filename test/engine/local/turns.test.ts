import { describe, expect, it } from 'vitest'
import { Turns } from '../../../src/engine/local/turns.ts'

/** Turns that give away 10, and who had one since the last look. */
function start() {
  const turns = new Turns({ portion: 10 })
  let had: string[] = []
  const take = (name: string, count: number, tenant = 'acme') =>
    void turns.take(tenant, count).then(() => had.push(name))
  /** Who went on in this turn of the event loop, or in the next one. */
  const now = async () => {
    await Promise.resolve()
    const seen = had
    had = []
    return seen
  }
  const next = async () => {
    await new Promise((resolve) => setImmediate(resolve))
    return await now()
  }
  return { take, now, next }
}

describe('turns of the event loop', () => {
  it('are there at once for as much as one gives away', async () => {
    const { take, now } = start()

    for (const name of ['a', 'b', 'c']) take(name, 3)

    expect(await now()).toEqual(['a', 'b', 'c'])
  })

  it('come one after the other for the rest, in order, a portion each', async () => {
    const { take, now, next } = start()

    for (const name of ['a', 'b', 'c', 'd', 'e']) take(name, 5)

    expect([await now(), await next(), await next(), await next()]).toEqual([['a', 'b'], ['c', 'd'], ['e'], []])
  })

  it('have one that is larger than a portion, alone', async () => {
    const { take, now, next } = start()

    for (const name of ['a', 'b']) take(name, 500)

    expect([await now(), await next(), await next()]).toEqual([['a'], ['b'], []])
  })

  it('are a tenant’s next one however many another waits for', async () => {
    const { take, now, next } = start()
    for (const name of ['a', 'b', 'c', 'd']) take(name, 10)

    take('x', 1, 'quiet')
    take('y', 1, 'quiet')

    expect(await now()).toEqual(['a'])
    expect(await next()).toEqual(['b'])
    expect(await next()).toEqual(['x', 'c'])
    expect(await next()).toEqual(['y', 'd'])
  })

  it('keep the order of one tenant, also when there is something left', async () => {
    const { take, now, next } = start()
    take('a', 10)
    take('b', 1)
    await now()

    const later = next()
    take('c', 1)

    expect(await later).toEqual(['b', 'c'])
  })

  it('are whole again after one in which nobody waited', async () => {
    const { take, now, next } = start()
    take('a', 10)
    expect([await now(), await next()]).toEqual([['a'], []])

    take('b', 10)

    expect(await now()).toEqual(['b'])
  })
})

import { afterEach, describe, expect, it } from 'vitest'
import { EgressError } from '../../src/egress/errors.ts'
import { Crowd, Visit } from '../../src/egress/visit.ts'
import { stoppable } from '../jobs/attempt.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'

const never = new AbortController().signal

describe('Visit', () => {
  const clock = new FakeClock()
  afterEach(() => expect(clock.armed).toBe(0))

  function visits(caps: { hosts?: number; addresses?: number }) {
    const crowd = new Crowd({ hostConcurrency: caps.hosts ?? 0, addressConcurrency: caps.addresses ?? 0 })
    const visit = (signal = never) => new Visit({ crowd, signal, clock, timeoutMs: 5_000 })
    return { crowd, visit }
  }

  it('counts nothing without caps', async () => {
    const { crowd, visit } = visits({})
    const one = visit()

    await one.atHost('a:80')

    expect(await one.atSome(['192.0.2.1', '192.0.2.2'])).toEqual(new Set(['192.0.2.1', '192.0.2.2']))
    expect(crowd.isCounted).toBe(false)
  })

  it('waits for a place, and has it as soon as it is left', async () => {
    const { crowd, visit } = visits({ hosts: 1 })
    const [one, two] = [visit(), visit()]
    await one.atHost('a:80')
    const waited = two.atHost('a:80')
    await turn()
    expect(crowd.hosts?.stats).toEqual({ held: 1, waiting: 1, destinations: 1 })

    one.leave()
    await waited

    expect(crowd.hosts?.stats).toEqual({ held: 1, waiting: 0, destinations: 1 })
    two.leave()
    two.leave()
    expect(crowd.hosts?.stats.held).toBe(0)
  })

  it('waits no longer than its deadline, whatever it waited for before', async () => {
    const { crowd, visit } = visits({ hosts: 1, addresses: 1 })
    const [one, two] = [visit(), visit()]
    await one.atHost('a:80')
    await one.atSome(['192.0.2.1'])
    const late = two.atHost('a:80')
    clock.advance(3_000)
    one.leave()
    await late
    const other = visit()
    await other.atSome(['192.0.2.1'])
    const waited = two.atSome(['192.0.2.1']).catch((error: unknown) => error)
    clock.advance(1_999)
    await turn()
    expect(two.leftMs).toBe(1)
    clock.advance(1)

    expect(await waited).toMatchObject({ code: 'connect_timeout' })
    two.leave()
    other.leave()
    expect([crowd.hosts?.stats, crowd.addresses?.stats]).toEqual(
      Array(2).fill({ held: 0, waiting: 0, destinations: 0 }),
    )
  })

  it('ends a wait at once when its signal aborts, and listens no longer than it waits', async () => {
    const { crowd, visit } = visits({ hosts: 1 })
    const { signal, reason, stop, listeners } = stoppable()
    const [one, two] = [visit(), visit(signal)]
    await one.atHost('a:80')
    const waited = two.atHost('a:80').catch((error: unknown) => error)
    expect(listeners()).toBe(1)

    stop()

    expect(crowd.hosts?.stats.waiting).toBe(0)
    expect(await waited).toBe(reason)
    expect(listeners()).toBe(0)
    one.leave()
  })

  it('does not begin to wait when its signal has aborted', async () => {
    const { crowd, visit } = visits({ hosts: 1 })
    const one = visit()
    await one.atHost('a:80')
    const { signal, reason, stop } = stoppable()
    stop()

    await expect(visit(signal).atHost('a:80')).rejects.toBe(reason)
    expect(crowd.hosts?.stats.waiting).toBe(0)
    one.leave()
  })

  it('has a place that came with the abort until it leaves', async () => {
    const { crowd, visit } = visits({ hosts: 1 })
    const { signal, stop } = stoppable()
    const [one, two] = [visit(), visit(signal)]
    await one.atHost('a:80')
    const waited = two.atHost('a:80')

    one.leave()
    stop()
    await waited
    expect(crowd.hosts?.stats.held).toBe(1)
    two.leave()

    expect(crowd.hosts?.stats.held).toBe(0)
  })

  it('takes all addresses that are free, and keeps the one that is connected to', async () => {
    const { crowd, visit } = visits({ addresses: 1 })
    const [one, two] = [visit(), visit()]
    await one.atSome(['192.0.2.1'])

    expect(await two.atSome(['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.3'])).toEqual(
      new Set(['192.0.2.2', '192.0.2.3']),
    )
    two.leaveAddresses('192.0.2.3')

    expect(crowd.addresses?.stats).toEqual({ held: 2, waiting: 0, destinations: 2 })
    one.leave()
    two.leave()
    expect(crowd.addresses?.stats.held).toBe(0)
  })

  it('waits at all addresses when none is free, and leaves the other lines with the first', async () => {
    const { crowd, visit } = visits({ addresses: 1 })
    const [one, two, three] = [visit(), visit(), visit()]
    await one.atSome(['192.0.2.1'])
    await two.atSome(['192.0.2.2'])
    const waited = three.atSome(['192.0.2.1', '192.0.2.2'])

    two.leave()

    expect(await waited).toEqual(new Set(['192.0.2.2']))
    one.leave()
    expect(crowd.addresses?.stats).toEqual({ held: 1, waiting: 0, destinations: 1 })
    three.leave()
  })

  it('gets no place any more once it has left', async () => {
    const { crowd, visit } = visits({ addresses: 1 })
    const one = visit()
    one.leave()

    await expect(one.atSome(['192.0.2.1'])).rejects.toBeInstanceOf(EgressError)
    expect(crowd.addresses?.stats.held).toBe(0)
  })

  it('gives up with the reason that it is given, and stands in no line then', async () => {
    const { crowd, visit } = visits({ hosts: 1 })
    const [one, two] = [visit(), visit()]
    await one.atHost('a:80')
    const waited = two.atHost('a:80').catch((error: unknown) => error)
    const reason = new Error('closing')

    two.giveUp(reason)

    expect(await waited).toBe(reason)
    expect(crowd.hosts?.stats.waiting).toBe(0)
    one.leave()
  })
})

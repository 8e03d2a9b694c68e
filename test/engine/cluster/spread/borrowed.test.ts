import { describe, expect, it } from 'vitest'
import { Borrowed } from '../../../../src/engine/cluster/spread/borrowed.ts'
import { SpreadCounts } from '../../../../src/engine/cluster/spread/counts.ts'
import type { Question, SentAttempt, StopOrder, Ticket } from '../../../../src/engine/cluster/spread/protocol.ts'
import type { AwayEnd, Place } from '../../../../src/engine/local/attempts.ts'
import { StopReason } from '../../../../src/jobs/kind.ts'
import { FakeClock, turn } from '../../../support/fake-clock.ts'

/** An owner over fakes: jobs that wait, tickets that were added, calls that were made. */
function start({ waiting = 3, replicas = ['me', 'other'] } = {}) {
  const clock = new FakeClock()
  const tickets: Ticket[] = []
  const removed: string[] = []
  const calls: { to: string; method: string; args: StopOrder & { seats: string[] } }[] = []
  const ends: AwayEnd[] = []
  const controllers: AbortController[] = []
  const state = { waiting, alive: true, knows: true, deaf: false, started: 0 }
  const counts = new SpreadCounts()
  const borrowed = new Borrowed({
    exchange: {
      get isShort() {
        return state.waiting > 0
      },
      sendAway(place: Place) {
        if (state.waiting === 0) return null
        state.waiting--
        const controller = new AbortController()
        controllers.push(controller)
        const facts = {
          startedAt: clock.now() - 10,
          queuedMs: 5,
          tenantId: 'acme',
          batchId: 'b',
          attempt: 1,
          context: {},
        }
        const index = state.started++
        return place
          .run({ ...facts, index, no: 7, onRestart: 'retry' }, controller.signal)
          .then((end) => void ends.push(end))
      },
      committed: () => Promise.resolve(),
    },
    tickets: {
      add: async (added) => void tickets.push(...added),
      remove: async (seats) => void removed.push(...seats),
    },
    bus: {
      async call<Result>(to: string, method: string, args: unknown): Promise<Result> {
        // Of the two calls that there are, whichever it is.
        calls.push({ to, method, args: args as StopOrder & { seats: string[] } })
        if (state.deaf || !state.alive) throw new Error('away')
        return (state.knows ? calls[calls.length - 1].args.seats : []) as Result
      },
      notify: async () => undefined,
    },
    members: {
      id: 'me',
      isAlive: async () => state.alive,
      replicas: async () => replicas.map((id) => ({ id })),
    },
    clock,
    leaseMs: 9_000,
    counts,
    onSent: () => undefined,
    onError: (error) => {
      throw error
    },
  })
  const ask = (own: Partial<Question> & { seat: string }) =>
    borrowed.next({ taker: 'other', got: 0, end: null, heard: false, isLast: false, ...own })
  const seat = async () => {
    borrowed.want()
    await turn()
    return tickets[tickets.length - 1].seat
  }
  return { clock, tickets, removed, calls, ends, controllers, state, counts, borrowed, ask, seat }
}

const value: AwayEnd = { type: 'returned', result: '1' }
const indexOf = (sent: SentAttempt | null) => sent?.index ?? null

describe('Borrowed slots', () => {
  it('are asked for while jobs wait and others are there, one ticket first', async () => {
    const busy = start()
    const idle = start({ waiting: 0 })
    const alone = start({ replicas: ['me'] })
    for (const { borrowed } of [busy, idle, alone]) {
      borrowed.want()
      await turn()
      borrowed.want()
      await turn()
    }

    expect([busy, idle, alone].map(({ tickets }) => tickets.length)).toEqual([1, 0, 0])
    expect(busy.tickets[0].owner).toBe('me')
  })

  it('are asked for more and more while they find work, and by one again when they find none', async () => {
    const { tickets, state, ask, seat } = start({ waiting: 100 })
    const added = async (act: () => Promise<unknown>) => {
      const before = tickets.length
      await act()
      await turn()
      return tickets.length - before
    }

    expect(await added(seat)).toBe(1)
    expect(await added(() => ask({ seat: tickets[0].seat }))).toBe(2)
    expect(await added(() => ask({ seat: tickets[1].seat }))).toBe(3)
    state.waiting = 0
    await ask({ seat: tickets[2].seat })
    state.waiting = 100
    expect(await added(() => ask({ seat: tickets[3].seat }))).toBe(0)
  })

  it('get the job whose turn it is when they are there, and the next for its end', async () => {
    const { ask, seat, ends } = start()
    const id = await seat()

    const first = await ask({ seat: id })
    const second = await ask({ seat: id, got: 1, end: value })

    expect([first, second].map(indexOf)).toEqual([0, 1])
    expect(first).toMatchObject({ elapsedMs: 10, no: 7, tenantId: 'acme' })
    expect(first).not.toHaveProperty('startedAt')
    expect(ends).toEqual([value])
  })

  it('get the same answer to the same question', async () => {
    const { ask, seat, ends, state } = start()
    const id = await seat()
    await ask({ seat: id })

    const answers = await Promise.all([1, 2, 3].map(() => ask({ seat: id, got: 1, end: value })))

    expect(answers.map(indexOf)).toEqual([1, 1, 1])
    expect(ends.length).toBe(1)
    expect(state.waiting).toBe(1)
  })

  it('are nothing to whoever has no ticket, or another one has it', async () => {
    const { ask, seat, state } = start()
    const id = await seat()
    await ask({ seat: id })

    expect(await ask({ seat: 'made up' })).toBeNull()
    expect(await ask({ seat: id, taker: 'third' })).toBeNull()
    expect(await ask({ seat: id, got: 5, end: value })).toBeNull()
    expect(state.waiting).toBe(2)
  })

  it('are given back when no job waits, when they are wanted, and after a second', async () => {
    const none = start({ waiting: 1 })
    const wanted = start()
    const old = start()
    for (const each of [none, wanted, old]) await each.ask({ seat: await each.seat() })
    old.clock.advance(1_000)

    const next = [none, wanted, old].map((each) =>
      each.ask({ seat: each.tickets[0].seat, got: 1, end: value, isLast: each === wanted }),
    )

    expect(await Promise.all(next)).toEqual([null, null, null])
    expect([none, wanted, old].map(({ borrowed }) => borrowed.size)).toEqual([0, 0, 0])
    expect([none, wanted, old].map(({ ends }) => ends.length)).toEqual([1, 1, 1])
  })

  it('are told to stop with the cause, again until they hear it, and keep the job until its end comes', async () => {
    const { ask, seat, controllers, calls, state, clock, ends } = start()
    const id = await seat()
    await ask({ seat: id })
    state.deaf = true

    controllers[0].abort(new StopReason('user'))
    await turn()
    state.deaf = false
    clock.advance(250)
    await turn()
    clock.advance(10_000)
    await turn()

    const order = { to: 'other', method: 'spread.stop', args: { seat: id, no: 1, cause: 'user' } }
    expect(calls).toEqual([order, order])
    expect(ends).toEqual([])
    await ask({ seat: id, got: 1, end: { type: 'unwound' }, isLast: true })
    expect(ends).toEqual([{ type: 'unwound' }])
  })

  it.each([
    ['did not know of its stop', false, 'unwound'],
    ['knew of its stop', true, 'returned'],
  ])('keep a value that comes after a cancel only of work that knew: %s', async (_, heard, type) => {
    const { ask, seat, controllers, ends } = start()
    const id = await seat()
    await ask({ seat: id })

    controllers[0].abort(new StopReason('user'))
    await ask({ seat: id, got: 1, end: value, heard, isLast: true })

    expect(ends.map((end) => end.type)).toEqual([type])
  })

  it('that stop what nobody told to stop have been cut off', async () => {
    const { ask, seat, ends, counts } = start()
    const id = await seat()
    await ask({ seat: id })

    await ask({ seat: id, got: 1, end: { type: 'unwound' }, isLast: true })

    expect(ends).toEqual([{ type: 'interrupted', begun: true }])
    expect(counts).toMatchObject({ sent: 1, interrupted: 1 })
  })

  it.each([
    ['their replica is gone', { alive: false }, 1],
    ['their replica does not know them', { knows: false }, 1],
    ['their replica does not answer, and lives', { deaf: true }, 0],
    ['all is well', {}, 0],
  ])('lose what runs there when %s', async (_, change, lost) => {
    const { ask, seat, ends, state, borrowed } = start()
    await ask({ seat: await seat() })
    Object.assign(state, change)

    borrowed.check()
    await turn()

    expect(ends).toEqual(Array(lost).fill({ type: 'interrupted', begun: true }))
    expect(borrowed.size).toBe(1 - lost)
  })

  it('are all lost with the lease, and their ends come too late', async () => {
    const { ask, seat, ends, borrowed } = start()
    const id = await seat()
    await ask({ seat: id })

    borrowed.lost()
    await turn()

    expect(ends).toEqual([{ type: 'interrupted', begun: true }])
    expect(await ask({ seat: id, got: 1, end: value })).toBeNull()
    expect(ends.length).toBe(1)
  })

  it('are asked for anew when tickets have waited for three leases', async () => {
    const { seat, clock, removed, borrowed, tickets } = start()
    const id = await seat()
    clock.advance(27_001)

    borrowed.check()
    await turn()
    borrowed.want()
    await turn()

    expect(removed).toEqual([id])
    expect(tickets.length).toBe(2)
  })

  it('are not asked for after the end, and what was asked for is taken back', async () => {
    const { seat, borrowed, removed, ask, tickets, state } = start()
    const id = await seat()

    await borrowed.close()
    borrowed.want()
    await turn()

    expect(removed).toEqual([id])
    expect(await ask({ seat: id })).toBeNull()
    expect([tickets.length, state.waiting]).toEqual([1, 3])
  })
})

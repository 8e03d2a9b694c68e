import { describe, expect, it } from 'vitest'
import { SpreadCounts } from '../../../../src/engine/cluster/spread/counts.ts'
import { Lent } from '../../../../src/engine/cluster/spread/lent.ts'
import type { Question, SentAttempt } from '../../../../src/engine/cluster/spread/protocol.ts'
import type { AwayAttempt, AwayEnd } from '../../../../src/engine/local/attempts.ts'
import { FakeClock, turn } from '../../../support/fake-clock.ts'

const sent = (index: number, onRestart: 'retry' | 'fail' = 'retry'): SentAttempt => ({
  tenantId: 'acme',
  batchId: 'b',
  no: 7,
  index,
  attempt: 1,
  queuedMs: 5,
  elapsedMs: 100,
  context: {},
  onRestart,
})

/** A taker over fakes: tickets that wait, answers that come, attempts that end when the test says so. */
function start({
  tickets = ['s1'],
  free = 1,
  answers = [sent(0)] as (SentAttempt | null | Error)[],
  owner = 'owner',
} = {}) {
  const clock = new FakeClock()
  const state = { free, short: false, alive: true, me: 'me' as string | null, of: 'owner' as string | null }
  const waiting = [...tickets]
  const log: string[] = []
  /** Where attempts were said to run. */
  const notes: string[] = []
  const questions: Question[] = []
  const attempts: { attempt: AwayAttempt; signal: AbortSignal; end(end: AwayEnd): void; recorded: number }[] = []
  const counts = new SpreadCounts()
  const lent = new Lent({
    exchange: {
      get free() {
        return state.free
      },
      get isShort() {
        return state.short
      },
      host(work) {
        if (state.free <= 0) return null
        state.free--
        return work().finally(() => {
          state.free++
        })
      },
      attempt(attempt, { signal, onRecorded }) {
        const { promise, resolve } = Promise.withResolvers<AwayEnd>()
        const made = { attempt, signal, end: resolve, recorded: 0 }
        onRecorded(() => {
          made.recorded++
        })
        attempts.push(made)
        return promise
      },
    },
    tickets: {
      async take() {
        const seat = waiting.shift()
        if (seat === undefined) return null
        const note = (what: string) => async () => void log.push(`${what} ${seat}`)
        return { seat, owner, done: note('done'), giveBack: note('back') }
      },
    },
    marks: {
      async put({ tenantId, seat, owner: of }, taker) {
        notes.push(`mark ${tenantId} ${seat} ${of} ${taker}`)
        return state.of === of
      },
      remove: async ({ tenantId, seat }) => void notes.push(`unmark ${tenantId} ${seat}`),
    },
    bus: {
      async call<Result>(_to: string, _method: string, question: unknown): Promise<Result> {
        // Takers ask nothing else.
        questions.push(question as Question)
        const answer = answers.shift() ?? null
        if (answer instanceof Error) throw answer
        return answer as Result
      },
    },
    members: {
      get id() {
        return state.me
      },
      isAlive: async () => state.alive,
    },
    ownerOf: async () => state.of,
    onOwn: (seat) => log.push(`own ${seat}`),
    clock,
    counts,
    onError: (error) => {
      throw error
    },
  })
  const take = async () => {
    lent.hint()
    for (let i = 0; i < 5; i++) await turn()
  }
  return { clock, state, waiting, log, notes, questions, attempts, counts, lent, take }
}

const value: AwayEnd = { type: 'returned', result: '1' }

describe('Lent slots', () => {
  it('go to whoever has a ticket, one each, while there are any', async () => {
    const { lent, take, waiting, attempts } = start({ tickets: ['a', 'b', 'c'], free: 2, answers: [sent(0), sent(1)] })

    await take()

    expect([lent.size, waiting, attempts.length]).toEqual([2, ['c'], 2])
  })

  it.each([
    ['none is free', { free: 0 }],
    ['jobs of our own wait', { short: true }],
    ['there is no lease', { me: null }],
  ])('are not lent when %s', async (_, change) => {
    const { take, state, waiting } = start()
    Object.assign(state, change)

    await take()

    expect(waiting).toEqual(['s1'])
  })

  it('that were taken on the way send the ticket back', async () => {
    const { take, state, log, lent } = start()
    // As the queue is asked, the last slot goes.
    Object.defineProperty(state, 'free', { get: reads([1, 1], 0) })

    await take()

    expect([log, lent.size]).toEqual([['back s1'], 0])
  })

  it('are noted before an attempt begins, once a tenant, until the seat is over', async () => {
    const answers = [sent(0), sent(1), { ...sent(2), tenantId: 'globex' }, null]
    const { take, attempts, notes } = start({ answers })

    for (let nth = 0; nth < 3; nth++) {
      await take()
      notes.push(`begins ${nth}`)
      attempts[nth].end(value)
    }
    await take()

    expect(notes).toEqual([
      'mark acme s1 owner me',
      'begins 0',
      'begins 1',
      'unmark acme s1',
      'mark globex s1 owner me',
      'begins 2',
      'unmark globex s1',
    ])
  })

  it('run nothing of a tenant that has moved by the time that it is noted', async () => {
    const { take, state, attempts, questions } = start({ answers: [sent(0), null] })
    state.of = 'another'

    await take()

    expect(attempts).toEqual([])
    expect(questions.at(-1)?.end).toEqual({ type: 'interrupted', begun: false })
  })

  it('are not for our own tickets', async () => {
    const { take, log, questions } = start({ owner: 'me' })

    await take()

    expect([log, questions]).toEqual([['own s1', 'done s1'], []])
  })

  it('run one job after the other, by their own clock, and end when there is none', async () => {
    const { take, attempts, questions, log, clock, lent } = start({ answers: [sent(0), sent(1), null] })
    await take()
    expect(attempts[0].attempt.startedAt).toBe(clock.now() - 100)

    for (const each of [0, 1]) {
      attempts[each].end(value)
      await turn()
    }

    expect(questions.map(({ got, end }) => [got, end])).toEqual([
      [0, null],
      [1, value],
      [2, value],
    ])
    expect([attempts.map(({ recorded }) => recorded), log, lent.size]).toEqual([[1, 1], ['done s1'], 0])
  })

  it('ask the same again until they are answered, as long as the owner lives', async () => {
    const away = new Error('away')
    const { take, attempts, questions, clock, state, lent } = start({ answers: [sent(0), away, away, away] })
    await take()
    attempts[0].end(value)
    await turn()
    clock.advance(250)
    await turn()
    state.alive = false
    clock.advance(250)
    await turn()

    expect(questions.slice(1)).toEqual([1, 2, 3].map(() => questions[1]))
    expect(lent.size).toBe(0)
  })

  it('say that they are wanted when they bring an end', async () => {
    const { take, attempts, questions, state } = start()
    await take()
    state.short = true

    attempts[0].end(value)
    await turn()

    expect(questions.map(({ isLast }) => isLast)).toEqual([false, true])
  })

  it('stop what they are told to stop, also when that comes before the job, and nothing else', async () => {
    const { take, attempts, lent } = start({ answers: [sent(0), sent(1)] })
    await take()

    lent.stop({ seat: 'other', no: 1, cause: 'user' })
    lent.stop({ seat: 's1', no: 2, cause: 'deadline' })
    expect(attempts[0].signal.aborted).toBe(false)
    lent.stop({ seat: 's1', no: 1, cause: 'user' })
    expect(attempts[0].signal.reason.why).toBe('user')
    attempts[0].end({ type: 'unwound' })
    await turn()

    expect(attempts[1].signal.reason.why).toBe('deadline')
  })

  it.each([
    ['another replica owns the tenant', { of: 'third' }, true, 1],
    ['nobody does', { of: '' }, true, 1],
    ['the owner is dead', { alive: false }, true, 0],
    ['all is well', {}, false, 1],
  ])('when %s', async (_, change, stopped, asked) => {
    const { take, attempts, lent, state, questions } = start()
    await take()
    Object.assign(state, change)

    await lent.check()
    attempts[0].end({ type: 'unwound' })
    await turn()

    expect(attempts[0].signal.aborted).toBe(stopped)
    expect(questions.length - 1).toBe(asked)
    expect(lent.size).toBe(0)
  })

  it('stop for a new owner of the tenant, and for no other tenant or owner', async () => {
    const { take, attempts, lent, counts } = start()
    await take()

    lent.adopted('other', 'third')
    lent.adopted('acme', 'owner')
    expect(attempts[0].signal.aborted).toBe(false)
    lent.adopted('acme', 'third')

    expect([attempts[0].signal.aborted, counts.orphaned]).toEqual([true, 1])
  })

  it('stop for a tenant that is no more', async () => {
    const { take, attempts, lent } = start()
    await take()

    lent.forget('other')
    expect(attempts[0].signal.aborted).toBe(false)
    lent.forget('acme')

    expect(attempts[0].signal.aborted).toBe(true)
  })

  it('belong to nobody when the lease is lost: nothing is asked for what has stopped', async () => {
    const { take, attempts, lent, questions } = start()
    await take()

    lent.lost()
    attempts[0].end({ type: 'unwound' })
    await turn()

    expect([attempts[0].signal.aborted, questions.length, lent.size]).toEqual([true, 1, 0])
  })

  it('are handed back when we leave: at once what is to be made again, the rest after the grace', async () => {
    const { take, attempts, lent, clock, waiting } = start({
      tickets: ['a', 'b'],
      free: 2,
      answers: [sent(0, 'retry'), sent(1, 'fail')],
    })
    await take()
    waiting.push('c')

    const left = lent.leave(1_000)
    expect(attempts.map(({ signal }) => signal.aborted)).toEqual([true, false])
    clock.advance(1_000)
    for (let i = 0; i < 5; i++) await turn()
    expect(attempts.map(({ signal }) => signal.aborted)).toEqual([true, true])
    for (const { end } of attempts) end({ type: 'unwound' })
    await turn()
    clock.advance(10)
    await left

    await take()
    expect([lent.size, waiting]).toEqual([0, ['c']])
  })
})

/** What is read, one after the other, and from then on. */
function reads<T>(first: T[], then: T): () => T {
  return () => first.shift() ?? then
}

import { describe, expect, it } from 'vitest'
import { Session, Sessions } from '../../src/auth/sessions.ts'
import { MAX_TIMER_MS } from '../../src/clock.ts'
import { FakeClock } from '../support/fake-clock.ts'

/** The answer of a request, as far as a session looks at it. */
class Answer {
  headersSent = false
  writableEnded = false
  destroyed = false
  destroy(): this {
    this.destroyed = true
    return this
  }
}

function start() {
  const clock = new FakeClock()
  const sessions = new Sessions({ clock })
  const open = (keyId: string, expiresAt: number | null = null) => {
    const answer = new Answer()
    // A session needs no more of a response than this.
    const session = new Session(answer as never)
    sessions.open(keyId, expiresAt, session)
    return { answer, session }
  }
  return { clock, sessions, open }
}

describe('Sessions', () => {
  it('ends all requests of a key, and of no other', () => {
    const { sessions, open } = start()
    const [first, second, other] = [open('a'), open('a'), open('b')]

    sessions.end('a')

    expect([first, second, other].map(({ session }) => session.over)).toEqual([true, true, false])
    expect(sessions.size).toBe(1)
  })

  it('ends them when the key expires, at that instant and not before', () => {
    const { clock, open } = start()
    const { session } = open('a', clock.now() + 1_000)

    clock.advance(999)
    expect(session.over).toBe(false)
    clock.advance(1)

    expect(session.over).toBe(true)
  })

  it('is not early when its timer is', () => {
    const clock = new FakeClock({ earlyMs: 0.9 })
    const sessions = new Sessions({ clock })
    const expiresAt = clock.now() + 10
    const ended: number[] = []
    const session = new Session(new Answer() as never)
    session.signal.addEventListener('abort', () => ended.push(clock.now()))
    sessions.open('a', expiresAt, session)

    clock.advance(20)

    expect(ended).toHaveLength(1)
    expect(ended[0]).toBeGreaterThanOrEqual(expiresAt)
  })

  it('waits longer than a timer can', () => {
    const clock = new FakeClock({ overflows: true })
    const sessions = new Sessions({ clock })
    const session = new Session(new Answer() as never)
    sessions.open('a', clock.now() + MAX_TIMER_MS + 5_000, session)

    clock.advance(MAX_TIMER_MS + 4_999)
    expect(session.over).toBe(false)
    clock.advance(1)

    expect(session.over).toBe(true)
  })

  it('keeps nothing of a key whose requests are all answered, its timer neither', () => {
    const { clock, sessions, open } = start()
    const [one, two] = [open('a', clock.now() + 1_000), open('a', clock.now() + 1_000)]
    expect(clock.armed).toBe(1)

    sessions.close('a', one.session)
    expect([sessions.size, clock.armed]).toEqual([1, 1])
    sessions.close('a', two.session)
    sessions.close('a', two.session)

    expect([sessions.size, clock.armed]).toEqual([0, 0])
  })

  it('leaves the request alone that may come to its own end', () => {
    const { sessions, open } = start()
    const [asking, other] = [open('a'), open('a')]

    sessions.end('a', asking.session)
    sessions.end('a')

    expect([asking.session.over, other.session.over]).toEqual([false, true])
  })
})

describe('Session', () => {
  it('cuts an answer that has begun', () => {
    const { sessions, open } = start()
    const { answer } = open('a')
    answer.headersSent = true

    sessions.end('a')

    expect(answer.destroyed).toBe(true)
  })

  it.each([
    ['has not begun', {}],
    ['is complete', { headersSent: true, writableEnded: true }],
  ])('does not cut an answer that %s', (_when, state) => {
    const { sessions, open } = start()
    const { answer } = open('a')
    Object.assign(answer, state)

    sessions.end('a')

    expect(answer.destroyed).toBe(false)
  })

  it('has a signal that aborts with it, whenever it is asked for', () => {
    const { sessions, open } = start()
    const [early, late] = [open('a'), open('a')]
    const { signal } = early.session
    expect(signal.aborted).toBe(false)

    sessions.end('a')

    expect([signal.aborted, late.session.signal.aborted]).toEqual([true, true])
    expect(early.session.signal).toBe(signal)
  })
})

import { describe, expect, it } from 'vitest'
import { Holdings } from '../../../src/engine/cluster/holdings.ts'
import type { Tenancy } from '../../../src/engine/local/tenancy.ts'
import { OverloadedError, TenantMovedError } from '../../../src/errors.ts'
import { FakeClock, turn } from '../../support/fake-clock.ts'

/** Holdings over owners and a tenancy that say what they are told, in order. */
function world() {
  const clock = new FakeClock()
  const said: string[] = []
  const errors: unknown[] = []
  const gates = new Map<string, PromiseWithResolvers<void>>()
  const state = { valid: true, owner: null as string | null, hasWork: false, forgotten: false }
  /** What is asked for waits until the test lets it go on, if the test has said so before. */
  const gate = async (name: string) => {
    said.push(name)
    await gates.get(name)?.promise
  }
  const owners = {
    async claim(id: string) {
      await gate(`claim ${id}`)
      return state.owner === null ? ('mine' as const) : { owner: state.owner }
    },
    ownerOf: async () => state.owner,
    isForgotten: async () => state.forgotten,
    release: (id: string, { hasWork }: { hasWork: boolean }) => gate(`release ${id} ${hasWork}`),
  }
  const tenancy = {
    async adopt(id: string) {
      await gate(`adopt ${id}`)
      return 0
    },
    hasWork: () => state.hasWork,
    async handOver(id: string, graceMs: number) {
      await gate(`handOver ${id} ${graceMs}`)
      return state.hasWork
    },
    lose: (id: string) => void said.push(`lose ${id}`),
    // As much of it as is used.
  } as Partial<Tenancy> as Tenancy
  const holdings: Holdings = new Holdings({
    owners,
    tenancy,
    clock,
    isValid: () => {
      if (!state.valid) holdings.loseAll()
      return state.valid
    },
    onError: (error) => errors.push(error),
  })
  const hold = (name: string) => {
    const held = Promise.withResolvers<void>()
    gates.set(name, held)
    return held
  }
  return { clock, said, errors, state, holdings, hold }
}

describe('Holdings', () => {
  it('claims a tenant once for all who ask, and takes up its work before anybody goes on', async () => {
    const { said, holdings, hold } = world()
    const adopting = hold('adopt a')

    const taken = [holdings.take('a'), holdings.take('a')]
    await turn()
    expect([holdings.holds('a'), holdings.isOwner('a')]).toEqual([false, true])
    taken.push(holdings.take('a'))
    adopting.resolve()

    expect(await Promise.all(taken)).toEqual(['mine', 'mine', 'mine'])
    expect(said.filter((each) => each.startsWith('adopt'))).toEqual(['adopt a'])
    expect([holdings.holds('a'), holdings.size]).toEqual([true, 1])
  })

  it('says whose a tenant is that another one has', async () => {
    const { said, state, holdings } = world()
    state.owner = 'other'

    expect(await holdings.take('a')).toEqual({ owner: 'other' })

    expect([said, holdings.holds('a'), holdings.isOwner('a')]).toEqual([['claim a'], false, false])
  })

  it('holds nothing of what was lost while it was taken up', async () => {
    const { said, holdings, hold } = world()
    const adopting = hold('adopt a')
    const taking = holdings.take('a')
    await turn()

    holdings.lose('a')
    adopting.resolve()

    await expect(taking).rejects.toBeInstanceOf(TenantMovedError)
    expect([holdings.holds('a'), holdings.isOwner('a'), said.at(-1)]).toEqual([false, false, 'lose a'])
  })

  it('takes up again what it lost and claimed anew, whatever becomes of the first time', async () => {
    const { holdings, hold } = world()
    const first = hold('adopt a')
    const taking = holdings.take('a')
    await turn()
    holdings.lose('a')
    const second = hold('adopt a')
    const again = holdings.take('a')
    await turn()

    first.resolve()
    await expect(taking).rejects.toBeInstanceOf(TenantMovedError)
    expect([holdings.holds('a'), holdings.isOwner('a')]).toEqual([false, true])
    second.resolve()

    expect([await again, holdings.holds('a')]).toEqual(['mine', true])
  })

  it('gives back what it cannot take up, for somebody else to try', async () => {
    const { said, holdings, hold } = world()
    hold('adopt a').reject(new Error('unreadable'))

    await expect(holdings.take('a')).rejects.toBeInstanceOf(OverloadedError)

    expect(said).toEqual(['claim a', 'adopt a', 'lose a', 'release a true'])
    expect(holdings.size).toBe(0)
  })

  it('looks at the lease before it says that it holds anything', async () => {
    const { said, state, holdings } = world()
    await holdings.take('a')

    state.valid = false

    expect([holdings.holds('a'), said.at(-1), holdings.size]).toEqual([false, 'lose a', 0])
  })

  it('gives up what has been idle for a while, and nothing that has work or was asked for', async () => {
    const { clock, said, state, holdings } = world()
    holdings.start()
    for (const id of ['idle', 'asked']) await holdings.take(id)

    await clock.elapse(29_000)
    await holdings.take('asked')
    await clock.elapse(10_000)
    expect(said.filter((each) => each.startsWith('release'))).toEqual(['release idle false'])
    state.hasWork = true
    await clock.elapse(120_000)
    expect(holdings.holds('asked')).toBe(true)
    state.hasWork = false
    await clock.elapse(8_000)

    expect([holdings.size, said.at(-1)]).toEqual([0, 'release asked false'])
  })

  it('leaves: hands each over before it releases it, also one that is being taken up, and takes no more', async () => {
    const { said, state, holdings, hold } = world()
    state.hasWork = true
    await holdings.take('a')
    const adopting = hold('adopt b')
    const taking = holdings.take('b')
    await turn()

    const left = holdings.leave(300)
    await turn()
    expect(said).not.toContain('handOver b 300')
    adopting.resolve()
    await Promise.all([left, taking])

    expect(
      said
        .filter((each) => / (a|b)\b/.test(each))
        .slice(-4)
        .toSorted(),
    ).toEqual(['handOver a 300', 'handOver b 300', 'release a true', 'release b true'].toSorted())
    expect(said.indexOf('handOver b 300')).toBeLessThan(said.indexOf('release b true'))
    await expect(holdings.take('c')).rejects.toBeInstanceOf(TenantMovedError)
    state.owner = 'other'
    expect(await holdings.take('c')).toEqual({ owner: 'other' })
    expect(said).not.toContain('claim c')
  })

  it('still holds what is being handed over, and releases nothing that was lost meanwhile', async () => {
    const { said, holdings, hold } = world()
    await holdings.take('a')
    const handing = hold('handOver a 0')

    const left = holdings.leave(0)
    await turn()
    expect(holdings.holds('a')).toBe(true)
    holdings.lose('a')
    handing.resolve()
    await left

    expect(said).not.toContain('release a false')
  })

  it('goes on leaving when a release fails, and tells of it', async () => {
    const { errors, holdings, hold } = world()
    await holdings.take('a')
    hold('release a false').reject(new Error('away'))

    await holdings.leave(0)

    expect(errors).toHaveLength(1)
  })

  it('regains what is its own and not known to it, once, and nothing else', async () => {
    const { said, state, holdings } = world()
    await holdings.regain('a')
    expect(said).toEqual([])

    state.forgotten = true
    await Promise.all([holdings.regain('a'), holdings.regain('a')])
    await holdings.regain('a')

    expect(said.filter((what) => what.startsWith('adopt'))).toEqual(['adopt a'])
    expect(holdings.holds('a')).toBe(true)
  })

  it('regains nothing while it leaves', async () => {
    const { said, state, holdings } = world()
    await holdings.leave(0)
    state.forgotten = true

    await holdings.regain('a')

    expect(said).toEqual([])
  })
})

import { describe, expect, it } from 'vitest'
import { step } from '../../../src/core/step.ts'
import { Journal } from '../../../src/engine/local/journal.ts'
import type { Store } from '../../../src/store/store.ts'
import { batchRow, jobRows } from '../../store/rows.ts'
import { turn } from '../../support/fake-clock.ts'
import { liveBatch } from './live.ts'

/** A journal over a store whose commits end when the test says so, one after the other. */
function start() {
  const commits: PromiseWithResolvers<void>[] = []
  const events: string[] = []
  let again: () => void = () => undefined
  const store = {
    commit() {
      const commit = Promise.withResolvers<void>()
      commits.push(commit)
      return commit.promise
    },
  }
  const journal = new Journal({
    // A journal does nothing but commit.
    store: store as unknown as Store,
    onPublished: () => events.push('published'),
    onFailure: () => events.push('failed'),
    retry: () => new Promise((resolve) => (again = resolve)),
  })
  const ask = (name: string) =>
    void journal.recorded().then(
      () => events.push(name),
      (error: Error) => events.push(`${name}: ${error.name}`),
    )
  const change = (live = liveBatch()) => {
    for (const effect of step(live.core, { type: 'accepted', jobs: [{}] }, 0))
      if (effect.type === 'log') journal.log(live, effect.entry)
  }
  const end = async (nth: number, how: 'ok' | 'full') => {
    if (how === 'ok') commits[nth].resolve()
    else commits[nth].reject(new Error('disk full'))
    await turn()
  }
  const retry = async () => {
    again()
    await turn()
  }
  return { journal, commits, events, ask, change, end, retry }
}

describe('recorded', () => {
  it('is at once when nothing has changed, and nothing is written for it', async () => {
    const { events, commits, ask } = start()

    ask('asked')
    await turn()

    expect([events, commits.length]).toEqual([['asked'], 0])
  })

  it('is when the commit with the change is on disk, not one before it', async () => {
    const { events, ask, change, end } = start()
    change()
    await turn()
    ask('first')
    change()
    ask('second')

    await turn()
    expect(events).toEqual([])
    await end(0, 'ok')
    expect(events.filter((event) => event !== 'published')).toEqual(['first'])
    await end(1, 'ok')

    expect(events.filter((event) => event !== 'published')).toEqual(['first', 'second'])
  })

  it('is refused as soon as the commit fails, and that of what came meanwhile too', async () => {
    const { events, ask, change, end } = start()
    change()
    ask('in the commit')
    await turn()
    ask('under way')
    change()
    ask('meanwhile')

    await end(0, 'full')

    expect(events).toEqual([
      'failed',
      'in the commit: OverloadedError',
      'under way: OverloadedError',
      'meanwhile: OverloadedError',
    ])
  })

  it('is refused at once while the store refuses to write, and not any more when it writes again', async () => {
    const { journal, events, ask, change, end, retry } = start()
    change()
    await turn()
    await end(0, 'full')
    change()
    ask('while full')
    await turn()
    await retry()
    await end(1, 'full')
    await retry()
    ask('still full')
    await turn()
    expect(events).toEqual(['failed', 'while full: OverloadedError', 'failed', 'still full: OverloadedError'])

    await end(2, 'ok')
    expect(journal.healthy).toBe(true)
    ask('with room')
    await end(3, 'ok')

    expect(events.slice(4).filter((event) => event !== 'published')).toEqual(['with room'])
  })

  it('is the reason to say it again, with what the store said', async () => {
    const { journal, change, end } = start()
    change()
    const asked = expect(journal.recorded()).rejects.toMatchObject({
      code: 'overloaded',
      retryAfterS: 5,
      message: expect.stringContaining('It is done'),
      cause: new Error('disk full'),
    })
    await turn()

    await end(0, 'full')

    await asked
  })

  it('refused keeps nobody else from being told when it is written after all', async () => {
    const { journal, events, ask, change, end, retry } = start()
    change()
    ask('asked')
    void journal.committed().then(() => events.push('committed'))
    await turn()
    await end(0, 'full')
    await retry()
    await end(1, 'ok')

    expect(events.toSorted()).toEqual(['asked: OverloadedError', 'committed', 'failed', 'published'])
  })

  it('is once new batches alone were refused: nothing else is left to write', async () => {
    const { journal, events, ask, end } = start()
    const live = liveBatch()
    journal.enter(live, batchRow(live.no), jobRows(live.no, 0, 1)).catch(() => events.push('refused'))
    await turn()
    await end(0, 'full')

    ask('asked')
    await turn()

    expect(events).toEqual(['failed', 'refused', 'asked'])
    expect(journal.healthy).toBe(true)
  })
})

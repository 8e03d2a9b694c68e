import { describe, expect, it } from 'vitest'
import type { LogEntry } from '../../../src/core/events.ts'
import { step } from '../../../src/core/step.ts'
import { Journal } from '../../../src/engine/local/journal.ts'
import type { LiveBatch } from '../../../src/engine/local/live-batch.ts'
import { Pace } from '../../../src/engine/local/pace.ts'
import { OverloadedError } from '../../../src/errors.ts'
import { TenantsNotWrittenError } from '../../../src/store/error.ts'
import type { CommitGroup, Store } from '../../../src/store/store.ts'
import { batchRow, jobRows, recordRow } from '../../store/rows.ts'
import { FakeClock, turn } from '../../support/fake-clock.ts'
import { liveBatch } from './live.ts'

/** A journal over a store whose commits end when the test says so. */
function start() {
  const commits: { group: CommitGroup; resolve: () => void; reject: (error: Error) => void }[] = []
  const events: string[] = []
  const retries: (() => void)[] = []
  const clock = new FakeClock()
  const store = {
    commit(group: CommitGroup) {
      const done = Promise.withResolvers<void>()
      commits.push({ group: structuredClone(group), resolve: done.resolve, reject: done.reject })
      return done.promise
    },
  }
  const journal = new Journal({
    // A journal does nothing but commit.
    store: store as Store,
    onPublished: (live, seq) => events.push(`published ${live.no} up to ${seq}`),
    onFailure: (error) => events.push(`failed: ${String(error)}`),
    retry: () => new Promise((resolve) => retries.push(resolve)),
    pace: new Pace(clock),
  })
  const retry = async () => {
    for (const again of retries.splice(0)) again()
    await turn()
  }
  return { journal, commits, events, retry, retries, clock }
}

type Started = ReturnType<typeof start>

/** Log `count` more events of a batch: jobs that are accepted. */
function change(journal: Journal, live: LiveBatch, count = 1): void {
  const jobs = Array.from({ length: count }, () => ({}))
  for (const effect of step(live.core, { type: 'accepted', jobs }, 0))
    if (effect.type === 'log') journal.log(live, effect.entry)
}

/** A batch that enters; what became of it goes to `events`. */
function enter({ journal, events }: Started, live: LiveBatch): void {
  change(journal, live)
  journal.enter(live, batchRow(live.no), jobRows(live.no, 0, 1)).then(
    () => events.push(`entered ${live.no}`),
    (error: unknown) => events.push(`refused ${live.no}: ${error instanceof OverloadedError}`),
  )
}

/** What a group has of each batch: the numbers of its log. */
function seqsOf(group: CommitGroup | undefined): Record<number, number[]> {
  return Object.fromEntries((group?.logs ?? []).map(({ no, entries }) => [no, entries.map(({ seq }) => seq)]))
}

describe('Journal', () => {
  it('counts results and errors as kept from the moment it has them until they are written, however long that takes', async () => {
    const { journal, commits, retry } = start()
    const live = liveBatch()
    const { tenant } = live

    journal.record(live, recordRow(1, 0, { result: 'x'.repeat(100), error: null }))
    expect(tenant.entering).toBe(100)
    await turn()
    journal.record(live, recordRow(1, 1, { result: ['ab', Buffer.from('cd')], error: 'y'.repeat(3) }))
    expect(tenant.entering).toBe(107)
    commits[0].reject(new Error('disk full'))
    await turn()
    expect(tenant.entering).toBe(107)
    await retry()
    commits[1].resolve()
    await turn()
    expect(tenant.entering).toBe(7)
    commits[2].resolve()
    await turn()

    expect(tenant.entering).toBe(0)
  })

  it('writes what one turn of the event loop changed in one commit', async () => {
    const { journal, commits } = start()
    const [one, two] = [liveBatch({ no: 1 }), liveBatch({ no: 2 })]

    change(journal, one)
    change(journal, two)
    journal.record(one, recordRow(1, 0))
    journal.addJobs(jobRows(1, 1, 2))
    change(journal, one)
    expect(commits).toHaveLength(0)
    await turn()

    expect(commits).toHaveLength(1)
    const { group } = commits[0]
    expect(seqsOf(group)).toEqual({ 1: [1, 2, 3], 2: [1, 2] })
    expect(group.heads.map(({ no, seq }) => [no, seq])).toEqual([
      [1, 3],
      [2, 2],
    ])
    expect(group.records).toEqual([recordRow(1, 0)])
    expect(group.jobs).toEqual([jobRows(1, 1, 2)])
  })

  it('gathers what comes while a commit is under way into the next, and has one under way at a time', async () => {
    const { journal, commits } = start()
    const live = liveBatch()
    change(journal, live)
    await turn()
    change(journal, live)
    await turn()
    change(journal, live)
    await turn()
    expect(commits).toHaveLength(1)

    commits[0].resolve()
    await turn()

    expect(commits.map(({ group }) => seqsOf(group))).toEqual([{ 1: [1, 2] }, { 1: [3, 4] }])
  })

  it('writes nothing when nothing has changed', async () => {
    const { journal, commits } = start()

    await journal.committed()
    await turn()

    expect(commits).toHaveLength(0)
    expect(journal.healthy).toBe(true)
  })

  it('answers and publishes after the commit, never before, in the order of the batches', async () => {
    const started = start()
    const { journal, commits, events } = started
    enter(started, liveBatch({ no: 1 }))
    change(journal, liveBatch({ no: 2 }), 3)
    void journal.committed().then(() => events.push('committed'))
    await turn()
    await turn()
    expect(events).toEqual([])

    commits[0].resolve()
    await turn()

    expect(events.toSorted()).toEqual(['committed', 'entered 1', 'published 1 up to 2', 'published 2 up to 4'])
    expect(events.indexOf('published 1 up to 2')).toBeLessThan(events.indexOf('published 2 up to 4'))
  })

  it('publishes no further than what was committed, whatever was logged since', async () => {
    const { journal, commits, events } = start()
    const live = liveBatch()
    change(journal, live)
    await turn()
    change(journal, live)

    commits[0].resolve()
    await turn()

    expect(events).toEqual(['published 1 up to 2'])
    commits[1].resolve()
    await turn()
    expect(events).toEqual(['published 1 up to 2', 'published 1 up to 3'])
  })

  it('is committed when what was there is, not what came after', async () => {
    const { journal, commits } = start()
    const live = liveBatch()
    const done: string[] = []
    change(journal, live)
    await turn()
    void journal.committed().then(() => done.push('first'))
    change(journal, live)
    void journal.committed().then(() => done.push('second'))

    commits[0].resolve()
    await turn()
    expect(done).toEqual(['first'])

    commits[1].resolve()
    await turn()
    expect(done).toEqual(['first', 'second'])
  })

  it('keeps the newest record of each job, and every run', async () => {
    const { journal, commits } = start()
    const live = liveBatch()

    journal.record(live, recordRow(1, 0, { attempts: 1 }))
    journal.record(live, recordRow(1, 4, { count: 3, state: 6 }))
    journal.record(live, recordRow(1, 1))
    journal.record(live, recordRow(1, 0, { attempts: 2 }))
    journal.record(live, recordRow(1, 9, { count: 2, state: 6 }))
    await turn()

    expect(commits[0].group.records.map(({ index, count, attempts }) => [index, count, attempts])).toEqual([
      [4, 3, 1],
      [9, 2, 1],
      [0, 1, 2],
      [1, 1, 1],
    ])
  })

  it('writes the head of a batch that changed without an event', async () => {
    const { journal, commits } = start()
    const live = liveBatch()

    journal.touch(live)
    await turn()

    expect(commits[0].group.heads.map(({ no }) => no)).toEqual([1])
    expect(commits[0].group.logs.flatMap(({ entries }) => entries)).toEqual([])
  })

  describe('when a commit fails', () => {
    it('refuses the new batches in it, and tries the rest again as it was until it succeeds', async () => {
      const started = start()
      const { journal, commits, events, retry } = started
      const old = liveBatch({ no: 1 })
      enter(started, liveBatch({ no: 2 }))
      change(journal, old)
      journal.record(old, recordRow(1, 0))
      journal.addJobs(jobRows(1, 5, 1))
      void journal.committed().then(() => events.push('committed'))
      await turn()
      commits[0].reject(new Error('disk full'))
      await turn()
      expect(events).toEqual(['failed: Error: disk full', 'refused 2: true'])
      expect(journal.healthy).toBe(false)

      await retry()
      change(journal, old)
      commits[1].reject(new Error('still full'))
      await turn()
      await retry()
      expect(journal.healthy).toBe(false)
      commits[2].resolve()
      await turn()

      const [first, second, third, fourth] = commits.map(({ group }) => group)
      expect(second.batches).toEqual([])
      expect(second.jobs).toEqual([jobRows(1, 5, 1)])
      expect(second.heads).toEqual(first.heads.filter(({ no }) => no === 1))
      expect(second.records).toEqual(first.records)
      expect(second.logs).toEqual(first.logs.filter(({ no }) => no === 1))
      expect(third).toEqual(second)
      expect(seqsOf(fourth)).toEqual({ 1: [3] })
      expect(events.slice(2)).toEqual(['failed: Error: still full', 'published 1 up to 2', 'committed'])
      expect(journal.healthy).toBe(true)
    })

    describe('for some tenants alone', () => {
      const ofTenant = (no: number, id: string) => {
        const live = liveBatch({ no })
        Object.assign(live.tenant, { id })
        return live
      }
      const onlyA = () => new TenantsNotWrittenError(new Set(['a']), new Error('conflict'))

      it('refuses their new batches, and no others', async () => {
        const started = start()
        const { journal, commits, events, retries } = started
        enter(started, ofTenant(1, 'a'))
        enter(started, ofTenant(2, 'b'))
        await turn()
        enter(started, ofTenant(3, 'a'))

        commits[0].reject(onlyA())
        await turn()

        expect(events).toEqual(['failed: Error: conflict', 'refused 1: true', 'entered 2', 'published 2 up to 2'])
        expect([journal.healthy, retries.length]).toEqual([true, 0])
        expect(commits[1].group.batches.map(({ no }) => no)).toEqual([3])
        commits[1].resolve()
        await turn()
        expect(events).toContain('entered 3')
      })

      it('tries again what else they had, and nothing of the others', async () => {
        const started = start()
        const { journal, commits, events, retry } = started
        const [a, b] = [ofTenant(1, 'a'), ofTenant(2, 'b')]
        for (const live of [a, b]) {
          change(journal, live)
          journal.addJobs(jobRows(live.no, 5, 1))
        }
        enter(started, ofTenant(3, 'a'))
        await turn()
        let isRecorded = false
        void journal.recorded().then(() => {
          isRecorded = true
        })

        commits[0].reject(onlyA())
        await turn()
        expect([journal.healthy, isRecorded]).toEqual([true, false])
        await retry()
        commits[1].resolve()
        await turn()

        expect(isRecorded).toBe(true)
        expect(seqsOf(commits[1].group)).toEqual({ 1: [1, 2] })
        expect(commits[1].group.jobs.map(({ no }) => no)).toEqual([1])
        expect(events).toEqual([
          'failed: Error: conflict',
          'refused 3: true',
          'published 1 up to 2',
          'published 2 up to 2',
        ])
      })

      it('refuses all that is new when the rest of them is refused, too', async () => {
        const started = start()
        const { journal, commits, events, retry } = started
        change(journal, ofTenant(1, 'a'))
        enter(started, ofTenant(2, 'b'))
        await turn()
        const recorded = expect(journal.recorded()).rejects.toThrow(OverloadedError)
        commits[0].reject(onlyA())
        await turn()
        enter(started, ofTenant(3, 'b'))

        await retry()
        commits[1].reject(onlyA())
        await turn()

        await recorded
        expect(journal.healthy).toBe(false)
        expect(events.filter((event) => !event.startsWith('failed'))).toEqual(['entered 2', 'refused 3: true'])
        await retry()
        commits[2].resolve()
        await turn()
        expect(journal.healthy).toBe(true)
      })
    })

    it('keeps what comes meanwhile for the next commit, in order', async () => {
      const { journal, commits, retry } = start()
      const live = liveBatch()
      change(journal, live)
      await turn()
      change(journal, live)
      commits[0].reject(new Error('no'))
      await turn()
      change(journal, live)
      await retry()
      change(journal, live)
      commits[1].resolve()
      await turn()
      commits[2].resolve()
      await turn()

      expect(commits.map(({ group }) => seqsOf(group))).toEqual([{ 1: [1, 2] }, { 1: [1, 2] }, { 1: [3, 4, 5] }])
    })

    it('lets a batch that enters meanwhile wait, and takes it when the store writes again', async () => {
      const started = start()
      const { journal, commits, events, retry } = started
      change(journal, liveBatch({ no: 1 }))
      await turn()
      commits[0].reject(new Error('no'))
      await turn()
      enter(started, liveBatch({ no: 2 }))
      await retry()
      commits[1].resolve()
      await turn()
      expect(events).not.toContain('entered 2')

      commits[2].resolve()
      await turn()

      expect(events).toContain('entered 2')
      expect(commits[2].group.batches.map(({ no }) => no)).toEqual([2])
    })

    it('refuses the batches that came while it was failing too, instead of holding them until there is room', async () => {
      const started = start()
      const { journal, commits, events } = started
      const [running, first, second] = [liveBatch({ no: 1 }), liveBatch({ no: 2 }), liveBatch({ no: 3 })]
      change(journal, running)
      enter(started, first)
      await turn()
      enter(started, second)

      commits[0].reject(new Error('disk full'))
      await turn()

      expect(events).toEqual(['failed: Error: disk full', 'refused 2: true', 'refused 3: true'])
      await started.retry()
      commits[1].resolve()
      await turn()
      expect(commits.slice(1).flatMap(({ group }) => group.batches)).toEqual([])
      expect(Object.keys(seqsOf(commits[1].group))).toEqual(['1'])
    })

    it('publishes nothing of a batch that was refused', async () => {
      const started = start()
      const { commits, events, retry } = started
      enter(started, liveBatch({ no: 3 }))
      await turn()
      commits[0].reject(new Error('no'))
      await turn()
      await retry()
      for (const { resolve } of commits.slice(1)) resolve()
      await turn()

      expect(events).toEqual(['failed: Error: no', 'refused 3: true'])
      expect(commits.slice(1).flatMap(({ group }) => group.logs)).toEqual([])
    })
  })
})

describe('a journal of a tenant that another engine goes on with', () => {
  it('writes nothing of it any more, also not what it tried in vain, and goes on with the others', async () => {
    const { journal, commits, retry } = start()
    const [lost, stays] = [liveBatch({ no: 1 }), liveBatch({ no: 2 })]
    change(journal, lost)
    journal.addJobs(jobRows(1, 1, 1))
    journal.record(lost, recordRow(1, 0))
    change(journal, stays)
    await turn()
    commits[0].reject(new Error('away'))
    await turn()
    change(journal, lost)

    lost.tenant.moved = 'lost'
    await retry()
    expect(seqsOf(commits[1].group)).toEqual({ 2: [1, 2] })
    expect([commits[1].group.jobs, commits[1].group.records]).toEqual([[], []])
    commits[1].resolve()
    await turn()

    expect(commits.slice(2).map(({ group }) => seqsOf(group))).toEqual([{}])
  })

  it('waits for nothing that it does not write', async () => {
    const { journal, commits, retry } = start()
    const lost = liveBatch({ no: 1 })
    change(journal, lost)
    await turn()
    let over = false
    void journal.committed().then(() => {
      over = true
    })
    commits[0].reject(new Error('away'))
    await turn()

    lost.tenant.moved = 'lost'
    await retry()

    expect([over, commits.length, journal.healthy]).toEqual([true, 1, true])
  })
})

describe('a journal while jobs come and go in hundreds', () => {
  /** One commit of a crowd is on disk, and there is something to write again. */
  async function afterCrowd(live = liveBatch()) {
    const started = start()
    const { journal, commits } = started
    crowd(journal, live)
    await turn()
    crowd(journal, live)
    commits[0].resolve()
    await turn()
    return { ...started, live }
  }

  /** Records of so many jobs that others are to be expected. */
  function crowd(journal: Journal, live: LiveBatch): void {
    for (let index = 0; index < 32; index++) journal.record(live, recordRow(live.no, index))
  }

  it('begins the next commit ten milliseconds after the last, with the newest record of each job', async () => {
    const { journal, commits, clock, live } = await afterCrowd()
    clock.advance(9)
    await turn()
    expect(commits).toHaveLength(1)
    journal.record(live, recordRow(live.no, 0, { attempts: 2 }))

    clock.advance(1)
    await turn()

    expect(commits).toHaveLength(2)
    expect(commits[1].group.records).toHaveLength(32)
    expect(commits[1].group.records.find(({ index }) => index === 0)?.attempts).toBe(2)
  })

  it('counts them from the begin of a commit, not from its end', async () => {
    const { journal, commits, clock } = start()
    const live = liveBatch()
    crowd(journal, live)
    await turn()
    crowd(journal, live)
    clock.advance(10)

    commits[0].resolve()
    await turn()

    expect(commits).toHaveLength(2)
  })

  it('writes what comes after a commit of few at once', async () => {
    const { journal, commits } = start()
    const live = liveBatch()
    for (let index = 0; index < 31; index++) journal.record(live, recordRow(live.no, index))
    await turn()
    crowd(journal, live)

    commits[0].resolve()
    await turn()

    expect(commits).toHaveLength(2)
  })

  it.each<[string, (journal: Journal, live: LiveBatch) => unknown]>([
    ['a batch that enters', (journal) => journal.enter(liveBatch({ no: 2 }), batchRow(2), jobRows(2, 0, 1))],
    ['who waits for a commit', (journal) => journal.committed()],
    ['who waits for its being on record', (journal) => journal.recorded()],
    ['the end of a batch', (journal, live) => journal.log(live, entryOf('batch.settled'))],
    ['the last end in a batch', (journal, live) => journal.log(live, entryOf('batch.drained'))],
  ])('does not keep %s waiting', async (_who, come) => {
    const { journal, commits, live } = await afterCrowd()
    expect(commits).toHaveLength(1)

    void come(journal, live)
    await turn()

    expect(commits).toHaveLength(2)
  })

  it('does not keep who follows a batch waiting for the end of a job, and keeps nobody else back for it', async () => {
    const live = liveBatch()
    const { journal, commits } = await afterCrowd(live)
    const end = { seq: 1, count: 1, type: 'job.succeeded', at: 0, index: 0 } as const
    journal.log(live, end)
    const stop = live.onPublish(() => undefined)
    journal.log(live, end)
    await turn()
    expect(commits).toHaveLength(1)
    stop()

    const leave = live.onPublish(() => undefined, true)
    journal.log(live, { ...end, type: 'job.started' })
    await turn()
    expect(commits).toHaveLength(1)
    journal.log(live, end)
    await turn()

    expect(commits).toHaveLength(2)
    expect(live.isWatched).toBe(true)
    leave()
    expect(live.isWatched).toBe(false)
  })

  it('has nobody hurry the next commit who waits for the one under way', async () => {
    const { journal, commits } = start()
    const live = liveBatch()
    crowd(journal, live)
    await turn()

    void journal.committed()
    void journal.recorded()
    crowd(journal, live)
    commits[0].resolve()
    await turn()

    expect(commits).toHaveLength(1)
  })

  it('does not keep who came during the commit waiting after it', async () => {
    const { journal, commits } = start()
    const live = liveBatch()
    crowd(journal, live)
    await turn()
    crowd(journal, live)
    journal.log(live, entryOf('batch.settled'))

    commits[0].resolve()
    await turn()

    expect(commits).toHaveLength(2)
  })

  it('writes what it has at once when it is closed', async () => {
    const { journal, commits } = await afterCrowd()

    journal.close()
    await turn()

    expect(commits).toHaveLength(2)
  })
})

function entryOf(type: 'batch.settled' | 'batch.drained'): LogEntry {
  return { seq: 1, count: 1, type, at: 0, index: -1 }
}

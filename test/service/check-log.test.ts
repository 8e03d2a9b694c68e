import { describe, expect, it } from 'vitest'
import { type Drained, forever, sleepFor, startService } from '../support/service.ts'
import { checkLog, mostAtOnce, type WireEvent } from './check-log.ts'

/** Ways in which a log or a view could be wrong; each must be found. */
const LIES: Readonly<Record<string, (drained: Drained) => void>> = {
  'a gap in the numbers': ({ events }) => void events.splice(2, 1),
  'an event twice': ({ events }) => void events.splice(2, 0, events[2] as WireEvent),
  'a second end': ({ events }) => insert(events, 'batch.settled', { ...find(events, 'job.failed') }),
  'an end that is missing': ({ events }) => void events.splice(events.indexOf(find(events, 'job.failed')), 1),
  'a start after the abort': ({ events }) =>
    insert(events, 'job.cancelled', { ...find(events, 'job.started'), index: 2, attempt: 1 }),
  'a success without a start': ({ events }) => {
    find(events, 'job.cancelled').type = 'job.succeeded'
  },
  'a settling before the last job ended': ({ events }) => swap(events, 'job.cancelled', 'batch.settled'),
  'a draining before the settling': ({ events }) => swap(events, 'batch.settled', 'batch.drained'),
  'a stamp that runs backwards': ({ events }) => {
    find(events, 'batch.settled').at = '2000-01-01T00:00:00.000Z'
  },
  'another state of a job': ({ jobs }) => Object.assign(jobs[0] ?? {}, { state: 'succeeded' }),
  'a job that did not start and says when it did': ({ jobs }) =>
    Object.assign(jobs[2] ?? {}, { startedAt: jobs[0]?.startedAt }),
  'another result than the event carried': ({ jobs }) => Object.assign(jobs[1] ?? {}, { result: 'other' }),
  'results out of input order': ({ jobs }) => void jobs.reverse(),
  'another count': ({ batch }) => void Object.assign(batch.counts, { failed: 2 }),
  'another outcome': ({ batch, events }) => {
    batch.state = 'cancelled'
    find(events, 'batch.settled').state = 'cancelled'
  },
  'an error that the policy does not count': ({ batch }) =>
    void batch.error?.errors?.push({ ...batch.error.errors[0] } as never),
}

const find = (events: WireEvent[], type: string) =>
  events.find((event) => event.type === type) ?? events[0] ?? ({} as WireEvent)

function insert(events: WireEvent[], before: string, event: WireEvent): void {
  const next = find(events, before)
  events.splice(events.indexOf(next), 0, { ...event, at: next.at ?? '' })
  renumber(events)
}

function swap(events: WireEvent[], one: string, other: string): void {
  const [i, j] = [events.findLastIndex(({ type }) => type === one), events.indexOf(find(events, other))]
  const [a, b] = [events[i], events[j]]
  if (a && b)
    [events[i], events[j]] = [
      { ...b, at: a.at ?? '' },
      { ...a, at: b.at ?? '' },
    ]
  renumber(events)
}

/** Numbers without gaps, so that a lie is not found by them. */
function renumber(events: WireEvent[]): void {
  for (const [i, event] of events.entries()) events[i] = { ...event, seq: i + 1 }
}

describe('the check of a log', () => {
  it('passes what the service says, and finds every lie', async () => {
    await using service = await startService()
    const drained = await service.me.run({
      policy: 'task_group',
      maxConcurrency: 2,
      jobs: [forever(), service.fetch('/fail'), sleepFor(0)],
    })

    expect(() => checkLog(drained.events, drained.batch, drained.jobs)).not.toThrow()
    for (const [lie, tell] of Object.entries(LIES)) {
      const copy = structuredClone(drained)
      tell(copy)
      expect(() => checkLog(copy.events, copy.batch, copy.jobs), lie).toThrow()
    }
  })

  it('finds a cap that was passed', async () => {
    await using service = await startService()

    const { events } = await service.me.run({ jobs: [sleepFor(30), sleepFor(30), sleepFor(30)] })

    expect(mostAtOnce([events])).toBe(3)
    expect(mostAtOnce([events, events])).toBe(6)
  })
})

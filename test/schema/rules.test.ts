import { describe, expect, it } from 'vitest'
import { batchRules, nameRules } from '../../src/schema/rules.ts'

const JOBS = [{}, {}]

describe('batchRules', () => {
  it.each([
    ['a quorum that the jobs can reach', { policy: 'quorum', n: 2, jobs: JOBS }],
    ['a quorum above the jobs of an open batch', { policy: 'quorum', n: 9, open: true, jobs: JOBS }],
    ['a hedge with its delay', { policy: 'hedge', hedgeDelayMs: 0, jobs: JOBS }],
    ['a default policy', { jobs: [] }],
    ['a quorum whose n is wrong in itself', { policy: 'quorum', n: 'x', jobs: JOBS }],
    ['a policy that is wrong in itself', { policy: 7, n: 1, hedgeDelayMs: 1, jobs: [] }],
    ['jobs that are wrong in themselves', { policy: 'quorum', n: 5, jobs: 'x' }],
  ])('has nothing to say about %s', (_, raw) => {
    expect(batchRules(raw)).toEqual([])
  })

  it.each([
    ['a quorum without n', { policy: 'quorum', jobs: JOBS }, '/n', 'Is required for the policy "quorum"'],
    ['a quorum above its jobs', { policy: 'quorum', n: 3, jobs: JOBS }, '/n', 'Must be at most 2'],
    ['n elsewhere', { policy: 'any', n: 1, jobs: JOBS }, '/n', 'Belongs to the policy "quorum" only'],
    ['n with the default policy', { n: 1, jobs: JOBS }, '/n', 'Belongs to the policy "quorum" only'],
    ['a hedge without a delay', { policy: 'hedge', jobs: JOBS }, '/hedgeDelayMs', 'Is required for the policy "hedge"'],
    [
      'a delay elsewhere',
      { policy: 'any', hedgeDelayMs: 1, jobs: JOBS },
      '/hedgeDelayMs',
      'Belongs to the policy "hedge" only',
    ],
    ['an empty race', { policy: 'race', jobs: [] }, '/jobs', 'Must not be empty: the policy "race" needs'],
  ])('points at %s', (_, raw, pointer, detail) => {
    expect(batchRules(raw)).toEqual([{ pointer, detail: expect.stringContaining(detail) }])
  })
})

describe('nameRules', () => {
  it.each([
    ['different names', [{ name: 'a' }, { name: 'b' }, {}]],
    ['a default name on the job it belongs to', [{}, { name: 'job-1' }]],
    ['a default name of a job that has another', [{ name: 'job-1' }, { name: 'x' }]],
    ['names that are no text', [{ name: 1 }, { name: 1 }]],
    ['jobs that are no objects', [null, 3, 'x']],
  ])('has nothing to say about %s', (_, jobs) => {
    expect(nameRules(jobs, true)).toEqual([])
  })

  it('points at the second of two twins, and names the first', () => {
    expect(nameRules([{ name: 'a' }, {}, { name: 'a' }], true)).toEqual([
      { pointer: '/jobs/2/name', detail: 'Must be unique in the batch, and job 0 has it already.' },
    ])
  })

  it('points at a name that an unnamed job has by default, before or after it', () => {
    expect(nameRules([{ name: 'job-1' }, {}], true)).toMatchObject([{ pointer: '/jobs/0/name' }])
    expect(nameRules([{}, { name: 'job-0' }], true)).toMatchObject([{ pointer: '/jobs/1/name' }])
  })
})

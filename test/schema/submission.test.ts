import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BatchTooLargeError, type FieldError, InvalidArgumentError } from '../../src/errors.ts'
import { buildJobSchema } from '../../src/schema/jobs.ts'
import { MAX_FIELD_ERRORS } from '../../src/schema/limits.ts'
import { appendSteps, atOnce, JOBS_A_STEP, parseSubmission, submissionSteps } from '../../src/schema/submission.ts'
import { FAKE_KINDS } from '../support/fake-parts.ts'

const schema = buildJobSchema(FAKE_KINDS)
const TENANT = { id: 'acme', limits: { maxBatchJobs: 100 } }
const SLEEP = { kind: 'sleep', durationMs: 1 }

const parse = (body: unknown) => parseSubmission(body, schema, TENANT)
const append = (body: unknown) => atOnce(appendSteps(body, schema, TENANT))

/** The field errors of a body, by pointer. */
function wrong(body: unknown, read: (body: unknown) => unknown = parse): FieldError[] {
  try {
    read(body)
  } catch (thrown) {
    if (thrown instanceof InvalidArgumentError) return thrown.errors
    throw thrown
  }
  return []
}

const pointers = (body: unknown, read = parse as (body: unknown) => unknown) =>
  wrong(body, read).map(({ pointer }) => pointer)

describe('parseSubmission', () => {
  it('fills in what a batch leaves out', () => {
    expect(parse({ jobs: [SLEEP] })).toEqual({
      policy: 'all_settled',
      name: null,
      labels: {},
      timeoutMs: null,
      maxConcurrency: null,
      open: false,
      context: {},
      n: null,
      hedgeDelayMs: null,
      jobs: [SLEEP],
    })
  })

  it('keeps all that a batch says', () => {
    const batch = {
      policy: 'quorum',
      name: 'b',
      labels: { run: '42' },
      timeoutMs: 0,
      maxConcurrency: 1,
      open: true,
      context: { a: 'b' },
    }

    expect(parse({ ...batch, n: 5, jobs: [SLEEP] })).toMatchObject({ ...batch, n: 5 })
  })

  it('merges the defaults into the jobs that leave a field out', () => {
    const defaults = { timeoutMs: 9, shield: true, context: { a: 'b' } }

    const { jobs } = parse({ defaults, jobs: [SLEEP, { ...SLEEP, timeoutMs: null }, { ...SLEEP, context: {} }] })

    expect(jobs).toEqual([
      { ...defaults, ...SLEEP },
      { ...defaults, ...SLEEP, timeoutMs: null },
      { ...defaults, ...SLEEP, context: {} },
    ])
  })

  it.each([[{ name: 'x' }], [{ kind: 'sleep' }], [{ durationMs: 5 }], [{ url: 'x' }], [{ n: 1 }]])(
    'refuses the defaults %j, which not every job could have',
    (defaults) => {
      expect(pointers({ defaults, jobs: [SLEEP] })).toEqual([`/defaults/${Object.keys(defaults)[0]}`])
    },
  )

  it.each([[null], [[]], ['text'], [3], [undefined], [true]])('refuses %j for a body', (body) => {
    expect(wrong(body)).toEqual([{ pointer: '', detail: 'Must be an object with an array of jobs: {"jobs": […]}.' }])
  })

  it('names the wrong fields of the batch, of the defaults, of every job, and between fields, all at once', () => {
    const body = {
      policy: 'quorum',
      timeoutMs: -1,
      labels: { 'a b': 'x' },
      surprise: 1,
      defaults: { priority: 5_000 },
      jobs: [
        { kind: 'fetch', url: 3, okStatus: [2.5], zz: 1 },
        { kind: 'nope', timeoutMs: 'x' },
        {},
        7,
        { kind: 'sleep', durationMs: 1e99, name: 'twin' },
        { kind: 'sleep', durationMs: 1, name: 'twin' },
      ],
    }

    expect(new Set(pointers(body))).toEqual(
      new Set([
        '/timeoutMs',
        '/labels/a b',
        '/surprise',
        '/defaults/priority',
        '/jobs/0/url',
        '/jobs/0/okStatus/0',
        '/jobs/0/zz',
        '/jobs/1/kind',
        '/jobs/1/timeoutMs',
        '/jobs/2/kind',
        '/jobs/3',
        '/jobs/4/durationMs',
        '/jobs/5/name',
        '/n',
      ]),
    )
  })

  it('names a wrong field in each of a hundred jobs', () => {
    const jobs = Array.from({ length: 100 }, () => ({ kind: 'sleep', durationMs: -1 }))

    expect(pointers({ jobs })).toEqual(jobs.map((_, index) => `/jobs/${index}/durationMs`))
  })

  it('lists the kinds where one is missing or unknown', () => {
    expect(wrong({ jobs: [{}, { kind: 'x' }, { kind: 3 }] })).toEqual([
      { pointer: '/jobs/0/kind', detail: 'Is required: one of "fetch", "sleep".' },
      { pointer: '/jobs/1/kind', detail: 'Must be one of "fetch", "sleep".' },
      { pointer: '/jobs/2/kind', detail: 'Must be one of "fetch", "sleep".' },
    ])
  })

  it('escapes the names of unknown fields', () => {
    expect(pointers({ jobs: [{ ...SLEEP, 'a/b~c': 1 }] })).toEqual(['/jobs/0/a~1b~0c'])
  })

  it.each([
    ['NaN'],
    ['Infinity'],
    ['5'],
    [null],
    [[]],
    [{}],
    [true],
    [0.5],
    [-1],
    [2_592_000_001],
    [Number.POSITIVE_INFINITY],
  ])('refuses a duration of %j', (durationMs) => {
    expect(pointers({ jobs: [{ kind: 'sleep', durationMs }] })).toContain('/jobs/0/durationMs')
  })

  it.each([[0], [1], [2_147_483_648], [2_592_000_000]])('takes a duration of %d', (durationMs) => {
    expect(parse({ jobs: [{ kind: 'sleep', durationMs }] }).jobs).toEqual([{ kind: 'sleep', durationMs }])
  })

  it.each([['all_settled'], ['gather'], ['task_group']])('takes an empty %s', (policy) => {
    expect(parse({ policy, jobs: [] }).jobs).toEqual([])
  })

  it.each([
    ['any', {}],
    ['race', {}],
    ['quorum', { n: 1 }],
    ['hedge', { hedgeDelayMs: 1 }],
  ])('refuses an empty %s', (policy, more) => {
    expect(pointers({ policy, ...more, jobs: [] })).toContain('/jobs')
  })

  it('requires jobs', () => {
    expect(wrong({ policy: 'gather' })).toEqual([{ pointer: '/jobs', detail: 'Is required: an array.' }])
  })

  it('answers more jobs than a batch may have with an error of its own', () => {
    const jobs = (count: number) => ({ jobs: Array.from({ length: count }, () => SLEEP) })

    expect(parse(jobs(100)).jobs).toHaveLength(100)
    expect(() => parse(jobs(101))).toThrow(BatchTooLargeError)
  })

  it('refuses NUL and lone surrogates wherever text is, and takes them in the body of a fetch', () => {
    const fetch = { kind: 'fetch', url: 'https://a.example', body: '\0\ud800' }

    expect(parse({ jobs: [fetch] }).jobs).toMatchObject([{ body: '\0\ud800' }])
    expect(
      pointers({
        name: '\0',
        labels: { a: '\ud800' },
        context: { a: '\0' },
        jobs: [
          { ...fetch, url: 'https://a.example/\0', headers: { a: '\0' }, json: { a: ['\0'] } },
          { ...SLEEP, result: '\udc00', name: '\0' },
          { ...SLEEP, body: '\0' },
        ],
      }),
    ).toEqual(
      expect.arrayContaining([
        '/name',
        '/labels/a',
        '/context/a',
        '/jobs/0/url',
        '/jobs/0/headers/a',
        '/jobs/0/json/a/0',
        '/jobs/1/result',
        '/jobs/1/name',
        '/jobs/2/body',
      ]),
    )
  })

  it('takes free-form JSON 32 deep and not 33', () => {
    const nested = (depth: number): unknown => (depth === 0 ? 'x' : { a: nested(depth - 1) })
    const body = (depth: number) => ({ jobs: [{ ...SLEEP, result: nested(depth) }] })

    expect(pointers(body(32))).toEqual([])
    expect(pointers(body(33))).toEqual([`/jobs/0/result${'/a'.repeat(32)}`])
  })

  it('names the other mistakes of a job that is nested too deep', () => {
    const deep = JSON.parse('['.repeat(50_000) + ']'.repeat(50_000))

    const found = pointers({ jobs: [{ kind: 'sleep', durationMs: 'x', result: deep }, { kind: 'y' }] })

    expect(found).toEqual(expect.arrayContaining(['/jobs/0/durationMs', '/jobs/1/kind']))
    expect(found).toHaveLength(3)
  })

  it('refuses keys that poison prototypes', () => {
    const body = JSON.parse('{"jobs":[{"kind":"sleep","durationMs":1,"result":{"__proto__":{"admin":true}}}]}')

    expect(pointers(body)).toEqual(['/jobs/0/result/__proto__'])
  })

  it('cuts the errors of a hopeless batch off, and says so', () => {
    const jobs = Array.from({ length: 100 }, () =>
      Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`x${i}`, 1])),
    )

    const errors = wrong({ jobs: jobs.map((job) => ({ ...job, ...SLEEP })) })

    expect(errors).toHaveLength(1_001)
    expect(errors.at(-1)).toMatchObject({ pointer: '', detail: expect.stringContaining('first 1000') })
  })

  it.each([
    ['33 labels', { labels: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`l${i}`, 'v'])) }, '/labels'],
    ['a long value', { labels: { a: 'v'.repeat(257) } }, '/labels/a'],
    ['a long key', { labels: { ['k'.repeat(65)]: 'v' } }, `/labels/${'k'.repeat(65)}`],
    ['an empty key', { labels: { '': 'v' } }, '/labels/'],
    ['a number', { labels: { a: 1 } }, '/labels/a'],
    ['a list', { labels: [] }, '/labels'],
  ])('refuses labels with %s', (_, more, pointer) => {
    expect(pointers({ ...more, jobs: [SLEEP] })).toEqual([pointer])
  })

  it('names both too many labels and a wrong one', () => {
    const labels = Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`l${i}`, i === 7 ? 7 : 'v']))

    expect(pointers({ labels, jobs: [SLEEP] }).sort()).toEqual(['/labels', '/labels/l7'])
  })

  it('throws nothing but its own errors, whatever the JSON', () => {
    const job = fc.record(
      {
        kind: fc.oneof(fc.constantFrom('sleep', 'fetch'), fc.jsonValue()),
        durationMs: fc.jsonValue(),
        name: fc.jsonValue(),
        context: fc.jsonValue(),
        url: fc.jsonValue(),
        json: fc.jsonValue(),
      },
      { requiredKeys: [] },
    )
    const body = fc.record(
      {
        policy: fc.oneof(fc.constantFrom('any', 'quorum', 'hedge', 'gather'), fc.jsonValue()),
        jobs: fc.oneof(fc.array(fc.oneof(job, fc.jsonValue())), fc.jsonValue()),
        labels: fc.jsonValue(),
        defaults: fc.jsonValue(),
        n: fc.jsonValue(),
        open: fc.jsonValue(),
      },
      { requiredKeys: [] },
    )

    fc.assert(
      fc.property(fc.oneof(body, fc.jsonValue()), (value) => {
        expect(() => wrong(value)).not.toThrow()
        expect(() => wrong(value, append)).not.toThrow()
      }),
      { numRuns: 500 },
    )
  })

  it('accepts what it gave, so that nothing is lost on the way', () => {
    const job = fc.record({
      kind: fc.constant('sleep'),
      durationMs: fc.integer({ min: 0, max: 2_592_000_000 }),
      priority: fc.integer({ min: -1_000, max: 1_000 }),
    })

    fc.assert(
      fc.property(fc.array(job, { maxLength: 20 }), (jobs) => {
        const { n: _n, hedgeDelayMs: _h, ...first } = parse({ jobs })

        expect(parse(first).jobs).toEqual(jobs)
      }),
    )
  })
})

describe('parseAppend', () => {
  it('gives the jobs with the defaults merged in', () => {
    expect(append({ defaults: { timeoutMs: 3 }, jobs: [SLEEP] })).toEqual([{ timeoutMs: 3, ...SLEEP }])
  })

  it.each([
    ['no jobs', {}, ['/jobs']],
    ['an empty list', { jobs: [] }, ['/jobs']],
    ['a field of a batch', { jobs: [SLEEP], policy: 'any' }, ['/policy']],
    [
      'twins',
      {
        jobs: [
          { ...SLEEP, name: 'a' },
          { ...SLEEP, name: 'a' },
        ],
      },
      ['/jobs/1/name'],
    ],
  ])('refuses %s', (_, body, expected) => {
    expect(pointers(body, append)).toEqual(expected)
  })

  it('leaves default names to the service, which gives the indexes', () => {
    expect(append({ jobs: [SLEEP, { ...SLEEP, name: 'job-0' }] })).toHaveLength(2)
  })

  it('answers too many jobs with an error of its own', () => {
    expect(() => append({ jobs: Array.from({ length: 101 }, () => SLEEP) })).toThrow(BatchTooLargeError)
  })
})

describe('the steps of a check', () => {
  const many = { id: 'acme', limits: { maxBatchJobs: 10_000 } }
  const jobs = (count: number) => Array.from({ length: count }, (_, i) => ({ ...SLEEP, name: `n${i}` }))

  /** How many steps there are, and what they come to. */
  function walk<T>(steps: Generator<undefined, T>): { pauses: number; value: T } {
    for (let pauses = 0; ; pauses++) {
      const { done, value } = steps.next()
      if (done) return { pauses, value }
    }
  }

  it.each([
    [1, 0],
    [JOBS_A_STEP, 0],
    [JOBS_A_STEP + 1, 2],
    [10_000, 2 * (10_000 / JOBS_A_STEP - 1)],
  ])('of %i jobs pause %i times, and come to the same', (count, pauses) => {
    const body = { jobs: jobs(count), defaults: { priority: 3 } }
    const batch = walk(submissionSteps(body, schema, many))
    const append = walk(appendSteps(body, schema, many))

    expect([batch.pauses, append.pauses]).toEqual([pauses, pauses])
    expect(batch.value).toEqual(parseSubmission(body, schema, many))
    expect(append.value).toEqual(batch.value.jobs)
  })

  it('name what is wrong in any of them at once, in order, and what is wrong between them', () => {
    const body: { jobs: object[]; n: number } = { jobs: jobs(1_000), n: 2 }
    for (const index of [0, JOBS_A_STEP, 999]) body.jobs[index] = { ...SLEEP, name: 'twin', durationMs: -1 }

    const found = wrong(body, (each) => walk(submissionSteps(each, schema, many)))

    expect(found.map(({ pointer }) => pointer)).toEqual([
      '/jobs/0/durationMs',
      `/jobs/${JOBS_A_STEP}/durationMs`,
      '/jobs/999/durationMs',
      '/n',
      `/jobs/${JOBS_A_STEP}/name`,
      '/jobs/999/name',
    ])
  })

  it('are none behind the last mistake that is named', () => {
    const body = { jobs: Array.from({ length: 5_000 }, () => ({ kind: 'sleep' })) }
    const steps = submissionSteps(body, schema, many)
    let pauses = 0
    const found = wrong(body, () => {
      while (!steps.next().done) pauses++
    })

    const texts = 5_000 / JOBS_A_STEP - 1
    expect([pauses, found.length]).toEqual([texts + MAX_FIELD_ERRORS / JOBS_A_STEP - 1, MAX_FIELD_ERRORS + 1])
  })

  it('find bad text in whichever step it is, by its place, before what is wrong with the form, and look no further when they have enough', () => {
    const bad = (count: number, from: number) => ({
      jobs: jobs(2_000).map((job, i) =>
        i >= from && i < from + count ? { ...job, name: `a${i}\u0000`, durationMs: -1 } : job,
      ),
    })
    const pointers = (body: object) =>
      wrong(body, (each) => walk(submissionSteps(each, schema, many))).map(({ pointer }) => pointer)

    expect(pointers(bad(2, JOBS_A_STEP - 1))).toEqual([
      `/jobs/${JOBS_A_STEP - 1}/name`,
      `/jobs/${JOBS_A_STEP}/name`,
      `/jobs/${JOBS_A_STEP - 1}/durationMs`,
      `/jobs/${JOBS_A_STEP}/durationMs`,
    ])
    expect(pointers({ ...bad(1, 1_999), name: 'b\u0000' })).toEqual([
      '/name',
      '/jobs/1999/name',
      '/jobs/1999/durationMs',
    ])
    const steps = submissionSteps(bad(1_500, 0), schema, many)
    let pauses = 0
    wrong({}, () => {
      while (!steps.next().done) pauses++
    })
    expect(pauses).toBe(MAX_FIELD_ERRORS / JOBS_A_STEP - 1)
  })

  it('find what is nested too deep in whichever step it is, and have it out of the way', () => {
    const deep = JSON.parse('['.repeat(60) + ']'.repeat(60))
    const body = { jobs: jobs(1_000).map((job, i) => (i === 900 ? { ...job, result: deep, durationMs: -1 } : job)) }
    const found = wrong(body, (each) => walk(submissionSteps(each, schema, many)))

    expect(found).toHaveLength(2)
    expect(found[0].pointer).toMatch(/^\/jobs\/900\/result(\/0)+$/)
    expect(found[1].pointer).toBe('/jobs/900/durationMs')
  })
})

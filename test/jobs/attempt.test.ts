import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type AttemptEnd, failure, runAttempt } from '../../src/jobs/attempt.ts'
import { JobError, type JobKind, StopReason, type StorageBound } from '../../src/jobs/kind.ts'
import { attempt } from './attempt.ts'

/** Run one attempt of a kind that does this. */
function run(work: JobKind['run'], signal = new AbortController().signal): Promise<AttemptEnd> {
  return runAttempt({ name: 'test', spec: z.strictObject({}), run: work }, { kind: 'test' }, attempt({ signal }))
}

function throws(thrown: unknown): JobKind['run'] {
  return () => Promise.reject(thrown)
}

/** A kind that is told to stop while it works, and then does as `work` says. */
function stopped(work: (reason: StopReason) => unknown): Promise<AttemptEnd> {
  const controller = new AbortController()
  const reason = new StopReason('user')
  return run(async () => {
    controller.abort(reason)
    return await work(reason)
  }, controller.signal)
}

describe('runAttempt', () => {
  it.each<[string, unknown, string | null]>([
    ['an object', { a: [1, 'x'] }, '{"a":[1,"x"]}'],
    ['null', null, null],
    ['nothing', undefined, null],
    ['false', false, 'false'],
    ['an empty text', '', '""'],
    ['a function, which JSON leaves out', () => 1, null],
    ['a date', new Date(0), '"1970-01-01T00:00:00.000Z"'],
    ['a number that JSON has not', Number.NaN, 'null'],
  ])('returns %s as JSON', async (_what, value, result) => {
    expect(await run(async () => value)).toEqual({ type: 'returned', result })
  })

  it('fails a job whose result cannot be written as JSON', async () => {
    const cycle: { self?: unknown } = {}
    cycle.self = cycle

    expect(await run(async () => cycle)).toMatchObject({
      type: 'threw',
      facts: { type: 'TypeError', code: 'kind_error' },
    })
    expect(await run(async () => 1n)).toMatchObject({ type: 'threw', facts: { type: 'TypeError', code: 'kind_error' } })
  })

  it('keeps the facts and the result of a JobError', async () => {
    const thrown = new JobError(
      'HttpError',
      'http_status',
      'Answered 503.',
      { status: 503 },
      { status: 503, body: 'x' },
    )

    const end = await run(throws(thrown))

    expect(end).toEqual({
      type: 'threw',
      facts: { type: 'HttpError', code: 'http_status', message: 'Answered 503.' },
      error: '{"type":"HttpError","code":"http_status","message":"Answered 503.","status":503}',
      result: '{"status":503,"body":"x"}',
    })
  })

  it('never starts what was told to stop already', async () => {
    let runs = 0

    expect(await run(async () => ++runs, AbortSignal.abort(new StopReason('user')))).toEqual({ type: 'unwound' })
    expect(runs).toBe(0)
  })

  it.each<[string, (reason: StopReason) => unknown]>([
    ['the reason of its signal', (reason) => reason],
    ['another StopReason', () => new StopReason('deadline')],
    ['the AbortError of a library', () => new DOMException('aborted', 'AbortError')],
    ['an error named AbortError', () => Object.assign(new Error('aborted'), { name: 'AbortError' })],
  ])('has unwound when it was told to stop and throws %s', async (_what, thrown) => {
    expect(await stopped((reason) => Promise.reject(thrown(reason)))).toEqual({ type: 'unwound' })
  })

  it('has failed when it was told to stop and throws an error of its own', async () => {
    expect(await stopped(() => Promise.reject(new RangeError('clean-up')))).toMatchObject({
      type: 'threw',
      facts: { type: 'RangeError', message: 'clean-up' },
    })
  })

  it('has returned when it was told to stop and delivers a value all the same', async () => {
    expect(await stopped(() => 7)).toEqual({ type: 'returned', result: '7' })
  })

  it('has failed when it throws an AbortError that nobody asked for', async () => {
    expect(await run(throws(new DOMException('the peer left', 'AbortError')))).toMatchObject({
      type: 'threw',
      facts: { type: 'AbortError', code: 'kind_error', message: 'the peer left' },
    })
  })

  it('takes a kind that throws before it returns a promise', async () => {
    const work = () => {
      throw new Error('at once')
    }

    expect(await run(work)).toMatchObject({ type: 'threw', facts: { message: 'at once' } })
  })

  it('ends only when the work has, however long ago it was told to stop', async () => {
    const controller = new AbortController()
    const work = Promise.withResolvers<string>()
    const ends: AttemptEnd[] = []
    const ending = run(() => work.promise, controller.signal).then((end) => ends.push(end))

    controller.abort(new StopReason('timeout'))
    await new Promise((resolve) => setImmediate(resolve))
    expect(ends).toEqual([])
    work.resolve('late')
    await ending

    expect(ends).toEqual([{ type: 'returned', result: '"late"' }])
  })
})

describe('failure', () => {
  class QuotaError extends Error {}

  it.each<[string, unknown, { type: string; message: string }]>([
    ['an error', new Error('m'), { type: 'Error', message: 'm' }],
    ['an error of a built-in class', new TypeError('m'), { type: 'TypeError', message: 'm' }],
    ['an error of a class of its own', new QuotaError('m'), { type: 'QuotaError', message: 'm' }],
    ['a text', 'm', { type: 'Error', message: 'm' }],
    ['nothing', undefined, { type: 'Error', message: 'undefined' }],
    ['a long message', new Error('x'.repeat(5_000)), { type: 'Error', message: 'x'.repeat(1_000) }],
  ])('of %s has its type, its code and its message', (_what, thrown, expected) => {
    const facts = { ...expected, code: 'kind_error' }

    expect(failure(thrown)).toEqual({ type: 'threw', facts, error: expect.any(String), result: null })
    const { error } = failure(thrown) as Extract<AttemptEnd, { type: 'threw' }>
    expect(JSON.parse(error)).toEqual(facts)
  })
})

describe('a result that ends when its tenant keeps as many bytes as it may', () => {
  const full = () => ({ stored: 120, limit: 100 })
  const page = { status: 200, body: 'x' }

  const over = (work: JobKind['run'], whenFull?: JobKind['whenFull'], bound: () => StorageBound | null = full) => {
    const kind: JobKind = { name: 'test', spec: z.strictObject({}), run: work, ...(whenFull && { whenFull }) }
    return runAttempt(kind, { kind: 'test' }, attempt({}), bound)
  }

  it('is not kept, and the job fails with the bound', async () => {
    const end = await over(async () => 'a lot')

    const message = 'The tenant keeps 120 bytes, and may keep 100: there was no room for the result.'
    expect(end).toEqual({
      type: 'threw',
      facts: { type: 'StorageError', code: 'response_too_large', message },
      error: JSON.stringify({ type: 'StorageError', code: 'response_too_large', message }),
      result: null,
    })
  })

  it.each([null, undefined])('is kept where it is %s', async (nothing) => {
    expect(await over(async () => nothing)).toEqual({ type: 'returned', result: null })
  })

  it('is kept where its spec has it already', async () => {
    expect(await over(async () => page, 'own')).toEqual({ type: 'returned', result: JSON.stringify(page) })
  })

  it('is kept as far as its kind says', async () => {
    const end = await over(
      async () => page,
      () => ({ status: 200 }),
    )

    expect(end).toMatchObject({ facts: { code: 'response_too_large' }, result: '{"status":200}' })
    expect(
      await over(
        async () => page,
        (result) => result,
      ),
    ).toEqual({ type: 'returned', result: JSON.stringify(page) })
  })

  it('is not kept beside an error either, which stays what it was', async () => {
    const thrown = new JobError('HttpError', 'http_status', 'Answered 503.', { status: 503 }, page)

    expect(await over(throws(thrown), () => ({ status: 503 }))).toMatchObject({
      error: '{"type":"HttpError","code":"http_status","message":"Answered 503.","status":503}',
      result: '{"status":503}',
    })
    expect(await over(throws(thrown), 'own')).toMatchObject({ result: JSON.stringify(page) })
    expect(await over(throws(new Error('plain')))).toMatchObject({ facts: { code: 'kind_error', message: 'plain' } })
  })

  it('is looked at when the work has ended, and not before', async () => {
    let bound: StorageBound | null = full()

    const end = await over(
      async () => {
        bound = null
        return page
      },
      undefined,
      () => bound,
    )

    expect(end).toMatchObject({ type: 'returned' })
  })
})

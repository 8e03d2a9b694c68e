import { describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { BatchTooLargeError, OverloadedError } from '../../src/errors.ts'
import type { JobKind } from '../../src/jobs/kind.ts'
import { ValidationView } from '../../src/schema/validation.ts'
import { FAKE_KINDS, type FakeOptions, startFake } from '../support/fake-parts.ts'

/** A kind whose destinations are judged: what has `evil` in it is refused. */
const JUDGED: JobKind = {
  name: 'call',
  spec: z.strictObject({ to: z.string() }),
  guarded: true,
  hostOf: (spec) => ('to' in spec ? String(spec.to) : undefined),
  objections: ({ to }) =>
    String(to).includes('evil')
      ? [{ field: 'to', detail: 'The destination is not allowed.', code: 'egress_denied' }]
      : [],
  run: async () => null,
}

const SLEEP = { kind: 'sleep', durationMs: 1 }

async function startValidating(options: FakeOptions = {}) {
  const service = await startFake({ kinds: [...FAKE_KINDS, JUDGED], ...options })
  const validate = (body: unknown) =>
    service.http
      .post('/v1/batches/validate')
      .set('content-type', 'application/json')
      .send(typeof body === 'string' ? body : JSON.stringify(body))
  const validated = async (body: unknown) => {
    const { status, body: answer } = await validate(body)
    expect(status).toBe(200)
    return ValidationView.parse(answer)
  }
  return { service, validate, validated, [Symbol.asyncDispose]: () => service[Symbol.asyncDispose]() }
}

describe('POST /v1/batches/validate', () => {
  it('says of a batch that is right what would come of it, and does nothing', async () => {
    await using world = await startValidating()
    const { service } = world
    service.engine.wouldWaitOn = 'tenant-cap'

    const answer = await world.validated({ jobs: [SLEEP, { kind: 'call', name: 'x', to: 'a' }] })

    const right = { valid: true, errors: [], waitingOn: 'tenant-cap' }
    expect(answer).toEqual({
      valid: true,
      errors: [],
      jobs: [
        { index: 0, name: 'job-0', egress: null, ...right },
        { index: 1, name: 'x', egress: 'allowed', ...right },
      ],
      queue: { fits: true, retryAfterS: null },
    })
    expect(service.engine.calls.map(([name]) => name)).toEqual(['forecast'])
  })

  it('asks about the batch as a submission would have it, with its defaults', async () => {
    await using world = await startValidating()

    await world.validated({ policy: 'gather', defaults: { priority: 3 }, jobs: [SLEEP, { ...SLEEP, priority: 1 }] })

    expect(world.service.engine.called('forecast')).toMatchObject([
      ['forecast', 'default', { policy: 'gather', jobs: [{ priority: 3 }, { priority: 1 }] }],
    ])
  })

  it('says when there would be room', async () => {
    await using world = await startValidating()
    world.service.engine.wouldFitAfterS = 7

    expect(await world.validated({ jobs: [SLEEP] })).toMatchObject({
      valid: true,
      queue: { fits: false, retryAfterS: 7 },
    })
  })

  it('puts what is wrong with a job to the job, and the rest to the batch', async () => {
    await using world = await startValidating()
    const body = {
      policy: 'nope',
      timeoutMs: -1,
      jobs: [SLEEP, { kind: 'sleep' }, { kind: 'call', to: 'evil' }, 5, { kind: 'call', to: 'evil', priority: 'high' }],
    }

    const { valid, errors, jobs, queue } = await world.validated(body)

    expect([valid, queue]).toEqual([false, null])
    expect(errors.map(({ pointer }) => pointer).sort()).toEqual(['/policy', '/timeoutMs'])
    expect(jobs.map((job) => [job.valid, job.egress, job.errors.map(({ pointer }) => pointer).sort()])).toEqual([
      [true, null, []],
      [false, null, ['/jobs/1/durationMs']],
      [false, 'denied', ['/jobs/2/to']],
      [false, null, ['/jobs/3']],
      [false, 'denied', ['/jobs/4/priority', '/jobs/4/to']],
    ])
    expect(jobs[2]?.errors[0]?.code).toBe('egress_denied')
    expect(world.service.engine.calls).toEqual([])
  })

  it('leaves the verdict open for a job that has another mistake', async () => {
    await using world = await startValidating()

    const { jobs } = await world.validated({ jobs: [{ kind: 'call', to: 5 }, { kind: 'call' }] })

    expect(jobs.map(({ egress }) => egress)).toEqual([null, null])
  })

  it('judges nothing of a kind whose sockets the guard does not see, however much it says of itself', async () => {
    const { guarded: _, ...unjudged } = JUDGED
    await using world = await startValidating({ kinds: [unjudged] })

    const { jobs } = await world.validated({
      jobs: [
        { kind: 'call', to: 'a' },
        { kind: 'call', to: 'evil' },
      ],
    })

    expect(jobs.map(({ valid, egress }) => [valid, egress])).toEqual([
      [true, null],
      [false, 'denied'],
    ])
  })

  it('judges nothing of a kind that does not say where it may go', async () => {
    const { objections: _, guarded: __, ...unjudged } = JUDGED
    await using world = await startValidating({ kinds: [unjudged] })

    const { jobs } = await world.validated({ jobs: [{ kind: 'call', to: 'evil' }] })

    expect(jobs).toMatchObject([{ valid: true, egress: null }])
  })

  it('points at the same fields, with the same words, as the refusal of a submission', async () => {
    await using world = await startValidating()
    const body = {
      n: 1,
      jobs: [
        { kind: 'sleep', name: 'a' },
        { ...SLEEP, name: 'a', more: 1 },
        { kind: 'call', to: 'evil' },
        { kind: 'x' },
      ],
    }

    const { errors, jobs } = await world.validated(body)
    const refused = await world.service.http.post('/v1/batches').send(body).expect(422)

    const all = [...errors, ...jobs.flatMap((job) => job.errors)]
    const byPointer = (a: { pointer: string }, b: { pointer: string }) => a.pointer.localeCompare(b.pointer)
    expect(all.sort(byPointer)).toEqual(refused.body.errors.sort(byPointer))
  })

  it.each([[null], [[]], ['"text"'], ['5'], [{}], [{ jobs: {} }], [{ jobs: null }]])(
    'answers %j, which is no batch',
    async (body) => {
      await using world = await startValidating()

      const { valid, errors, jobs } = await world.validated(body)

      expect([valid, errors.length, jobs]).toEqual([false, 1, []])
    },
  )

  it.each<[string, unknown]>([
    ['too long', 'n'.repeat(201)],
    ['no text', { n: 1 }],
  ])('calls a job by its place when its name is %s', async (_, name) => {
    await using world = await startValidating()

    const { jobs } = await world.validated({ jobs: [{ ...SLEEP, name }] })

    expect(jobs[0]).toMatchObject({ name: 'job-0', valid: false, errors: [{ pointer: '/jobs/0/name' }] })
  })

  it('cuts what it names as a submission does, and then shows only jobs that are wrong', async () => {
    await using world = await startValidating()
    const wrong = Array.from({ length: 1_500 }, () => ({ kind: 'sleep', durationMs: -1 }))

    const { errors, jobs } = await world.validated({ jobs: [SLEEP, ...wrong, SLEEP] })

    expect(errors).toEqual([{ pointer: '', detail: expect.stringContaining('Only the first 1000') }])
    expect(jobs).toHaveLength(1_000)
    expect([jobs[0]?.index, jobs.every(({ valid }) => !valid)]).toEqual([1, true])
  })

  it('shows every job while all mistakes are named', async () => {
    await using world = await startValidating()
    const wrong = Array.from({ length: 999 }, () => ({ kind: 'sleep', durationMs: -1 }))

    const { errors, jobs } = await world.validated({ jobs: [SLEEP, ...wrong, SLEEP] })

    expect([errors, jobs.length, jobs.at(-1)?.valid]).toEqual([[], 1_001, true])
  })

  it.each<[string, unknown, number, string]>([
    ['no body', '', 400, 'malformed_json'],
    ['no JSON', '{', 400, 'malformed_json'],
    ['poison', '{"__proto__": 1}', 400, 'malformed_json'],
    ['more jobs than a batch may have', { jobs: Array(6).fill(SLEEP) }, 413, 'batch_too_large'],
    ['more bytes than a request may have', { jobs: [{ ...SLEEP, name: 'x'.repeat(5_000) }] }, 413, 'body_too_large'],
  ])('refuses %s as a submission is refused', async (_, body, status, code) => {
    await using world = await startValidating({ env: { GATHERD_BODY_LIMIT_BYTES: '4096' } })
    world.service.engine.limits.maxBatchJobs = 5

    const answer = await world.validate(body)

    expect([answer.status, answer.body.code]).toEqual([status, code])
  })

  it('refuses what the engine refuses', async () => {
    await using world = await startValidating()
    const { engine } = world.service
    const answers: unknown[] = []
    for (const error of [new BatchTooLargeError(1, 'x'), new OverloadedError()]) {
      engine.failNext = error
      const { status, body } = await world.validate({ jobs: [SLEEP] })
      answers.push([status, body.code])
    }
    engine.accepting = false
    const { status, body } = await world.validate({ jobs: [SLEEP] })

    expect([...answers, [status, body.code]]).toEqual([
      [413, 'batch_too_large'],
      [503, 'overloaded'],
      [503, 'shutting_down'],
    ])
  })

  it('needs a key for jobs, takes no query, and is no batch', async () => {
    await using world = await startValidating()
    const { service } = world

    await service.anybody.post('/v1/batches/validate').send({ jobs: [] }).expect(401)
    await service.admin.post('/v1/batches/validate').send({ jobs: [] }).expect(403)
    await service.http.post('/v1/batches/validate?dry=1').send({ jobs: [] }).expect(422)
    await service.http.get('/v1/batches/validate').expect(404)
    await service.http.put('/v1/batches/validate').expect(405)
  })

  it('is shed while the service has too much to do', async () => {
    await using world = await startValidating({ env: { GATHERD_MAX_HEAP_BYTES: '1' } })

    const shed = async () => {
      const answer = await world.validate({ jobs: [] })
      return answer.status === 503 && answer
    }
    // The heap is looked at about once a second.
    const { status, body } = await vi.waitUntil(shed, { timeout: 8_000 })

    expect([status, body.code]).toEqual([503, 'overloaded'])
    expect(world.service.engine.called('submit')).toEqual([])
  })
})

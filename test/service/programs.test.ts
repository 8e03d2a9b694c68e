import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Caller, startService, type TestService } from '../support/service.ts'
import { KINDS } from './kinds.ts'

/** A job of a program; `path` is what its origin does, `end` how a job that is deaf to its abort ends. */
const job = fc.record({
  what: fc.oneof(
    fc.record({ kind: fc.constant('sleep' as const), durationMs: fc.nat(15) }),
    fc.record({
      kind: fc.constant('fetch' as const),
      path: fc.constantFrom('/ok', '/ok?ms=8', '/fail', '/hang', '/reset', '/half', '/drip?chunks=3&everyMs=4'),
    }),
    fc.record({
      kind: fc.constant('stubborn' as const),
      path: fc.constantFrom('/ok?ms=1', '/ok?ms=10', '/ok?ms=25'),
      end: fc.constantFrom('value', 'error', 'abort'),
    }),
  ),
  timeoutMs: fc.oneof(fc.constantFrom(30, 60), fc.nat(40)),
  more: fc.record(
    {
      deadlineMs: fc.nat(60),
      queueTimeoutMs: fc.nat(40),
      delayMs: fc.nat(20),
      priority: fc.integer({ min: -2, max: 2 }),
      shield: fc.constant(true),
    },
    { requiredKeys: [] },
  ),
})
type Job = typeof job extends fc.Arbitrary<infer T> ? T : never

const policy = fc.constantFrom('all_settled', 'gather', 'task_group', 'any', 'race', 'quorum', 'hedge')
const batch = fc.record({
  policy,
  jobs: fc.array(job, { minLength: 1, maxLength: 8 }),
  more: fc.record(
    { timeoutMs: fc.integer({ min: 5, max: 80 }), maxConcurrency: fc.integer({ min: 1, max: 3 }), open: fc.boolean() },
    { requiredKeys: [] },
  ),
})
type Batch = typeof batch extends fc.Arbitrary<infer T> ? T : never

const command = fc.record({
  what: fc.constantFrom('cancel', 'cancelJob', 'stop', 'close', 'append', 'reschedule', 'wait', 'read', 'stream'),
  batch: fc.nat(3),
  job: fc.nat(8),
  jobs: fc.array(job, { minLength: 1, maxLength: 3 }),
  ms: fc.nat(20),
})
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never

const program = fc.record({
  batches: fc.array(batch, { minLength: 1, maxLength: 4 }),
  commands: fc.array(command, { maxLength: 12 }),
})

function jobOf(service: TestService, { what, timeoutMs, more }: Job): Record<string, unknown> {
  if (what.kind === 'sleep') return { ...what, timeoutMs, ...more }
  const { path, ...rest } = what
  return { ...rest, url: service.origin.url(path), timeoutMs, ...more }
}

function submissionOf(service: TestService, { policy, jobs, more }: Batch) {
  return {
    policy,
    ...(policy === 'quorum' && { n: Math.ceil(jobs.length / 2) }),
    ...(policy === 'hedge' && { hedgeDelayMs: jobs.length }),
    ...more,
    jobs: jobs.map((each) => jobOf(service, each)),
  }
}

/** Do what the program says; every answer must be one that is foreseen. */
async function obey(service: TestService, me: Caller, id: string, { what, job, jobs, ms }: Command): Promise<void> {
  const { http } = me
  const statuses: Record<string, () => Promise<{ status: number }>> = {
    cancel: () => http.post(`/v1/batches/${id}/cancel`).send({ reason: `after ${ms}` }),
    cancelJob: () => http.post(`/v1/jobs/${id}-${job}/cancel`),
    stop: () => http.post(`/v1/batches/${id}/stop`),
    close: () => http.post(`/v1/batches/${id}/close`),
    append: async () => {
      const added = jobs.map((each) => jobOf(service, each))
      const response = await http.post(`/v1/batches/${id}/jobs`).send({ jobs: added })
      if (response.status === 201) me.note(id, response.body.data[0].index, added)
      return response
    },
    reschedule: () => http.patch(`/v1/jobs/${id}-${job}`).send({ timeoutMs: ms, deadlineMs: 3 * ms, priority: ms % 3 }),
    wait: () => http.get(`/v1/batches/${id}/wait`).query({ timeoutMs: ms, returnWhen: 'FIRST_EXCEPTION' }),
    read: () => http.get(`/v1/batches/${id}`).query({ include: 'jobs' }),
    stream: async () => {
      await using stream = await me.stream(id, { format: ms % 2 === 0 ? 'sse' : 'ndjson', after: ms % 4 })
      await stream.take(job)
      return { status: stream.status ?? 0 }
    },
  }
  const { status } = (await statuses[what]?.()) ?? { status: 0 }
  expect([200, 201, 202, 204, 404, 409]).toContain(status)
}

describe('a random program of batches and commands', () => {
  it('leaves logs, views, caps and usage as the specification has them', async () => {
    await using service = await startService({
      kinds: KINDS,
      maxConcurrency: 6,
      hostConcurrency: 4,
      tenants: { a: { maxConcurrency: 3 }, b: { maxConcurrency: 5, weight: 2 } },
    })

    await fc.assert(
      fc.asyncProperty(program, async ({ batches, commands }) => {
        const runs = await Promise.all(
          batches.map(async (each, i) => {
            const me = service.as(i % 2 === 0 ? 'a' : 'b')
            return { me, id: (await me.submit(submissionOf(service, each))).id }
          }),
        )
        await Promise.all(
          commands.map(async (each) => {
            const { me, id } = runs[each.batch % runs.length] ?? runs[0] ?? { me: service.me, id: '' }
            await obey(service, me, id, each)
          }),
        )
        for (const { me, id } of runs) await me.ended(id)
        for (const name of ['a', 'b'])
          expect((await service.as(name).http.get('/v1/tenant')).body.usage).toEqual({
            queued: 0,
            running: 0,
            cancelling: 0,
            stuck: 0,
            batches: 0,
            storedBytes: expect.any(Number),
          })
      }),
      { numRuns: 40, interruptAfterTimeLimit: 20_000 },
    )
  }, 40_000)
})

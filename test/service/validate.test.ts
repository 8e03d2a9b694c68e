import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Caller, forever, startService } from '../support/service.ts'

async function validate(caller: Caller, body: object) {
  return await caller.http.post('/v1/batches/validate').send(body)
}

const verdicts = (jobs: { egress: string; waitingOn: string }[]) =>
  jobs.map(({ egress, waitingOn }) => [egress, waitingOn])

const NO_USE = { queued: 0, running: 0, cancelling: 0, stuck: 0, batches: 0, storedBytes: 0 }

describe('a dry run', () => {
  it('leaves nothing behind: no batch, no job, no event, no connection', async () => {
    await using service = await startService()
    const { me } = service

    const { status, body } = await validate(me, { labels: { a: 'b' }, jobs: [service.fetch('/ok'), forever()] })

    expect([status, body.valid]).toEqual([200, true])
    expect((await me.http.get('/v1/batches')).body.data).toEqual([])
    expect((await me.http.get('/v1/tenant')).body.usage).toEqual(NO_USE)
    await me.run({ jobs: [service.fetch('/fail')] })
    expect(service.origin.hitsOf('/ok')).toBe(0)
  })

  it('says where fetches may go, without resolving a name', async () => {
    await using service = await startService({ tenants: { t: { egress: { denyHosts: ['*.example.org'] } } } })
    const urls = [
      service.origin.url('/ok'),
      'http://no-such-host.invalid/',
      'http://10.0.0.1/',
      'http://169.254.169.254/latest/meta-data',
      'https://www.example.org/',
      'nonsense',
    ]

    const { body } = await validate(service.as('t'), { jobs: urls.map((url) => ({ kind: 'fetch', url })) })

    expect(verdicts(body.jobs).map(([egress]) => egress)).toEqual([
      'allowed',
      'allowed',
      'denied',
      'denied',
      'denied',
      null,
    ])
    expect(JSON.stringify(body)).not.toMatch(/"detail":"[^"]*(10\.0\.0\.1|169\.254|example)/)
  })

  it('says what would hold jobs back, as they say it themselves once they are submitted', async () => {
    await using service = await startService({ hostConcurrency: 2, tenants: { t: { maxConcurrency: 4 } } })
    const t = service.as('t')
    const running = await t.submit({ jobs: [service.fetch('/hold/a')] })
    await t.seen(running.id, 'job.started')
    const batch = {
      maxConcurrency: 2,
      jobs: [service.fetch('/hold/b'), service.fetch('/hold/c'), forever(), forever(), forever({ delayMs: 60_000 })],
    }

    const { body } = await validate(t, batch)
    const { id } = await t.submit(batch)
    await Promise.all([t.seen(id, 'job.started', 0), t.seen(id, 'job.started', 2)])
    const jobs = await Promise.all(batch.jobs.map((_, i) => t.job(`${id}-${i}`)))

    expect(verdicts(body.jobs).map(([, waitingOn]) => waitingOn)).toEqual([
      null,
      'batch-limit',
      null,
      'batch-limit',
      'delay',
    ])
    expect(jobs.map(({ waitingOn }) => waitingOn)).toEqual(body.jobs.map((job: { waitingOn: string }) => job.waitingOn))
  })

  it('says that the queue is full, and when it may not be, as a submission is told', async () => {
    await using service = await startService({ tenants: { t: { maxQueuedJobs: 2, maxConcurrency: 1 } } })
    const t = service.as('t')
    const { id } = await t.submit({ jobs: [forever()] })
    await t.seen(id, 'job.started')
    await t.submit({ jobs: [forever(), forever()] })

    const { body } = await validate(t, { jobs: [forever()] })
    const refused = await t.http.post('/v1/batches').send({ jobs: [forever()] })
    const never = await validate(t, { jobs: [forever(), forever(), forever()] })

    expect([body.valid, body.queue.fits, body.jobs[0].waitingOn]).toEqual([true, false, 'tenant-cap'])
    expect(refused.status).toBe(429)
    expect(Math.abs(body.queue.retryAfterS - Number(refused.headers['retry-after']))).toBeLessThanOrEqual(1)
    expect([never.status, never.body.code]).toEqual([413, 'batch_too_large'])
  })

  it('calls valid what a submission accepts, and nothing else', async () => {
    await using service = await startService({
      tenants: { t: { paused: true, maxBatchJobs: 4, maxQueuedJobs: 1_000_000 } },
    })
    const t = service.as('t')
    const job = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('sleep'), durationMs: fc.constantFrom(0, 1, 5) }) },
      fc.record(
        {
          kind: fc.constantFrom('fetch', 'fetch', 'sleep', 'nope'),
          url: fc.constantFrom('http://127.0.0.1/', 'http://10.0.0.1/', 'ftp://x', 'https://a.example/', 5),
          name: fc.constantFrom('a', 'b', 'job-0', '', 'x'.repeat(201), 'nul\0'),
          delayMs: fc.constantFrom(0, 60_000, -1, 1.5),
          timeoutMs: fc.constantFrom(null, 0, 5),
          body: fc.constant('text'),
          method: fc.constantFrom('GET', 'POST'),
        },
        { requiredKeys: ['kind'] },
      ),
    )
    const body = fc.record(
      {
        jobs: fc.array(job, { maxLength: 5 }),
        policy: fc.constantFrom('all_settled', 'any', 'quorum', 'hedge', 'task_group', 'none'),
        n: fc.constantFrom(1, 2, 9, '1'),
        hedgeDelayMs: fc.constantFrom(5, -5),
        open: fc.boolean(),
        defaults: fc.constantFrom({}, { timeoutMs: 5 }, { name: 'x' }, null),
        labels: fc.constantFrom({}, { a: 'b' }, { '': 'b' }),
        more: fc.constant(1),
      },
      { requiredKeys: ['jobs'] },
    )
    t.tracksAll = false

    await fc.assert(
      fc.asyncProperty(body, async (submission) => {
        const dry = await validate(t, submission)
        const wet = await t.http.post('/v1/batches').send(submission)

        // 200 and valid: 202; 200 and not valid: 422; else the same problem.
        const expected = dry.status === 200 ? (dry.body.valid ? 202 : 422) : dry.status
        expect([wet.status, dry.status === 200 || dry.body.code === wet.body.code]).toEqual([expected, true])
        if (wet.status === 202) expect(dry.body.queue).toEqual({ fits: true, retryAfterS: null })
      }),
      { numRuns: 150 },
    )
    await service.admin.patch('/v1/admin/tenants/t').send({ paused: false }).expect(200)
  }, 60_000)
})

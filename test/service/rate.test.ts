import { describe, expect, it } from 'vitest'
import { sleepFor, startService } from '../support/service.ts'

const range = (length: number) => Array.from({ length }, (_, i) => i)

describe('the rate of a tenant', () => {
  it('holds between its starts, and a job that waits for it says so', async () => {
    await using service = await startService({ tenants: { slow: { rate: { jobsPerSecond: 20 } } } })
    const slow = service.as('slow')
    const { id } = await slow.submit({ jobs: range(30).map(() => sleepFor(0)) })
    const { waitingOn } = await slow.job(`${id}-29`)
    const { jobs } = await slow.drained(id)

    const starts = jobs.map(({ startedAt }) => Date.parse(String(startedAt))).sort((a, b) => a - b)
    expect(waitingOn).toBe('rate')
    // Stamps are cut to the millisecond, so a stretch may look shorter by one.
    for (const [i, from] of starts.entries())
      for (const [j, to] of starts.entries())
        if (j >= i) expect(j - i + 1).toBeLessThanOrEqual(20 + ((to - from + 1) * 20) / 1_000)
  }, 20_000)

  it('is shown to the tenant and the operator, and a change acts at once on what waits', async () => {
    await using service = await startService({ jobsPerSecond: 0.001, tenants: { t: {} } })
    const t = service.as('t')
    const { id } = await t.submit({ jobs: [sleepFor(0)] })

    expect((await t.http.get('/v1/tenant')).body.limits.rate).toEqual({ jobsPerSecond: 0.001, requestsPerMinute: null })
    expect((await t.job(`${id}-0`)).waitingOn).toBe('rate')
    const rate = { jobsPerSecond: 1_000, requestsPerMinute: 10_000 }
    const { body } = await service.admin.patch('/v1/admin/tenants/t').send({ rate })

    expect([body.rate, body.limits.rate]).toEqual([rate, rate])
    expect((await t.drained(id)).batch.counts.succeeded).toBe(1)
  })

  it('of requests is told in answers, and over it is 429', async () => {
    await using service = await startService({ tenants: { t: {} } })
    const t = service.as('t')
    await service.configure('t', { rate: { requestsPerMinute: 2 } })
    const answers = [await t.http.get('/v1/tenant'), await t.http.get('/v1/tenant'), await t.http.get('/v1/tenant')]
    await service.configure('t', {})

    expect(answers.map(({ status }) => status)).toEqual([200, 200, 429])
    expect(answers[2].headers).toMatchObject({
      'retry-after': '30',
      ratelimit: expect.stringContaining('"requests";r=0;t=30'),
    })
  })
})

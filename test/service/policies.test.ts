import { describe, expect, it } from 'vitest'
import { forever, sleepFor, startService } from '../support/service.ts'

const states = (jobs: { state: string }[]) => jobs.map(({ state }) => state)

describe('policy all_settled', () => {
  it('is the default, and succeeds with an entry per job even when every job failed', async () => {
    await using service = await startService()

    const { batch, jobs } = await service.me.run({ jobs: [service.fetch('/fail'), service.fetch('/fail')] })

    expect(batch).toMatchObject({ policy: 'all_settled', state: 'succeeded', error: null, winner: null })
    expect(jobs.map(({ state, error }) => [state, error?.code])).toEqual([
      ['failed', 'http_status'],
      ['failed', 'http_status'],
    ])
  })

  it('lets every job end, whatever the others do', async () => {
    await using service = await startService()

    const { batch, jobs } = await service.me.run({
      jobs: [sleepFor(20, { result: 'a' }), forever({ timeoutMs: 1 }), service.fetch('/fail'), sleepFor(0)],
    })

    expect(batch.state).toBe('succeeded')
    expect(states(jobs)).toEqual(['succeeded', 'timed_out', 'failed', 'succeeded'])
  })

  it('succeeds at once without jobs', async () => {
    await using service = await startService()

    const { batch, events } = await service.me.run({ jobs: [] })

    expect([batch.state, batch.counts.total]).toEqual(['succeeded', 0])
    expect(events.map(({ type }) => type)).toEqual(['batch.accepted', 'batch.settled', 'batch.drained'])
  })
})

describe('policy gather', () => {
  it('succeeds when every job has', async () => {
    await using service = await startService()

    const { batch } = await service.me.run({ policy: 'gather', jobs: [sleepFor(5), sleepFor(0)] })

    expect(batch).toMatchObject({ state: 'succeeded', error: null })
  })

  it('settles with the first error in time, and its siblings go on', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({
      policy: 'gather',
      jobs: [service.fetch('/hold/a'), service.fetch('/fail'), service.fetch('/hold/b')],
    })
    await service.me.seen(id, 'batch.settled')
    const settled = await service.me.batch(id)

    service.origin.release('/hold/a')
    service.origin.release('/hold/b')
    const { batch, jobs } = await service.me.drained(id)

    expect(settled).toMatchObject({ state: 'failed', drainedAt: null, counts: { running: 2, failed: 1 } })
    expect(settled.error).toMatchObject({ type: 'HTTPStatusError', code: 'http_status', index: 1, jobId: `${id}-1` })
    expect(states(jobs)).toEqual(['succeeded', 'failed', 'succeeded'])
    expect(batch).toMatchObject({ state: 'failed', settledAt: settled.settledAt, error: settled.error })
  })

  it('starts queued siblings even after it has failed', async () => {
    await using service = await startService()

    const { batch, jobs } = await service.me.run({
      policy: 'gather',
      maxConcurrency: 1,
      jobs: [service.fetch('/fail'), sleepFor(0, { result: 1 })],
    })

    expect([batch.state, jobs[1]?.result]).toEqual(['failed', 1])
  })

  it('takes a job that was cancelled by itself as an error, and its siblings go on', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ policy: 'gather', jobs: [forever(), service.fetch('/hold/a')] })

    await service.me.cancelJob(`${id}-0`)
    const { state } = await service.me.seen(id, 'batch.settled')
    service.origin.release('/hold/a')
    const { batch, jobs } = await service.me.drained(id)

    expect(state).toBe('failed')
    expect(batch.error).toMatchObject({ type: 'CancelledError', code: 'cancelled', index: 0 })
    expect(states(jobs)).toEqual(['cancelled', 'succeeded'])
  })

  it('leaves the survivors alone when it is cancelled after it has failed', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({
      policy: 'gather',
      jobs: [service.fetch('/fail'), service.fetch('/hold/a')],
    })
    await service.me.seen(id, 'batch.settled')

    const answer = await service.me.cancel(id, { reason: 'too late' })
    service.origin.release('/hold/a')
    const { batch, jobs } = await service.me.drained(id)

    expect(answer).toEqual({ status: 200, cancelled: false })
    expect([batch.state, batch.cancel, jobs[1]?.state]).toEqual(['failed', null, 'succeeded'])
  })

  it('cancels its jobs and settles after the last of them when it is cancelled before', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ policy: 'gather', jobs: [forever(), forever()] })

    await service.me.cancel(id)
    const { batch, jobs } = await service.me.drained(id)

    expect([batch.state, ...states(jobs)]).toEqual(['cancelled', 'cancelled', 'cancelled'])
  })

  it('succeeds at once without jobs', async () => {
    await using service = await startService()

    expect((await service.me.run({ policy: 'gather', jobs: [] })).batch.state).toBe('succeeded')
  })
})

describe('policy task_group', () => {
  it('cancels and awaits the rest at the first failure, and fails with an ExceptionGroup', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ policy: 'task_group', jobs: [forever()] })
    const { id: second } = await service.me.submit({
      policy: 'task_group',
      maxConcurrency: 2,
      jobs: [service.fetch('/hang'), service.fetch('/reset'), forever()],
    })

    const { batch, jobs, events } = await service.me.drained(second)

    await service.origin.whenClosed('/hang', service.origin.hitsOf('/hang'))
    expect(batch).toMatchObject({ state: 'failed', error: { type: 'ExceptionGroup', code: 'exception_group' } })
    expect(batch.error?.errors).toMatchObject([{ index: 1, jobId: `${second}-1`, type: 'FetchError' }])
    expect(states(jobs)).toEqual(['cancelled', 'failed', 'cancelled'])
    expect(jobs[0]?.cause).toBe('sibling_failed')
    expect(jobs[2]).toMatchObject({ cause: 'sibling_failed', startedAt: null })
    expect(events.find(({ type }) => type === 'batch.aborting')).toMatchObject({
      cause: 'sibling_failed',
      decidedBy: { index: 1, jobId: `${second}-1` },
    })
    expect((await service.me.batch(id)).state).toBe('running')
  })

  it('goes on when a job is cancelled by itself, and succeeds if nothing fails', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ policy: 'task_group', jobs: [forever(), service.fetch('/hold/a')] })
    await service.me.cancelJob(`${id}-0`)
    await service.me.seen(id, 'job.cancelled', 0)

    service.origin.release('/hold/a')
    const { batch, jobs } = await service.me.drained(id)

    expect([batch.state, ...states(jobs)]).toEqual(['succeeded', 'cancelled', 'succeeded'])
  })

  it('lists the errors in completion order and never a cancellation', async () => {
    await using service = await startService()

    // Neither job can start another turn before both timers are due: job 2 ends first, and job 0 is unwinding by then.
    const { batch } = await service.me.run({
      policy: 'task_group',
      jobs: [forever({ timeoutMs: 300 }), forever(), forever({ timeoutMs: 1 }), forever({ deadlineMs: 0 })],
    })

    const indexes = batch.error?.errors?.map(({ index }) => index) ?? []
    expect(indexes[0]).toBe(3)
    expect(indexes).not.toContain(1)
    expect(batch.error?.errors?.every(({ type }) => type === 'TimeoutError')).toBe(true)
  })

  it('counts a timed out job as a failure', async () => {
    await using service = await startService()

    const { batch, jobs } = await service.me.run({ policy: 'task_group', jobs: [forever({ timeoutMs: 2 }), forever()] })

    expect(batch.error).toMatchObject({ type: 'ExceptionGroup', errors: [{ index: 0, code: 'timeout' }] })
    expect(states(jobs)).toEqual(['timed_out', 'cancelled'])
  })

  it('succeeds at once without jobs', async () => {
    await using service = await startService()

    expect((await service.me.run({ policy: 'task_group', jobs: [] })).batch.state).toBe('succeeded')
  })
})

describe('policy any', () => {
  it('takes the first success, passes over failures, and cancels the rest', async () => {
    await using service = await startService()

    const { id } = await service.me.submit({
      policy: 'any',
      jobs: [service.fetch('/fail'), service.fetch('/hang'), service.fetch('/hold/a')],
    })
    await service.me.seen(id, 'job.failed', 0)
    await service.origin.whenHit('/hang')
    service.origin.release('/hold/a')
    const { batch, jobs } = await service.me.drained(id)

    expect(batch).toMatchObject({ state: 'succeeded', error: null, winner: { index: 2, jobId: jobs[2]?.id } })
    expect(states(jobs)).toEqual(['failed', 'cancelled', 'succeeded'])
    expect([jobs[1]?.cause, jobs[2]?.result.body]).toEqual(['decided', 'ok'])
    await service.origin.whenClosed('/hang')
  })

  it('fails with every error when no success is possible any more', async () => {
    await using service = await startService()

    const { batch } = await service.me.run({
      policy: 'any',
      maxConcurrency: 1,
      jobs: [service.fetch('/fail'), forever({ timeoutMs: 1 }), service.fetch('/reset')],
    })

    expect(batch).toMatchObject({ state: 'failed', winner: null, error: { type: 'ExceptionGroup' } })
    expect(batch.error?.errors?.map(({ index, code }) => [index, code])).toEqual([
      [0, 'http_status'],
      [1, 'timeout'],
      [2, 'connection_lost'],
    ])
  })

  it('fails with an empty group when every job was cancelled', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ policy: 'any', jobs: [forever(), forever()] })

    await service.me.cancelJob(`${id}-0`)
    await service.me.cancelJob(`${id}-1`)
    const { batch } = await service.me.drained(id)

    expect(batch).toMatchObject({ state: 'failed', error: { type: 'ExceptionGroup', errors: [] } })
  })
})

describe('policy race', () => {
  it('takes the first end when it is a success', async () => {
    await using service = await startService()

    const { batch, jobs } = await service.me.run({ policy: 'race', jobs: [forever(), sleepFor(1), forever()] })

    expect(batch).toMatchObject({ state: 'succeeded', winner: { index: 1 } })
    expect(states(jobs)).toEqual(['cancelled', 'succeeded', 'cancelled'])
  })

  it('takes the first end when it is a failure', async () => {
    await using service = await startService()

    const { batch, jobs } = await service.me.run({ policy: 'race', jobs: [forever(), service.fetch('/fail')] })

    expect(batch).toMatchObject({ state: 'failed', winner: { index: 1 } })
    expect(batch.error).toMatchObject({ type: 'HTTPStatusError', code: 'http_status', index: 1 })
    expect(jobs[0]?.cause).toBe('decided')
  })

  it('fails with a CancelledError when the first end is a cancelled job', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ policy: 'race', jobs: [forever(), forever()] })

    await service.me.cancelJob(`${id}-1`, { reason: 'not this one' })
    const { batch } = await service.me.drained(id)

    expect(batch).toMatchObject({ state: 'failed', winner: { index: 1 }, error: { type: 'CancelledError', index: 1 } })
  })
})

describe('policy quorum', () => {
  it('is decided by the n-th success, and cancels the rest', async () => {
    await using service = await startService()

    const { id } = await service.me.submit({
      policy: 'quorum',
      n: 2,
      jobs: [service.fetch('/hang'), sleepFor(1), service.fetch('/fail'), service.fetch('/hold/a')],
    })
    await service.me.seen(id, 'job.failed', 2)
    await service.me.seen(id, 'job.succeeded', 1)
    service.origin.release('/hold/a')
    const { batch, jobs } = await service.me.drained(id)

    expect(batch).toMatchObject({ state: 'succeeded', n: 2 })
    expect(states(jobs)).toEqual(['cancelled', 'succeeded', 'failed', 'succeeded'])
  })

  it('fails with every error as soon as n successes are impossible', async () => {
    await using service = await startService()

    const { batch, jobs } = await service.me.run({
      policy: 'quorum',
      n: 2,
      jobs: [service.fetch('/fail'), service.fetch('/hang'), service.fetch('/fail/2')],
    })

    expect(batch).toMatchObject({ state: 'failed', error: { type: 'ExceptionGroup' } })
    expect(batch.error?.errors?.length).toBe(2)
    expect(jobs[1]).toMatchObject({ state: 'cancelled', cause: 'decided' })
  })

  it('takes all jobs when n is their number', async () => {
    await using service = await startService()

    const { batch } = await service.me.run({ policy: 'quorum', n: 3, jobs: [sleepFor(0), sleepFor(1), sleepFor(2)] })

    expect([batch.state, batch.counts.succeeded]).toEqual(['succeeded', 3])
  })
})

describe('policy hedge', () => {
  it('starts the next job after the delay, in input order, and takes the first success', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({
      policy: 'hedge',
      hedgeDelayMs: 20,
      jobs: ['a', 'b', 'c'].map((name) => service.fetch(`/hold/${name}`)),
    })
    await service.origin.whenHit('/hold/c')

    service.origin.release('/hold/b')
    const { batch, jobs } = await service.me.drained(id)

    expect(service.origin.hits.map(({ path }) => path)).toEqual(['/hold/a', '/hold/b', '/hold/c'])
    const [a, b, c] = jobs.map(({ startedAt }) => Date.parse(startedAt ?? ''))
    expect([Number(b) - Number(a) >= 20, Number(c) - Number(b) >= 20]).toEqual([true, true])
    expect(batch).toMatchObject({ state: 'succeeded', winner: { index: 1 } })
    expect(states(jobs)).toEqual(['cancelled', 'succeeded', 'cancelled'])
  })

  it('never asks the second when the first answers in time', async () => {
    await using service = await startService()

    const { batch, jobs } = await service.me.run({
      policy: 'hedge',
      hedgeDelayMs: 60_000,
      jobs: [service.fetch('/ok'), service.fetch('/ok/second')],
    })

    expect([batch.state, batch.winner?.index]).toEqual(['succeeded', 0])
    expect(jobs[1]).toMatchObject({ state: 'cancelled', cause: 'decided', startedAt: null })
    expect(service.origin.hitsOf('/ok/second')).toBe(0)
  })

  it('starts the next at once when one fails, and fails with every error in the end', async () => {
    await using service = await startService()

    const { batch, jobs } = await service.me.run({
      policy: 'hedge',
      hedgeDelayMs: 3_600_000,
      jobs: [service.fetch('/fail'), service.fetch('/reset'), forever({ timeoutMs: 1 })],
    })

    expect(states(jobs)).toEqual(['failed', 'failed', 'timed_out'])
    expect(batch.error?.errors?.map(({ index }) => index)).toEqual([0, 1, 2])
  })

  it('with a delay of 0 starts all of them', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({
      policy: 'hedge',
      hedgeDelayMs: 0,
      jobs: [1, 2, 3].map((n) => service.fetch(`/hold/${n}`)),
    })

    for (const n of [1, 2, 3]) await service.origin.whenHit(`/hold/${n}`)
    service.origin.release('/hold/3')

    expect((await service.me.drained(id)).batch.winner?.index).toBe(2)
  })
})

describe('the results', () => {
  it('are in input order for every policy and every read', async () => {
    await using service = await startService()
    const jobs = Array.from({ length: 12 }, (_, i) => sleepFor(12 - i, { result: i }))

    for (const policy of ['all_settled', 'gather', 'task_group']) {
      const { jobs: read, batch } = await service.me.run({ policy, jobs })
      const { body: page } = await service.me.http.get(`/v1/batches/${batch.id}/jobs`)

      expect(read.map(({ result }) => result)).toEqual(jobs.map((_, i) => i))
      expect(page.data.map(({ index }: { index: number }) => index)).toEqual(jobs.map((_, i) => i))
    }
  })

  it('never change after the end', async () => {
    await using service = await startService()
    const { batch, jobs, events } = await service.me.run({
      policy: 'task_group',
      jobs: [sleepFor(0, { result: { a: [1, null, 'é'] } }), service.fetch('/fail'), forever()],
    })

    await service.me.cancel(batch.id, { reason: 'again' })
    await service.me.cancelJob(`${batch.id}-1`)
    await service.me.http.post(`/v1/batches/${batch.id}/stop`).expect(200)
    await service.me.http.post(`/v1/batches/${batch.id}/close`).expect(200)
    await service.me.http.patch(`/v1/jobs/${batch.id}-0`).send({ deadlineMs: 1 }).expect(409)
    await service.me.http
      .post(`/v1/batches/${batch.id}/jobs`)
      .send({ jobs: [sleepFor(0)] })
      .expect(409)

    expect(await service.me.drained(batch.id)).toEqual({ batch, jobs, events })
  })
})

import { describe, expect, it } from 'vitest'
import { type Caller, EventStream, forever, shortLog, sleepFor, startService } from '../support/service.ts'
import { completionsOf } from './check-log.ts'

const wait = (me: Caller, id: string, query: object = {}) => me.http.get(`/v1/batches/${id}/wait`).query(query)
const ids = (jobs: { id: string }[]) => jobs.map(({ id }) => id)

describe('wait', () => {
  it('returns when all have ended', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [sleepFor(30), service.fetch('/fail'), sleepFor(1)] })

    const { status, body } = await wait(service.me, id)

    expect([status, ids(body.done), body.pending]).toEqual([200, [`${id}-0`, `${id}-1`, `${id}-2`], []])
  })

  it('returns when the first has ended, whatever its end', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [forever(), forever(), forever()] })
    const answer = wait(service.me, id, { returnWhen: 'FIRST_COMPLETED' }).then(({ body }) => body)

    await service.me.cancelJob(`${id}-1`)
    const body = await answer

    expect([ids(body.done), body.done[0].state, body.pending]).toEqual([
      [`${id}-1`],
      'cancelled',
      [`${id}-0`, `${id}-2`],
    ])
  })

  it('returns at the first failure, and is not tripped by a success or a cancelled job', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({
      jobs: [sleepFor(0), forever(), service.fetch('/half?status=500'), forever()],
    })
    let returned = false
    const answer = wait(service.me, id, { returnWhen: 'FIRST_EXCEPTION' }).then(({ body }) => {
      returned = true
      return body
    })
    await service.me.cancelJob(`${id}-1`)
    await service.me.seen(id, 'job.cancelled', 1)
    await service.me.seen(id, 'job.succeeded', 0)
    expect(returned).toBe(false)

    service.origin.release('/half')
    const body = await answer

    expect([ids(body.done), body.pending]).toEqual([[`${id}-0`, `${id}-1`, `${id}-2`], [`${id}-3`]])
  })

  it('is no error when its time is over, and stops nothing', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [forever(), sleepFor(0)] })
    await service.me.seen(id, 'job.succeeded', 1)

    const { status, body } = await wait(service.me, id, { timeoutMs: 20 })
    const now = await wait(service.me, id, { timeoutMs: 0 })

    expect([status, ids(body.done), body.pending]).toEqual([200, [`${id}-1`], [`${id}-0`]])
    expect(now.body).toEqual(body)
    expect((await service.me.job(`${id}-0`)).state).toBe('running')
  })

  it('holds no longer than the service allows', async () => {
    await using service = await startService({ maxWaitMs: 50 })
    const { id } = await service.me.submit({ jobs: [forever()] })

    expect((await wait(service.me, id)).body).toEqual({ done: [], pending: [`${id}-0`] })
    const longer = await wait(service.me, id, { timeoutMs: 51 })
    expect([longer.status, longer.body.errors[0].pointer]).toEqual([422, '/query/timeoutMs'])
  })

  it('over no jobs is refused', async () => {
    await using service = await startService()
    const ended = await service.me.run({ jobs: [] })
    const { id: open } = await service.me.submit({ open: true, jobs: [] })

    for (const id of [ended.batch.id, open]) {
      const { status, body } = await wait(service.me, id)
      expect([status, body.code]).toEqual([422, 'empty_wait_set'])
    }
  })

  it('looks at the jobs that the batch had when it was asked', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ open: true, jobs: [service.fetch('/hold/a')] })
    await service.origin.whenHit('/hold/a')
    const answer = wait(service.me, id).then(({ body }) => body)

    await service.me.append(id, [forever()])
    service.origin.release('/hold/a')
    await service.me.seen(id, 'job.succeeded', 0)

    // The wait may have arrived after the append; then it waits for both.
    await service.me.cancelJob(`${id}-1`)
    expect(ids((await answer).done)).toContain(`${id}-0`)
  })
})

describe('Prefer: wait', () => {
  it('holds a submission until it has settled, and answers with the jobs', async () => {
    await using service = await startService()

    const response = await service.me.http
      .post('/v1/batches')
      .set('prefer', 'wait=30')
      .send({ jobs: [sleepFor(20, { result: 1 }), sleepFor(0, { result: 2 })] })
    service.me.track(response.body.id)

    expect([response.status, response.headers['preference-applied']]).toEqual([200, 'wait=30'])
    expect(response.headers.location).toBe(`/v1/batches/${response.body.id}`)
    expect(response.body.jobs.map(({ result }: { result: unknown }) => result)).toEqual([1, 2])
    expect(response.body.state).toBe('succeeded')
  })

  it('answers 202 when the time is over, and the batch goes on', async () => {
    await using service = await startService()

    const response = await service.me.http
      .post('/v1/batches')
      .set('prefer', 'wait=0')
      .send({ jobs: [forever()] })
    service.me.track(response.body.id)

    expect([response.status, response.headers['preference-applied'], response.body.jobs]).toEqual([
      202,
      'wait=0',
      undefined,
    ])
    expect((await service.me.batch(response.body.id)).state).toBe('running')
  })

  it('is cut to the limit, and the answer says so; what is unknown is ignored', async () => {
    await using service = await startService({ maxWaitMs: 1_000 })
    const { id } = await service.me.submit({ jobs: [sleepFor(0)] })

    const cut = await service.me.http.get(`/v1/batches/${id}`).set('prefer', 'respond-async, wait=9000, foo=bar')
    const none = await service.me.http.get(`/v1/batches/${id}`).set('prefer', 'wait=soon, handling=strict')

    expect([cut.status, cut.headers['preference-applied']]).toEqual([200, 'wait=1'])
    expect([none.status, none.headers['preference-applied']]).toEqual([200, undefined])
  })

  it('holds a read until the batch has settled, and no longer', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({
      policy: 'gather',
      jobs: [service.fetch('/half?status=500'), service.fetch('/hold/a')],
    })
    const answer = service.me.http
      .get(`/v1/batches/${id}`)
      .set('prefer', 'wait=60')
      .then(({ body }) => body)

    service.origin.release('/half')

    expect(await answer).toMatchObject({ state: 'failed', drainedAt: null })
  })
})

describe('a stream', () => {
  it.each(['sse', 'ndjson'] as const)(
    'in %s has every event from the start, before the end and after',
    async (format) => {
      await using service = await startService()
      const { id } = await service.me.submit({ jobs: [sleepFor(5), sleepFor(1), service.fetch('/ok')] })

      await using early = await service.me.stream(id, { format })
      const live = await early.rest()
      await using late = await service.me.stream(id, { format })

      expect(await late.rest()).toEqual(live)
      expect(live.at(-1)?.type).toBe('batch.drained')
      expect(early.response.headers).toMatchObject({
        'content-type': format === 'sse' ? 'text/event-stream; charset=utf-8' : 'application/x-ndjson; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      })
      if (format === 'sse') expect(early.notes).toEqual([JSON.stringify({ retry: '1000' })])
    },
  )

  it('opens with its head before there is anything new', async () => {
    await using service = await startService()
    const { id, seq } = await service.me.submit({ open: true, jobs: [] })

    await using stream = await service.me.stream(id, { after: seq })

    expect(stream.status).toBe(200)
  })

  it('with only=completions has each end once, then the last event', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [sleepFor(30), sleepFor(0), service.fetch('/fail')] })

    await using stream = await service.me.stream(id, { only: 'completions' })
    const seen = await stream.rest()
    const { events } = await service.me.drained(id)

    expect(completionsOf(seen)).toEqual(completionsOf(events))
    expect(seen.at(-1)?.type).toBe('batch.drained')
    expect(seen.length).toBe(4)
  })

  it('ends at its timeout with what is pending, and the jobs go on', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [forever(), sleepFor(0)] })
    await service.me.seen(id, 'job.succeeded', 1)

    await using stream = await service.me.stream(id, { timeoutMs: 30, format: 'sse' })
    const events = await stream.rest()
    await using at = await service.me.stream(id, { timeoutMs: 0 })

    expect(events.at(-1)).toEqual({ type: 'stream.timeout', batchId: id, pending: [`${id}-0`] })
    expect((await at.rest()).at(-1)?.type).toBe('stream.timeout')
    expect((await service.me.batch(id)).state).toBe('running')
  })

  it('resumes after a number, by header or by query, the header first', async () => {
    await using service = await startService()
    const { batch, events } = await service.me.run({ jobs: [sleepFor(0), sleepFor(0)] })

    for (const options of [
      { after: 3 },
      { lastEventId: 3 },
      { lastEventId: 3, after: 5 },
      { lastEventId: '', after: 3 },
    ]) {
      await using stream = await service.me.stream(batch.id, options)
      expect(await stream.rest()).toEqual(events.slice(3))
    }
  })

  it('past the end is 204', async () => {
    await using service = await startService()
    const { batch } = await service.me.run({ jobs: [sleepFor(0)] })

    for (const after of [batch.seq, batch.seq + 1_000]) {
      for (const format of ['sse', 'ndjson'] as const) {
        await using stream = await service.me.stream(batch.id, { lastEventId: after, format })
        expect([stream.status, await stream.rest()]).toEqual([204, []])
      }
    }
  })

  it('past the newest event of a live batch ends with the batch all the same', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hold/a')] })
    await using stream = await service.me.stream(id, { after: 1_000 })

    service.origin.release('/hold/a')

    expect((await stream.rest()).at(-1)?.type).toBe('batch.drained')
  })

  it.each(['sse', 'ndjson'] as const)('is the answer to a submission that asks for %s', async (format) => {
    await using service = await startService()
    const accept = format === 'sse' ? 'text/event-stream' : 'application/x-ndjson'
    const jobs = [sleepFor(5, { result: 'streamed' })]

    const response = await service.me.open(
      'POST',
      '/v1/batches',
      { accept, 'content-type': 'application/json' },
      JSON.stringify({ jobs }),
    )
    await using stream = new EventStream(response, format)
    const events = await stream.rest()

    const { batchId = '' } = events[0] ?? {}
    service.me.track(batchId)
    expect([response.statusCode, response.headers.location]).toEqual([200, `/v1/batches/${batchId}`])
    expect((await service.me.drained(batchId)).events).toEqual(events)
  })
})

describe('observers', () => {
  it('change nothing: not their number, their timeouts, their reads or their going', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hold/a'), forever()] })
    await service.origin.whenHit('/hold/a')
    const before = shortLog(await (await service.me.stream(id, { timeoutMs: 0 })).rest()).slice(0, -1)

    for (const format of ['sse', 'ndjson'] as const) {
      for (let i = 0; i < 5; i++) {
        const stream = await service.me.stream(id, { format })
        await stream.take(2)
        stream.destroy()
      }
    }
    for (const timeoutMs of [0, 5]) await wait(service.me, id, { timeoutMs }).expect(200)
    await service.me.http.get(`/v1/batches/${id}`).set('prefer', 'wait=0').expect(200)
    await service.me.http.get(`/v1/batches/${id}/jobs`).expect(200)
    await service.me.job(`${id}-1`)
    const gone = service.me.http.get(`/v1/batches/${id}/wait`).timeout(30)
    await expect(gone).rejects.toThrow(/imeout/)

    const after = shortLog(await (await service.me.stream(id, { timeoutMs: 0 })).rest()).slice(0, -1)
    expect(after).toEqual(before)
    service.origin.release('/hold/a')
    await service.me.seen(id, 'job.succeeded', 0)
  })
})

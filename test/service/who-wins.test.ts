import { describe, expect, it } from 'vitest'
import { forever, sleepFor, startService } from '../support/service.ts'

const ENDS = ['succeeded', 'failed', 'timed_out', 'cancelled']
const range = (length: number) => Array.from({ length }, (_, i) => i)

describe('a result and a timer', () => {
  it('the result first: succeeded, and the timer never fires', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [sleepFor(0, { timeoutMs: 120 }), sleepFor(150)] })

    const { events, jobs } = await service.me.drained(id)

    expect(events.filter(({ index }) => index === 0).map(({ type }) => type)).toEqual([
      'job.queued',
      'job.started',
      'job.succeeded',
    ])
    expect(jobs[0]?.state).toBe('succeeded')
  })

  it('both due at once: either, but exactly one, with one terminal event', async () => {
    await using service = await startService({ tenants: { wide: { maxConcurrency: 200 } } })

    const { jobs, events } = await service.as('wide').run({
      jobs: range(100).map((i) => sleepFor(10 + (i % 5), { timeoutMs: 10 + (i % 5) })),
    })

    expect(jobs.filter(({ state }) => state !== 'succeeded' && state !== 'timed_out')).toEqual([])
    expect(events.filter(({ job }) => job !== undefined).length).toBe(100)
  })

  it('at the origin, both at once: exactly one, and no slot is lost', async () => {
    await using service = await startService({ tenants: { wide: { maxConcurrency: 40 } } })

    const { jobs } = await service.as('wide').run({
      jobs: range(80).map((i) => service.fetch(`/ok?ms=${20 + (i % 10)}`, { timeoutMs: 25 })),
    })

    for (const { state, result, error } of jobs)
      expect([state, result === null, error === null]).toEqual(
        state === 'succeeded' ? ['succeeded', false, true] : ['timed_out', true, false],
      )
  })
})

describe('a cancel and a result', () => {
  it('the cancel accepted first: cancelled, and the value is dropped', async () => {
    await using service = await startService()
    const outcomes = new Set<string>()
    for (const round of range(20)) {
      const path = `/hold/${round}`
      const { id } = await service.me.submit({ jobs: [service.fetch(path)] })
      await service.origin.whenHit(path)

      const answer = service.me.cancelJob(`${id}-0`)
      if (round % 2 === 0) service.origin.release(path)
      else setImmediate(() => service.origin.release(path))
      const { cancelled, status } = await answer
      const { jobs } = await service.me.drained(id)

      outcomes.add(`${status} ${cancelled} ${jobs[0]?.state} ${jobs[0]?.result?.body ?? null}`)
    }
    for (const outcome of outcomes) expect(['202 true cancelled null', '200 false succeeded ok']).toContain(outcome)
  })

  it('of a sleep that is due: what the answer said is what the job is', async () => {
    await using service = await startService({ tenants: { wide: { maxConcurrency: 100 } } })
    const wide = service.as('wide')
    const { id } = await wide.submit({ jobs: range(30).map((i) => sleepFor(5 + i, { result: 'value' })) })

    const answers = await Promise.all(range(30).map((i) => wide.cancelJob(`${id}-${i}`)))
    const { jobs } = await wide.drained(id)

    for (const [i, job] of jobs.entries())
      expect([job.state, job.result]).toEqual(answers[i]?.cancelled ? ['cancelled', null] : ['succeeded', 'value'])
  })
})

describe("a job's own timeout and a cancel by the caller", () => {
  it('in either order: cancelled whenever the cancel was taken', async () => {
    await using service = await startService({ tenants: { wide: { maxConcurrency: 100 } } })
    const wide = service.as('wide')
    const { id } = await wide.submit({ jobs: range(40).map((i) => service.fetch('/hang', { timeoutMs: 5 + i })) })

    const answers = await Promise.all(range(40).map((i) => wide.cancelJob(`${id}-${i}`)))
    const { jobs } = await wide.drained(id)

    for (const [i, job] of jobs.entries()) {
      const { cancelled, status } = answers[i] ?? {}
      expect([status, job.state, job.cause]).toEqual(
        cancelled ? [202, 'cancelled', 'user'] : [200, 'timed_out', 'timeout'],
      )
    }
  })

  it('only the timeout: timed out', async () => {
    await using service = await startService()

    const { jobs } = await service.me.run({ jobs: [service.fetch('/hang', { timeoutMs: 10 })] })

    expect(jobs[0]).toMatchObject({ state: 'timed_out', cause: 'timeout', cancelRequests: 0 })
  })
})

describe("a job's deadline and its batch's timeout at once", () => {
  it('the running job is cancelled, the batch timed out', async () => {
    await using service = await startService()

    for (const policy of ['all_settled', 'any', 'race', 'quorum']) {
      const { batch, jobs } = await service.me.run({
        policy,
        ...(policy === 'quorum' && { n: 1 }),
        timeoutMs: 100,
        jobs: [forever({ deadlineMs: 100 }), forever()],
      })

      expect([policy, batch.state, jobs[0]?.state]).toEqual([policy, 'timed_out', 'cancelled'])
    }
  })

  it('of a task_group likewise', async () => {
    await using service = await startService()

    const { batch, jobs } = await service.me.run({
      policy: 'task_group',
      timeoutMs: 100,
      jobs: [forever({ deadlineMs: 100 }), forever()],
    })

    expect([batch.state, jobs[0]?.state]).toEqual(['timed_out', 'cancelled'])
  })
})

describe('a batch with several ends', () => {
  it('a real error, and a cancel or a timeout: failed', async () => {
    await using service = await startService()
    const seen: string[] = []
    for (const round of range(12)) {
      const path = `/reset/${round}`
      const { id } = await service.me.submit({
        policy: 'task_group',
        ...(round % 2 === 0 && { timeoutMs: 10 + round }),
        jobs: [service.fetch(path), forever()],
      })
      if (round % 3 === 0) await service.me.cancel(id)
      const { batch, jobs } = await service.me.drained(id)

      seen.push(batch.state)
      expect(batch.state === 'failed').toBe(jobs[0]?.state === 'failed')
    }
    expect(seen).toContain('failed')
  })

  it('a cancel and a timeout: cancelled whenever the cancel was taken', async () => {
    await using service = await startService()
    const batches = await Promise.all(
      range(12).map((i) => service.me.submit({ timeoutMs: 20 + i, jobs: [service.fetch('/hang'), forever()] })),
    )

    const answers = await Promise.all(batches.map(({ id }, i) => service.me.cancel(id, { reason: `reason ${i}` })))

    for (const [i, { id }] of batches.entries()) {
      const { batch } = await service.me.drained(id)
      expect([batch.state, batch.cancel?.reason]).toEqual(
        answers[i]?.cancelled ? ['cancelled', `reason ${i}`] : ['timed_out', undefined],
      )
    }
  })

  it('a failure while a sibling unwinds joins the group, a cancellation does not', async () => {
    await using service = await startService({ tenants: { wide: { maxConcurrency: 50 } } })

    const { batch, jobs } = await service.as('wide').run({
      policy: 'task_group',
      jobs: range(40).map((i) => (i % 4 === 3 ? forever() : service.fetch(`/reset/${i}`))),
    })

    const failed = jobs.filter(({ state }) => state === 'failed').map(({ index }) => index)
    expect(batch.error?.errors?.map(({ index }) => index).toSorted((a, b) => a - b)).toEqual(failed)
    expect(jobs.every(({ state }) => state === 'failed' || state === 'cancelled')).toBe(true)
  })
})

describe('a granted slot and a waiter that is cancelled', () => {
  it('the waiter is cancelled or runs, and the slot always goes on to the next', async () => {
    await using service = await startService({ tenants: { one: { maxConcurrency: 1 } } })
    const one = service.as('one')
    for (const round of range(15)) {
      const path = `/hold/${round}`
      const { id } = await one.submit({ jobs: [service.fetch(path), sleepFor(0), sleepFor(0, { result: 'next' })] })
      await service.origin.whenHit(path)

      const answer = one.cancelJob(`${id}-1`)
      service.origin.release(path)
      const { cancelled } = await answer
      const { jobs } = await one.drained(id)

      expect(jobs[1]?.state).toBe(cancelled ? 'cancelled' : 'succeeded')
      expect([jobs[0]?.state, jobs[2]?.result]).toEqual(['succeeded', 'next'])
    }
  })
})

describe('a reschedule and the expiry', () => {
  it('the expiry first: refused', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({
      jobs: range(10).map((i) => service.fetch('/hang', { timeoutMs: 10 + i })),
    })

    const answers = await Promise.all(
      range(10).map((i) => service.me.http.patch(`/v1/jobs/${id}-${i}`).send({ timeoutMs: null })),
    )

    const saved = answers.flatMap(({ status }, i) => (status === 200 ? [i] : []))
    expect(answers.every(({ status }) => status === 200 || status === 409)).toBe(true)
    for (const i of range(10)) if (!saved.includes(i)) await service.me.seen(id, 'job.timed_out', i)
    const { counts } = await service.me.batch(id)
    expect(counts).toMatchObject({ running: saved.length, timed_out: 10 - saved.length })
  })
})

describe('everything at once', () => {
  it('gives each job one end and each batch one outcome', async () => {
    await using service = await startService({ tenants: { busy: { maxConcurrency: 7 } } })
    const busy = service.as('busy')
    const paths = [
      '/ok',
      '/fail',
      '/hang',
      '/reset',
      '/drip?chunks=5&everyMs=3',
      '/ok?ms=5',
      '/reset?how=body',
      '/half',
    ]
    const policies = ['all_settled', 'gather', 'task_group', 'any', 'race', 'quorum', 'hedge']
    const batches = await Promise.all(
      range(28).map((i) =>
        busy.submit({
          policy: policies[i % 7],
          ...(i % 7 === 5 && { n: 2 }),
          ...(i % 7 === 6 && { hedgeDelayMs: 3 }),
          ...(i % 3 === 0 && { timeoutMs: 150 }),
          ...(i % 4 === 0 && { maxConcurrency: 2 }),
          jobs: range(10).map((j) => ({
            ...((i + j) % 2 === 0 ? service.fetch(paths[(i * 3 + j) % paths.length] ?? '/ok') : sleepFor((i * j) % 20)),
            timeoutMs: 5 + ((i * 7 + j * 3) % 40),
            ...(j % 5 === 4 && { shield: true }),
            ...(j % 6 === 5 && { delayMs: j }),
            ...(j % 7 === 6 && { deadlineMs: 60 }),
            ...(j % 8 === 7 && { queueTimeoutMs: 30 }),
            priority: (i + j) % 3,
          })),
        }),
      ),
    )

    const cancels = batches.flatMap(({ id }, i) =>
      i % 5 === 0 ? [busy.cancel(id)] : [busy.cancelJob(`${id}-${i % 10}`)],
    )
    await Promise.all(cancels)

    for (const { id } of batches) {
      const { jobs, batch } = await busy.drained(id)
      expect(jobs.every(({ state }) => ENDS.includes(state))).toBe(true)
      expect(ENDS).toContain(batch.state)
    }
    expect(service.origin.concurrency.max).toBeLessThanOrEqual(7)
    expect((await busy.http.get('/v1/tenant')).body.usage).toMatchObject({
      queued: 0,
      running: 0,
      cancelling: 0,
      stuck: 0,
    })
  })
})

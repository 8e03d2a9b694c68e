import { describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { addJobs } from '../../../src/core/batch.ts'
import { attempt, RunningAttempt, restartRule, STUCK_AFTER_MS } from '../../../src/engine/local/attempts.ts'
import { sleepUntil } from '../../../src/engine/local/context.ts'
import { Timers } from '../../../src/engine/local/timers.ts'
import { type AttemptContext, type CommonSpec, type JobKind, StopReason } from '../../../src/jobs/kind.ts'
import { stoppable } from '../../jobs/attempt.ts'
import { FakeClock, turn } from '../../support/fake-clock.ts'
import { liveBatch } from './live.ts'

function kindOf(own: Partial<JobKind> & Pick<JobKind, 'run'>): JobKind {
  return { name: 'test', spec: z.strictObject({}), ...own }
}

/** An attempt at the first job of a batch, at instant 1,000; its batch was accepted at 400, or as given. */
function start(kind: JobKind | null, spec: CommonSpec = { kind: 'test' }, header = {}, acceptedAt = 400) {
  const clock = new FakeClock({ now: 1_000 })
  const timers = new Timers({ clock })
  const live = liveBatch({ clock, timers, fresh: [spec], header })
  addJobs(live.core, [{}], acceptedAt)
  live.core.attempts.set(0, 3)
  const running = new RunningAttempt({ startedAt: clock.now(), timers, onStuck: () => stuck.push(clock.now()) })
  const stuck: number[] = []
  const commits: (() => void)[] = []
  /** Called before the work starts. */
  const looks: (() => void)[] = []
  const services = {
    clock,
    timers,
    kinds: new Map(kind === null ? [] : [['test', kind]]),
    store: {},
    committed: () => new Promise<void>((resolve) => commits.push(resolve)),
    beforeStart() {
      for (const look of looks) look()
    },
    overBound: () => null,
  }
  return { looks, clock, timers, live, running, stuck, commits, run: () => attempt(services, live, 0, running) }
}

describe('attempt', () => {
  it('gives the kind its spec and all that it may know', async () => {
    const seen: [CommonSpec, AttemptContext][] = []
    const kind = kindOf({
      run: async (spec, context) => {
        seen.push([spec, context])
        return { ok: true }
      },
    })
    const spec = { kind: 'test', context: { b: 'job', c: 'job' } }
    const { live, running, run } = start(kind, spec, { context: { a: 'batch', b: 'batch' }, traceparent: '00-x' })

    const end = await run()

    expect(end).toEqual({ type: 'returned', result: '{"ok":true}' })
    expect(seen[0][0]).toEqual(spec)
    expect(seen[0][1]).toMatchObject({
      signal: running.signal,
      startedAt: 1_000,
      queuedMs: 600,
      tenantId: 'acme',
      batchId: live.id,
      jobId: `${live.id}-0`,
      index: 0,
      attempt: 3,
      context: { a: 'batch', b: 'job', c: 'job' },
      traceparent: '00-x',
    })
    expect(live.header.context).toEqual({ a: 'batch', b: 'batch' })
  })

  it('has not waited when another machine, whose clock was ahead, has accepted it', async () => {
    const seen: number[] = []
    const kind = kindOf({ run: async (_, { queuedMs }) => void seen.push(queuedMs) })

    await start(kind, { kind: 'test' }, {}, 1_500).run()

    expect(seen).toEqual([0])
  })

  it('fails the job whose kind is not there any more', async () => {
    const { run } = start(null)

    expect(await run()).toMatchObject({ type: 'threw', facts: { message: 'The kind test is not loaded any more.' } })
  })

  it('does not start what it may not start any more when its start is on disk', async () => {
    let runs = 0
    const kind = kindOf({ onRestart: () => 'fail', run: async () => ++runs })
    const { commits, looks, running, clock, run } = start(kind)
    looks.push(() => commits.length > 0 && running.abort('shutdown', clock.now()))

    const end = run()
    await turn()
    commits[0]()

    expect([await end, runs]).toEqual([{ type: 'unwound' }, 0])
  })

  it('starts work that must not be repeated only when its start is on disk', async () => {
    let runs = 0
    const kind = kindOf({ onRestart: () => 'fail', run: async () => ++runs })
    const { commits, run } = start(kind)

    const end = run()
    await turn()
    expect(runs).toBe(0)
    commits[0]()

    expect(await end).toEqual({ type: 'returned', result: '1' })
  })

  it('never starts work that was told to stop while that was written', async () => {
    let runs = 0
    const kind = kindOf({ onRestart: () => 'fail', run: async () => ++runs })
    const { commits, clock, running, run } = start(kind)

    const end = run()
    await turn()
    running.abort('user', clock.now())
    commits[0]()

    expect(await end).toEqual({ type: 'unwound' })
    expect(runs).toBe(0)
  })

  it('does not wait for the disk with work that may be repeated', async () => {
    const { commits, run } = start(kindOf({ run: async () => 1 }))

    expect(await run()).toEqual({ type: 'returned', result: '1' })
    expect(commits).toHaveLength(0)
  })

  it('lets a kind sleep on the clock of the service, and wakes it when it is told to stop', async () => {
    const kind = kindOf({ run: (_spec, { sleepUntil: sleep, startedAt }) => sleep(startedAt + 500) })
    const { clock, timers, running, run } = start(kind)

    const end = run()
    await turn()
    expect(clock.nextAt).toBe(1_500)
    running.abort('timeout', clock.now())

    expect(await end).toEqual({ type: 'unwound' })
    running.ended()
    expect([timers.size, clock.armed]).toEqual([0, 0])
  })
})

describe('restartRule', () => {
  it('is what the job says, else what the kind says of it, else retry', () => {
    const run = async () => null
    const cautious = kindOf({ run, onRestart: () => 'fail' })

    expect(restartRule(cautious, { kind: 'test', onRestart: 'retry' })).toBe('retry')
    expect(restartRule(cautious, { kind: 'test' })).toBe('fail')
    expect(restartRule(kindOf({ run }), { kind: 'test' })).toBe('retry')
    expect(restartRule(kindOf({ run }), { kind: 'test', onRestart: 'fail' })).toBe('fail')
  })
})

describe('the context of an attempt', () => {
  it('can be copied by a kind that says nothing of it, with all that is in it', async () => {
    const seen: AttemptContext[] = []
    const kind = kindOf({ run: async (_spec, context) => void seen.push({ ...context }) })
    const { live, running, run } = start(kind)

    await run()

    const [{ signal, jobId, sleepUntil: sleep, onRecorded }] = seen
    expect([signal, jobId]).toEqual([running.signal, `${live.id}-0`])
    expect([typeof sleep, typeof onRecorded]).toEqual(['function', 'function'])
  })

  it('makes no AbortSignal for a kind that stops for its halt', async () => {
    const made = vi.spyOn(AbortController.prototype, 'signal', 'get')
    const seen: unknown[] = []
    const kind = kindOf({
      halts: true,
      run: async (_spec, context) => {
        seen.push(context.halt?.aborted, context.jobId, typeof context.sleepUntil)
        context.onRecorded(() => seen.push('recorded'))
      },
    })
    const { live, running, run } = start(kind)

    await run()
    running.recorded()

    expect(seen).toEqual([false, `${live.id}-0`, 'function', 'recorded'])
    expect(made).not.toHaveBeenCalled()
    made.mockRestore()
  })

  it('has one stop, as a halt and as a signal', async () => {
    const seen: string[] = []
    const kind = kindOf({
      halts: true,
      run: (_spec, { halt, signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => seen.push('signal'))
          halt?.addEventListener('abort', {
            handleEvent() {
              seen.push('halt')
              reject(halt.reason)
            },
          })
        }),
    })
    const { clock, running, run } = start(kind)
    const end = run()

    running.abort('user', clock.now())

    expect(await end).toEqual({ type: 'unwound' })
    expect(seen).toEqual(['signal', 'halt'])
    expect(running.signal.reason).toBe(running.halt.reason)
  })
})

describe('RunningAttempt', () => {
  it('aborts once, for the first cause', () => {
    const { clock, running } = start(null)
    let aborts = 0
    running.signal.addEventListener('abort', () => aborts++)

    running.abort('timeout', clock.now())
    running.abort('user', clock.now())

    expect(aborts).toBe(1)
    expect(running.signal.reason).toBeInstanceOf(StopReason)
    expect(running.signal.reason).toMatchObject({ why: 'timeout', name: 'AbortError' })
  })

  it('is stuck when its work has not stopped five seconds after the first abort', () => {
    const { clock, running, stuck } = start(null)
    running.abort('user', clock.now())
    clock.advance(3_000)
    running.abort('deadline', clock.now())

    clock.advance(STUCK_AFTER_MS - 3_001)
    expect([running.stuck, stuck]).toEqual([false, []])
    clock.advance(1)
    clock.advance(60_000)

    expect([running.stuck, stuck]).toEqual([true, [1_000 + STUCK_AFTER_MS]])
  })

  it('is not watched before it is told to stop, nor after it has stopped', () => {
    const { clock, running, stuck } = start(null)
    expect(clock.armed).toBe(0)

    running.abort('user', clock.now())
    running.ended()
    running.ended()
    clock.advance(60_000)

    expect([stuck, clock.armed]).toEqual([[], 0])
  })
})

describe('sleepUntil', () => {
  function sleeping(dueAt: number) {
    const clock = new FakeClock({ now: 0, earlyMs: 0.9 })
    const timers = new Timers({ clock })
    const stop = stoppable()
    const ends: unknown[] = []
    sleepUntil(clock, timers, stop.signal, dueAt).then(
      () => ends.push(clock.now()),
      (reason: unknown) => ends.push(reason),
    )
    return { clock, timers, ends, ...stop }
  }

  it('lasts at least until its time, and leaves no timer and no listener', async () => {
    const { clock, timers, ends, listeners } = sleeping(1_000.5)

    await clock.elapse(1_000)
    expect(ends).toEqual([])
    await clock.elapse(10)

    expect(ends).toHaveLength(1)
    expect(ends[0]).toBeGreaterThanOrEqual(1_000.5)
    expect([timers.size, clock.armed, listeners()]).toEqual([0, 0, 0])
  })

  it('rejects with the reason of the signal when that aborts first, and leaves no timer', async () => {
    const { clock, timers, ends, stop, reason } = sleeping(1_000)
    await clock.elapse(10)

    stop()
    await turn()

    expect(ends).toEqual([reason])
    expect([timers.size, clock.armed]).toEqual([0, 0])
  })

  it('does not begin when the signal has aborted already', async () => {
    const clock = new FakeClock()
    const timers = new Timers({ clock })
    const reason = new StopReason('user')

    await expect(sleepUntil(clock, timers, AbortSignal.abort(reason), clock.now() + 10)).rejects.toBe(reason)

    expect([timers.size, clock.armed]).toEqual([0, 0])
  })

  it('is over in the next turn when its time is past', async () => {
    const { clock, ends } = sleeping(-5)

    await clock.elapse(0)

    expect(ends).toEqual([0])
  })
})

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { run } from '../../src/cli/run.ts'
import { startOrigin } from '../support/origin.ts'
import { FakeIo, outcome } from './fake-io.ts'

const sleepFor = (durationMs: number, more: object = {}) => ({ kind: 'sleep', durationMs, ...more })
const input = (batch: unknown) => ({ input: JSON.stringify(batch) })

describe('gatherd run', () => {
  it('prints each job as a line of JSON when it ends, and a line about the batch on standard error', async () => {
    const io = new FakeIo(['-'], input({ jobs: [sleepFor(150, { result: 'slow' }), sleepFor(1, { result: 'fast' })] }))

    const { status } = await outcome(run, io)

    expect(status).toBe(0)
    expect(io.stdout.json.map(({ index, state, result }) => [index, state, result])).toEqual([
      [1, 'succeeded', 'fast'],
      [0, 'succeeded', 'slow'],
    ])
    expect(io.stderr.text).toMatch(/^gatherd: succeeded, 2 jobs, 2 succeeded, \d+\.\d\d s\.\n$/)
  })

  it('reads a file, and takes a bare array of jobs', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'gatherd-run-'))
    try {
      writeFileSync(join(dir, 'batch.json'), JSON.stringify([sleepFor(1)]))
      const io = new FakeIo([join(dir, 'batch.json')])

      expect(await outcome(run, io)).toEqual({ status: 0, message: null })
      expect(io.stdout.json).toHaveLength(1)
      expect(io.stderr.text).toContain('1 job, 1 succeeded')
    } finally {
      rmSync(dir, { recursive: true })
    }
  })

  it('prints the jobs in input order when asked to', async () => {
    const io = new FakeIo(['-', '--order', 'input'], input([sleepFor(100), sleepFor(1), sleepFor(50)]))

    await outcome(run, io)

    expect(io.stdout.json.map(({ index }) => index)).toEqual([0, 1, 2])
  })

  it('prints the whole log when asked to', async () => {
    const io = new FakeIo(['-', '--events'], input([sleepFor(1)]))

    await outcome(run, io)

    expect(io.stdout.json.map(({ type }) => type)).toEqual([
      'batch.accepted',
      'job.queued',
      'job.started',
      'job.succeeded',
      'batch.settled',
      'batch.drained',
    ])
  })

  it('prints the job out of its event even when the result has a field called job', async () => {
    await using origin = await startOrigin()
    const url = origin.url('/json?text={"n":1.5,"job":{"id":1}}')
    const io = new FakeIo(['-'], input([{ kind: 'fetch', url, response: 'json' }]))

    await outcome(run, io)

    expect(io.stdout.json).toMatchObject([{ result: { body: { n: 1.5, job: { id: 1 } } } }])
  })

  it('ends with 1 and names the error when the batch fails', async () => {
    await using origin = await startOrigin()
    const jobs = [{ kind: 'fetch', url: origin.url('/fail') }, sleepFor(60_000)]
    const io = new FakeIo(['-'], input({ policy: 'task_group', jobs }))

    expect((await outcome(run, io)).status).toBe(1)
    expect(io.stderr.text).toContain('failed, 2 jobs, 1 failed, 1 cancelled')
    expect(io.stderr.text).toContain('ExceptionGroup: 1 job of the batch failed.')
  })

  it('ends with 0 when jobs fail and the policy does not mind', async () => {
    const io = new FakeIo(['-'], input([sleepFor(1, { timeoutMs: 0 })]))

    expect((await outcome(run, io)).status).toBe(0)
    expect(io.stderr.text).toContain('succeeded, 1 job, 1 timed out')
  })

  it('names every wrong field by its place in the input, and runs nothing', async () => {
    const batch = { policy: 'gather', oops: 1, jobs: [sleepFor(-1), { kind: 'fetch' }] }
    const { status, message } = await outcome(run, new FakeIo(['-'], input(batch)))

    expect(status).toBe(2)
    expect(message).toContain('Standard input is not a batch. 3 fields are wrong.')
    for (const pointer of ['/oops: ', '/jobs/0/durationMs: ', '/jobs/1/url: ']) expect(message).toContain(pointer)
  })

  it('points into a bare array, and at the whole', async () => {
    const list = await outcome(run, new FakeIo(['-'], input([sleepFor(1), 7])))
    const scalar = await outcome(run, new FakeIo(['-'], input(7)))

    expect(list.message).toContain('\n  /1: ')
    expect(scalar.message).toContain('\n  (the whole): Must be an object with an array of jobs')
  })

  it.each([
    ['not JSON', '{', {}, 'Standard input is not JSON: '],
    ['not UTF-8', Buffer.from([0xff]), {}, 'is not valid UTF-8'],
    ['too large', 'x'.repeat(2_000), { GATHERD_BODY_LIMIT_BYTES: '1_024' }, 'more than 1024 bytes'],
  ])('refuses input that is %s', async (_what, text, env, words) => {
    const { status, message } = await outcome(run, new FakeIo(['-'], { input: text, env }))

    expect(status).toBe(2)
    expect(message).toContain(words)
  })

  it.each([
    [['nowhere.json'], 'nowhere.json cannot be read: ENOENT'],
    [[], 'Name one file'],
    [['a', 'b'], 'Name one file'],
    [['-', '--order', 'random'], '--order is "completion" or "input", and not "random"'],
    [['-', '--events', '--order', 'input'], 'leave out --order input'],
    [['-', '--timeout-ms', '1s'], '--timeout-ms must be a whole number, and is "1s"'],
    [['-', '--bogus'], 'Unknown option --bogus.'],
  ])('refuses %j', async (args, words) => {
    const { status, message } = await outcome(run, new FakeIo(args, { input: '[]' }))

    expect(status).toBe(2)
    expect(message).toContain(words)
  })

  it('shows its help', async () => {
    const io = new FakeIo(['--help'])

    expect((await outcome(run, io)).status).toBe(0)
    expect(io.stdout.text).toContain('Exit status')
  })

  it('puts its options in place of the fields of the batch', async () => {
    const args = ['-', '--timeout-ms', '30', '--max-concurrency', '1']
    const io = new FakeIo(args, input({ timeoutMs: 60_000, jobs: [sleepFor(60_000), sleepFor(1)] }))

    expect((await outcome(run, io)).status).toBe(1)
    expect(io.stderr.text).toContain('TimeoutError')
    expect(io.stdout.json.filter(({ startedAt }) => startedAt !== null)).toHaveLength(1)
  })

  it('lets one batch use all slots of the server, whatever a tenant may', async () => {
    await using origin = await startOrigin()
    const urls = Array.from({ length: 40 }, (_, i) => origin.url(`/hold/${i}`))
    const io = new FakeIo(['-'], input(urls.map((url) => ({ kind: 'fetch', url }))))

    const running = outcome(run, io)
    await Promise.all(urls.map((url) => origin.whenHit(new URL(url).pathname)))
    for (const url of urls) origin.release(new URL(url).pathname)

    expect((await running).status).toBe(0)
    expect(origin.concurrency.max).toBe(40)
  })

  it('takes the kinds that the operator has added', async () => {
    await using origin = await startOrigin()
    const env = { GATHERD_KINDS: join(import.meta.dirname, '../../examples/kinds.ts') }
    const io = new FakeIo(['-'], { ...input([{ kind: 'tcp', host: '127.0.0.1', port: origin.port }]), env })

    expect((await outcome(run, io)).status).toBe(0)
    expect(io.stdout.json).toMatchObject([{ kind: 'tcp', result: { connectMs: expect.any(Number) } }])
    await origin.whenIdle()
  })

  it('does not wait for more jobs in an open batch: nobody could append them', async () => {
    const io = new FakeIo(['-'], input({ open: true, jobs: [sleepFor(1)] }))

    expect((await outcome(run, io)).status).toBe(0)
  })
})

describe('gatherd run, interrupted', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)(
    'cancels every job at %s, shielded ones too, waits for the sockets and ends with %i',
    async (signal, expected) => {
      await using origin = await startOrigin()
      const hanging = (path: string, shield: boolean) => ({ kind: 'fetch', url: origin.url(path), shield })
      const io = new FakeIo(['-'], input([hanging('/hang/a', false), hanging('/hang/b', true)]))
      const ended = outcome(run, io)
      await Promise.all([origin.whenHit('/hang/a'), origin.whenHit('/hang/b')])

      io.signal(signal)

      expect((await ended).status).toBe(expected)
      await Promise.all([origin.whenClosed('/hang/a'), origin.whenClosed('/hang/b')])
      expect(io.stdout.json.map(({ state, reason }) => [state, reason])).toEqual([
        ['cancelled', 'interrupted'],
        ['cancelled', 'interrupted'],
      ])
      expect(io.listening).toBe(0)
      expect(io.exits).toEqual([])
    },
  )

  it('takes a second signal in the same moment as the first one, as Ctrl-C under npm is two', async () => {
    await using origin = await startOrigin()
    const io = new FakeIo(['-'], input([{ kind: 'fetch', url: origin.url('/hang') }]))
    const ended = outcome(run, io)
    await origin.whenHit('/hang')

    io.signal('SIGINT')
    io.signal('SIGINT')

    expect((await ended).status).toBe(130)
    expect(io.exits).toEqual([])
  })

  it('ends quietly with 141 when nobody reads the output any more', async () => {
    await using origin = await startOrigin()
    const jobs = [sleepFor(1), { kind: 'fetch', url: origin.url('/hang') }]
    const io = new FakeIo(['-'], input(jobs))
    io.stdout.refuse = () => Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })

    expect((await outcome(run, io)).status).toBe(141)
    expect(io.stderr.text).toBe('')
  })

  it('ends with 74 when the output cannot be written', async () => {
    const io = new FakeIo(['-'], input([sleepFor(1), sleepFor(60_000)]))
    io.stdout.refuse = () => Object.assign(new Error('no space left'), { code: 'ENOSPC' })

    expect((await outcome(run, io)).status).toBe(74)
    expect(io.stderr.text).toContain('cannot be written: no space left')
  })
})

describe('gatherd run on a terminal', () => {
  it('draws bars on standard error, and on a pipe draws none', async () => {
    const io = new FakeIo(['-'], { ...input([sleepFor(1), sleepFor(1, { timeoutMs: 0 })]), isTTY: true })

    await outcome(run, io)

    for (const row of [/queued .*0\/2/, /running .*0\/2/, /done .*1\/2/, /failed .*1\/2/])
      expect(io.stderr.text).toMatch(row)
    expect(io.stdout.json).toHaveLength(2)
  })

  it('writes the results above the bars when both are on the screen', async () => {
    const options = { ...input([sleepFor(1, { result: 'on screen' })]), isTTY: true, stdoutIsTTY: true }
    const io = new FakeIo(['-'], options)

    await outcome(run, io)

    expect(io.stdout.text).toBe('')
    expect(io.stderr.text).toContain('"result":"on screen"')
    expect(io.stderr.text.indexOf('on screen')).toBeLessThan(io.stderr.text.lastIndexOf('done'))
  })
})

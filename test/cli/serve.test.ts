import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { serve } from '../../src/cli/serve.ts'
import { startOrigin } from '../support/origin.ts'
import { ServeProcess } from '../support/process.ts'
import { FakeIo } from './fake-io.ts'

const QUIET = { GATHERD_PORT: '0', GATHERD_LOG_LEVEL: 'silent', GATHERD_DATA_DIR: ':memory:' }

/** `gatherd serve` on a free port, told to stop at the end unless it was before. */
async function start(env: Record<string, string> = {}) {
  const io = new FakeIo([], { env: { ...QUIET, ...env } })
  const ended = serve(io)
  // A start that fails is the test's to see.
  await Promise.race([io.stderr.until('Swagger UI'), ended])
  const url = /on (http:\S+),/.exec(io.stderr.text)?.[1] ?? ''
  const key = /gth_\S+/.exec(io.stderr.text)?.[0] ?? ''
  const stop = async () => {
    io.signal('SIGTERM')
    return await ended
  }
  return { io, url, key, ended, stop, [Symbol.asyncDispose]: async () => void (await stop()) }
}

describe('gatherd serve', () => {
  it('says where it listens, shows the first key once and how to use it, and ends with 0 at SIGTERM', async () => {
    const service = await start()

    const headers = { authorization: `Bearer ${service.key}` }
    const tenant = await fetch(`${service.url}/v1/tenant`, { headers })

    expect(await tenant.json()).toMatchObject({ id: 'default' })
    expect(service.io.stderr.text).toContain(`${service.url}/docs`)
    expect(service.io.stderr.text).toContain(`curl -H 'Authorization: Bearer ${service.key}'`)
    expect(await service.stop()).toBe(0)
    expect(service.io.exits).toEqual([])
  })

  it('says only where it listens at the next start', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'gatherd-serve-'))
    try {
      await (await start({ GATHERD_DATA_DIR: dir })).stop()
      await using again = await start({ GATHERD_DATA_DIR: dir })

      expect(again.io.stderr.text).toMatch(/^gatherd \S+ on http:\S+, Swagger UI on http:\S+\/docs\n$/)
    } finally {
      rmSync(dir, { recursive: true })
    }
  })

  it('writes JSON objects to standard output and nothing else, where its log is JSON, and no key', async () => {
    await using service = new ServeProcess(':memory:', { GATHERD_LOG_LEVEL: 'info' })
    await service.listening

    const lines = service.stdout.trim().split('\n')

    expect(lines.map((line) => JSON.parse(line).msg)).toContain('listening')
    expect(service.firstKey).toMatch(/^gth_/)
    expect(service.stdout).not.toContain(service.firstKey)
  })

  it.each([
    [{ GATHERD_LOG_FORMAT: 'pretty' }, false],
    [{}, true],
  ])('greets among the lines of a log for people: %j', async (env, stdoutIsTTY) => {
    const io = new FakeIo([], { env: { ...QUIET, ...env }, stdoutIsTTY })
    const ended = serve(io)
    await io.stdout.until('Swagger UI')
    io.signal('SIGTERM')

    expect(await ended).toBe(0)
    expect(io.stdout.text).toMatch(/^ {2}gth_\S+$/m)
    expect(io.stderr.text).toBe('')
  })

  it('ends with 0 at a SIGTERM that comes before it listens', async () => {
    const io = new FakeIo([], { env: QUIET })
    const ended = serve(io)

    io.signal('SIGTERM')

    expect(await ended).toBe(0)
    expect(io.exits).toEqual([])
  })

  it('shows the first key at the start that succeeds, when one before found its port taken', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'gatherd-serve-'))
    try {
      await using first = await start()
      const port = new URL(first.url).port
      await expect(start({ GATHERD_DATA_DIR: dir, GATHERD_PORT: port })).rejects.toThrow('another process listens')

      await using second = await start({ GATHERD_DATA_DIR: dir })

      expect(second.key).toMatch(/^gth_/)
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  })

  it('stops what runs when the grace is over, and closes its sockets', async () => {
    await using origin = await startOrigin()
    const service = await start({ GATHERD_DRAIN_GRACE_MS: '0' })
    const body = JSON.stringify({ jobs: [{ kind: 'fetch', url: origin.url('/hang') }] })
    const headers = { authorization: `Bearer ${service.key}`, 'content-type': 'application/json' }
    await fetch(`${service.url}/v1/batches`, { method: 'POST', headers, body })
    await origin.whenHit('/hang')

    expect(await service.stop()).toBe(0)
    await origin.whenClosed('/hang')
  })

  it('gives the data directory back when it cannot listen', async () => {
    await using first = await start()
    const { port } = new URL(first.url)
    const dir = mkdtempSync(join(tmpdir(), 'gatherd-serve-'))
    try {
      await expect(start({ GATHERD_PORT: port, GATHERD_DATA_DIR: dir })).rejects.toThrow(
        /another process listens there already/,
      )
      await using second = await start({ GATHERD_DATA_DIR: dir })

      expect(second.url).not.toBe('')
    } finally {
      rmSync(dir, { recursive: true })
    }
  })

  it('lists its settings in its help', async () => {
    const io = new FakeIo(['--help'])

    expect(await serve(io)).toBe(0)
    expect(io.stdout.text).toMatch(/GATHERD_PORT +The port to listen on.* \[3000\]/)
  })
})

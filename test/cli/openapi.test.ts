import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { openapi } from '../../src/cli/openapi.ts'
import { FakeIo, outcome } from './fake-io.ts'

const KEPT = readFileSync(join(import.meta.dirname, '../../openapi.yaml'), 'utf8')

describe('gatherd openapi', () => {
  it('prints what openapi.yaml is', async () => {
    const io = new FakeIo([])

    expect((await outcome(openapi, io)).status).toBe(0)
    expect(io.stdout.text).toBe(KEPT)
  })

  it('prints it as JSON', async () => {
    const io = new FakeIo(['--json'])

    await outcome(openapi, io)

    expect(JSON.parse(io.stdout.text)).toEqual(parse(KEPT))
  })

  it('states the limits that the settings set', async () => {
    const io = new FakeIo(['--json'], { env: { GATHERD_MAX_WAIT_MS: '7_000' } })

    await outcome(openapi, io)

    expect(io.stdout.text).toContain('"maximum": 7000')
  })

  it('has the kinds that the operator has added', async () => {
    const io = new FakeIo([], { env: { GATHERD_KINDS: join(import.meta.dirname, '../../examples/kinds.ts') } })

    await outcome(openapi, io)

    expect(io.stdout.text).toContain('TcpJob')
  })

  it('breaks off quietly when nobody reads it', async () => {
    const io = new FakeIo([])
    io.stdout.refuse = () => Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })

    expect([0, 141]).toContain((await outcome(openapi, io)).status)
  })

  it('refuses what it does not know, and shows its help', async () => {
    const help = new FakeIo(['-h'])
    await outcome(openapi, help)

    expect((await outcome(openapi, new FakeIo(['x']))).message).toContain('takes no "x"')
    expect((await outcome(openapi, new FakeIo(['--yaml']))).message).toContain('Unknown option --yaml.')
    expect(help.stdout.text).toContain('--json')
  })
})

import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { readConfig } from '../../src/config.ts'
import { buildLogger } from '../../src/log.ts'
import { logRefusals } from '../../src/refusals.ts'
import { wire } from '../../src/wiring.ts'
import { LogLines } from '../support/fake-parts.ts'
import { startOrigin } from '../support/origin.ts'

/** A whole service, and the lines of its log about refusals. */
async function start(env: Record<string, string> = {}) {
  const log = new LogLines()
  const logger = buildLogger({ level: 'info', destination: log })
  const config = readConfig({ GATHERD_DATA_DIR: ':memory:', GATHERD_EGRESS_DENY_HOSTS: 'denied.example', ...env })
  const onFatal = (error: Error) => expect.fail(error.message)
  const service = await wire(config, { clock: systemClock, logger, version: '0', onFatal })
  const send = async (path: string, payload: unknown, prefer = 'wait=0') => {
    const headers = { authorization: `Bearer ${service.firstKey}`, 'content-type': 'application/json', prefer }
    return await service.app.inject({ method: 'POST', url: path, headers, payload: JSON.stringify(payload) })
  }
  const refusals = () => log.lines.filter(({ msg }) => msg === 'destination refused')
  return { send, refusals, log, [Symbol.asyncDispose]: () => service.close() }
}

const fetchOf = (url: string) => ({ kind: 'fetch', url })
const METADATA = 'http://169.254.169.254/canary-path?canary-query'
const PRIVATE = 'http://10.0.0.1/canary-path'
const NAMED = 'http://denied.example/canary-path'
const FIELDS = ['count', 'kind', 'level', 'msg', 'stage', 'tenantId', 'time']

describe('a submission that is refused for where it wants to go', () => {
  it('is in the log once, with the rules and how often', async () => {
    await using service = await start()
    const jobs = [METADATA, PRIVATE, PRIVATE, 'http://example.com/', NAMED].map(fetchOf)

    const answer = await service.send('/v1/batches', { jobs })

    expect([answer.statusCode, answer.json().errors.length]).toEqual([422, 4])
    expect(service.refusals()).toMatchObject([
      { tenantId: 'default', stage: 'submission', kind: 'address, deny, metadata', count: 4, level: 30 },
    ])
  })

  it('has no URL, host or address there, and the caller is told no rule', async () => {
    await using service = await start()

    const answer = await service.send('/v1/batches', { jobs: [METADATA, PRIVATE, NAMED].map(fetchOf) })

    expect(service.refusals().map((line) => Object.keys(line).toSorted())).toEqual([FIELDS])
    for (const told of ['canary', '169.254', '10.0.0.1', 'denied.example'])
      expect(JSON.stringify(service.log.lines)).not.toContain(told)
    for (const error of answer.json().errors)
      expect(Object.keys(error).toSorted()).toEqual(['code', 'detail', 'pointer'])
    expect(answer.body).not.toMatch(/metadata|refusal/)
  })

  it('is in the log as well when it is an append', async () => {
    await using service = await start()
    const batch = await service.send('/v1/batches', { jobs: [], open: true })

    const answer = await service.send(`/v1/batches/${batch.json().id}/jobs`, { jobs: [fetchOf(PRIVATE)] })

    expect(answer.statusCode).toBe(422)
    expect(service.refusals()).toMatchObject([{ stage: 'submission', kind: 'address', count: 1 }])
  })

  it('is not there when it was a dry run, or wrong for another reason', async () => {
    await using service = await start()

    const dry = await service.send('/v1/batches/validate', { jobs: [fetchOf(PRIVATE)] })
    const wrong = await service.send('/v1/batches', { jobs: [fetchOf('ftp://example.com/'), { kind: 'nope' }] })

    expect([dry.statusCode, wrong.statusCode]).toEqual([200, 422])
    expect(service.refusals()).toEqual([])
  })

  it('counts what is named in the answer, of more than that', async () => {
    await using service = await start()

    await service.send('/v1/batches', { jobs: Array(2_500).fill(fetchOf(PRIVATE)) })

    expect(service.refusals()).toMatchObject([{ count: 1_000 }])
  })
})

describe('an attempt that is refused', () => {
  it('is one line of the same form, with what it was', () => {
    const lines: unknown[] = []
    const told = logRefusals({ info: (...line: unknown[]) => void lines.push(line) })

    told({ tenantId: 'acme', stage: 'attempt', kinds: new Map([['own', 1]]), detail: 'the address ::1' })

    const fields = { tenantId: 'acme', stage: 'attempt', kind: 'own', count: 1, detail: 'the address ::1' }
    expect(lines).toEqual([[fields, 'destination refused']])
  })

  it('goes through the same place, behind a redirect too', async () => {
    await using origin = await startOrigin()
    await using service = await start({ GATHERD_EGRESS_ALLOW: '127.0.0.1' })

    await service.send(
      '/v1/batches',
      { jobs: [fetchOf(origin.url(`/redirect?to=${encodeURIComponent(PRIVATE)}`))] },
      'wait=5',
    )

    expect(service.refusals()).toMatchObject([{ tenantId: 'default', stage: 'attempt', kind: 'address', count: 1 }])
  })
})

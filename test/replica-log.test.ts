import { Writable } from 'node:stream'
import type { FastifyBaseLogger } from 'fastify'
import { describe, expect, it } from 'vitest'
import { buildLogger } from '../src/log.ts'
import { replicaLog } from '../src/replica-log.ts'
import { FakeClock } from './support/fake-clock.ts'

/** The log of a replica, as its lines without their time. */
function start() {
  const clock = new FakeClock()
  const lines: Record<string, unknown>[] = []
  const destination = new Writable({
    write(chunk, _, done) {
      const { time: _time, ...line } = JSON.parse(String(chunk))
      lines.push(line)
      done()
    },
  })
  // What is used of Fastify's type is pino's.
  const logger = buildLogger({ level: 'info', destination }) as unknown as FastifyBaseLogger
  return { clock, lines, log: replicaLog(logger, clock) }
}

const AWAY = new Error("Stream isn't writeable and enableOfflineQueue options is false")

describe('replicaLog', () => {
  it('says once a minute that Redis is away, without a stack', () => {
    const { clock, lines, log } = start()

    for (let second = 0; second < 120; second++) {
      log.failed(AWAY)
      log.failed(new Error('Connection is closed.'))
      clock.advance(1_000)
    }

    const line = { level: 40, reason: AWAY.message, msg: 'Redis does not do what it is asked, it is asked again' }
    expect(lines).toEqual([line, line])
  })

  it('says all else each time, with what is known of it', () => {
    const { lines, log } = start()

    for (let i = 0; i < 2; i++) log.failed(new TypeError('odd'))

    expect(lines).toHaveLength(2)
    const err = { type: 'TypeError', stack: expect.any(String) }
    expect(lines[0]).toEqual({ level: 40, err, reason: 'odd', msg: 'a replica had trouble, it goes on' })
  })

  it('has whose tenants are, with all that it is given', () => {
    const { lines, log } = start()

    log.joined({ replicaId: 'r2' })
    log.gone?.({ replicaId: 'r1' })
    log.tookUp?.({ tenantId: 'acme', batches: 2, replicaId: 'r1' })
    log.gaveUp?.({ tenantId: 'acme' })
    log.skewed?.({ ms: -5_000 })

    expect(lines).toEqual([
      { level: 30, replicaId: 'r2', msg: 'joined the cluster' },
      { level: 40, replicaId: 'r1', msg: 'a replica is gone, the others take its tenants up' },
      { level: 30, tenantId: 'acme', batches: 2, replicaId: 'r1', msg: 'took up a tenant' },
      { level: 30, tenantId: 'acme', msg: 'gave a tenant with work to the others' },
      { level: 40, ms: -5_000, msg: 'the clock is not that of Redis, jobs go by that one' },
    ])
  })
})

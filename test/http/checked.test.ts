import { EventEmitter } from 'node:events'
import type { FastifyRequest } from 'fastify'
import { describe, expect, it } from 'vitest'
import { CHECK_ABOVE_JOBS, checked } from '../../src/http/checked.ts'
import { Turns } from '../../src/json/turns.ts'

/** Turns that go round when the test says so. */
function manual() {
  const due: (() => void)[] = []
  return { turns: new Turns({ nextTurn: (go) => due.push(go) }), due, round: () => due.shift()?.() }
}

function requestOf(tenantId: string, jobs: number) {
  const socket = Object.assign(new EventEmitter(), { destroyed: false })
  const request = { tenantId, raw: { socket }, body: { jobs: Array(jobs).fill(0) } } as unknown as FastifyRequest
  return { socket, request }
}

/** Three steps and a result, noted. */
function* steps(name: string, log: string[], fails = false) {
  for (let i = 1; i <= 3; i++) {
    log.push(`${name}${i}`)
    if (i < 3) yield
  }
  if (fails) throw new Error('wrong')
  return name
}

const settle = () => new Promise((resolve) => setImmediate(resolve))

describe('a batch that is checked', () => {
  it('is checked at once while it is small', () => {
    const { turns, due } = manual()
    const log: string[] = []

    expect(checked(turns, requestOf('a', CHECK_ABOVE_JOBS).request, steps('a', log))).toBe('a')
    expect([log.length, due.length]).toEqual([3, 0])
  })

  it('has a step a turn when it is large, each tenant one after the other', async () => {
    const { turns, round } = manual()
    const log: string[] = []
    const all = ['a', 'b'].map((name) =>
      checked(turns, requestOf(name, CHECK_ABOVE_JOBS + 1).request, steps(name, log)),
    )
    expect(log).toEqual([])

    for (let i = 1; i <= 6; i++) {
      round()
      expect(log.length).toBe(i)
    }

    expect(log).toEqual(['a1', 'b1', 'a2', 'b2', 'a3', 'b3'])
    expect(await Promise.all(all)).toEqual(['a', 'b'])
  })

  it('is refused for what its last step found', async () => {
    const { turns, round } = manual()
    const { request, socket } = requestOf('a', CHECK_ABOVE_JOBS + 1)
    const refused = expect(checked(turns, request, steps('a', [], true))).rejects.toThrow('wrong')
    for (let i = 0; i < 3; i++) round()

    await refused
    expect(socket.listenerCount('close')).toBe(0)
  })

  it('is given up when its client goes, and when it had gone before', async () => {
    const { turns, round } = manual()
    const log: string[] = []
    const [going, gone] = [requestOf('a', CHECK_ABOVE_JOBS + 1), requestOf('b', CHECK_ABOVE_JOBS + 1)]
    gone.socket.destroyed = true
    const all = [going, gone].map(({ request }, i) => checked(turns, request, steps(`${i}`, log)))
    const ended = Promise.allSettled(all)
    round()
    going.socket.emit('close')
    for (let i = 0; i < 5; i++) round()

    expect((await ended).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    await settle()
    expect(log).toEqual(['01'])
  })
})

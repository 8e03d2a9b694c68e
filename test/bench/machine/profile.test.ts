import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { busyBetween, type CpuProfile, type Frame, profileOf } from '../../../bench/machine/profile.ts'
import { REST, STAGE_NAMES, stageOf } from '../../../bench/machine/stages.ts'

const frame = (functionName: string, url = '') => ({ functionName, url })

/** (root) → run → parse, and (idle). One sample each 100 µs from 1,000 on: run, parse, idle, parse, run. */
const PROFILE: CpuProfile = {
  startTime: 1_000,
  nodes: [
    { id: 1, callFrame: frame('(root)'), children: [2, 4] },
    { id: 2, callFrame: frame('run', 'file:///a.ts'), children: [3] },
    { id: 3, callFrame: frame('parse') },
    { id: 4, callFrame: frame('(idle)') },
  ],
  samples: [2, 3, 4, 3, 2],
  timeDeltas: [100, 100, 100, 100, 100],
}

const names = (stack: readonly Frame[]) => stack.map(({ functionName }) => functionName).join(' < ')

describe('busyBetween', () => {
  it('adds up what is not idle, by the name of its stack, the innermost first', () => {
    expect(busyBetween(PROFILE, 0, 10_000, names)).toEqual(
      new Map([
        ['run < (root)', 200],
        ['parse < run < (root)', 200],
      ]),
    )
  })

  it('leaves out what was before and after', () => {
    expect(busyBetween(PROFILE, 1_150, 1_450, names)).toEqual(new Map([['parse < run < (root)', 200]]))
    expect(busyBetween(PROFILE, 2_000, 3_000, names)).toEqual(new Map())
  })
})

describe('profileOf', () => {
  it("finds the main thread's of a process, and says when there is none", () => {
    const dir = mkdtempSync(join(tmpdir(), 'gatherd-test-'))
    writeFileSync(join(dir, 'CPU.20260101.000000.77.0.001.cpuprofile'), JSON.stringify(PROFILE))
    writeFileSync(join(dir, 'CPU.20260101.000000.77.1.002.cpuprofile'), '{}')

    expect(profileOf(dir, 77)).toEqual(PROFILE)
    expect(() => profileOf(dir, 7)).toThrow('no profile of process 7')
    rmSync(dir, { recursive: true })
  })
})

describe('stageOf', () => {
  const src = (path: string) => frame('f', `file:///anywhere/src/${path}`)
  const lib = (path: string) => frame('f', `file:///anywhere/node_modules/${path}`)

  it.each<[Frame[], string]>([
    [[frame('(garbage collector)'), src('core/step.ts')], 'garbage collection'],
    [[frame('writeLatin1String'), frame('handleWriteReq', 'node:internal/stream_base_commons')], 'sockets'],
    [[frame('onread', 'node:internal/streams/readable'), lib('undici/lib/x.js')], 'sockets'],
    [[lib('undici/lib/dispatcher/client.js'), src('jobs/fetch/run.ts')], 'undici'],
    [[frame('wasm-function[20]', 'wasm://wasm/00034eea')], 'undici'],
    [[frame('parse'), frame('URL', 'node:internal/url'), src('jobs/fetch/request.ts')], 'request'],
    [[frame('stringify'), src('engine/local/sealer.ts')], 'its spec'],
    [[src('engine/local/fair-queue.ts')], 'whose turn'],
    [[src('engine/local/attempts.ts')], 'attempt'],
    [[src('jobs/attempt.ts')], 'attempt'],
    [[src('jobs/fetch/result.ts')], 'request'],
    [[src('engine/local/runtime.ts')], 'the turns'],
    [[src('core/step.ts')], 'the turns'],
    [[frame('postMessage'), src('store/sqlite/thread.ts')], 'commit'],
    [[src('engine/local/journal.ts')], 'commit'],
    [[src('egress/pools.ts')], 'egress'],
    [[src('egress/guard/guard.ts')], 'submission'],
    [[src('schema/quick.ts')], 'submission'],
    [[frame('runMicrotasks'), frame('processTicks', 'node:internal/process/task_queues')], 'microtasks'],
    [[lib('fastify/lib/reply.js'), src('http/responses.ts')], REST],
    [[frame('now')], REST],
  ])('%#', (stack, stage) => {
    expect(stageOf(stack)).toMatch(new RegExp(`^${stage}`))
    expect(STAGE_NAMES).toContain(stageOf(stack))
  })
})

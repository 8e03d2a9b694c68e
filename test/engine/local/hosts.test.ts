import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { newBatch } from '../../../src/core/batch.ts'
import { Hosts } from '../../../src/engine/local/hosts.ts'
import { newBatchQueue, newTenantQueue } from '../../../src/engine/local/queues.ts'
import type { CommonSpec, JobKind } from '../../../src/jobs/kind.ts'

const NONE = z.strictObject({})
const KINDS = new Map<string, JobKind>([
  // The target is in the name, which these tests have no other use for.
  ['fetch', { name: 'fetch', spec: NONE, hostOf: ({ name }) => name, run: async () => null }],
  ['sleep', { name: 'sleep', spec: NONE, run: async () => null }],
])
const at = (name?: string): CommonSpec => ({ kind: 'fetch', name })

function queue() {
  const tenant = newTenantQueue('a', { cap: 1, weight: 1, paused: false })
  return newBatchQueue(tenant, newBatch({ policy: 'all_settled' }), null)
}

describe('Hosts', () => {
  it('gives jobs of the same host the same counter, over all batches', () => {
    const hosts = new Hosts({ cap: 3, kinds: KINDS })
    const [one, two] = [queue(), queue()]

    hosts.assign(one, 0, [at('a:1'), at('b:1'), at('a:1')])
    hosts.assign(two, 0, [at('a:1')])

    expect(one.hosts.map((host) => host?.key)).toEqual(['a:1', 'b:1', 'a:1'])
    expect(one.hosts[2]).toBe(one.hosts[0])
    expect(two.hosts[0]).toBe(one.hosts[0])
    expect(one.hosts[0]).toMatchObject({ cap: 3, running: 0 })
    expect(hosts.size).toBe(2)
  })

  it('leaves jobs without a target alone, and jobs of a kind that is gone', () => {
    const hosts = new Hosts({ cap: 3, kinds: KINDS })
    const batch = queue()

    hosts.assign(batch, 0, [{ kind: 'sleep' }, at(undefined), { kind: 'gone' }])
    hosts.assign(batch, 3, [at('a:1')])

    expect(batch.hosts.map((host) => host?.key ?? null)).toEqual([null, null, null, 'a:1'])
    expect(hosts.size).toBe(1)
  })

  it('forgets a host when the last batch that uses it is over', () => {
    const hosts = new Hosts({ cap: 3, kinds: KINDS })
    const [one, two] = [queue(), queue()]
    hosts.assign(one, 0, [at('a:1'), at('b:1'), at('a:1')])
    hosts.assign(two, 0, [at('a:1')])
    const kept = two.hosts[0]

    hosts.release(one)
    hosts.release(one)
    expect(hosts.size).toBe(1)
    hosts.assign(one, 3, [at('a:1')])
    expect(one.hosts[3]).toBe(kept)
    hosts.release(two)
    expect(hosts.size).toBe(1)
    hosts.release(one)

    expect(hosts.size).toBe(0)
  })

  it('keeps nothing while hosts have no cap', () => {
    const hosts = new Hosts({ cap: 0, kinds: KINDS })
    const batch = queue()

    hosts.assign(batch, 0, [at('a:1')])
    hosts.release(batch)

    expect([batch.hosts, hosts.size, hosts.capped]).toEqual([[], 0, false])
    expect(new Hosts({ cap: 1, kinds: KINDS }).capped).toBe(true)
  })
})

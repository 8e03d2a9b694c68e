import { describe, expect, it } from 'vitest'
import { factsOf, risksOf, unfitness } from '../../../src/engine/cluster/fitness.ts'

const facts = (more: Record<string, string>) =>
  new Map(Object.entries({ redis_version: '7.0.15', redis_mode: 'standalone', role: 'master', ...more }))

describe('factsOf', () => {
  it('has the fields of an answer to INFO, whatever stands between them', () => {
    const info = '# Server\r\nredis_version:7.0.15\r\n\r\nexecutable:/usr/bin/a:b\r\n# Keyspace\r\n'

    expect([...factsOf(info)]).toEqual([
      ['redis_version', '7.0.15'],
      ['executable', '/usr/bin/a:b'],
    ])
  })
})

describe('unfitness', () => {
  it.each(['6.2.0', '6.2.14', '7.0.0', '10.1.2', '7.2.4'])('takes version %s', (version) => {
    expect(unfitness(facts({ redis_version: version }))).toBeNull()
  })

  it.each(['6.0.16', '6.1.0', '5.0.14', '3.2.1'])('refuses version %s', (version) => {
    expect(unfitness(facts({ redis_version: version }))).toBe(
      `it is version ${version}, and 6.2 is the oldest that will do`,
    )
  })

  it('refuses a node of a Redis Cluster and a read-only replica', () => {
    expect(unfitness(facts({ redis_mode: 'cluster' }))).toContain('Redis Cluster')
    expect(unfitness(facts({ role: 'slave' }))).toContain('read-only')
  })

  it('takes one that says nothing of itself', () => {
    expect(unfitness(new Map())).toBeNull()
  })
})

describe('risksOf', () => {
  it('has nothing against a server that keeps what it is told', () => {
    expect(risksOf(facts({ maxmemory_policy: 'noeviction', aof_enabled: '1' }))).toEqual([])
    expect(risksOf(new Map())).toEqual([])
  })

  it('names a policy that deletes keys, and an append-only file that is off', () => {
    const risks = risksOf(facts({ maxmemory_policy: 'allkeys-lru', aof_enabled: '0' }))

    expect(risks.map((risk) => risk.split(' ').slice(0, 3).join(' '))).toEqual([
      'maxmemory-policy is allkeys-lru:',
      'appendonly is no:',
    ])
  })
})

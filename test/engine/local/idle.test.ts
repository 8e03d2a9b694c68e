import { describe, expect, it } from 'vitest'
import { Idle } from '../../../src/engine/local/idle.ts'
import { Tenants } from '../../../src/engine/local/tenants.ts'
import { turn } from '../../support/fake-clock.ts'
import { DEFAULTS } from './live.ts'

function start() {
  const tenants = new Tenants({ defaults: DEFAULTS })
  const [a, b] = [tenants.get('a'), tenants.get('b')]
  const all = () => a.queue.running + b.queue.running
  const idle = new Idle((tenant) => (tenant?.queue.running ?? all()) > 0)
  const told: string[] = []
  const wait = (name: string, tenant?: typeof a) => void idle.wait(tenant).then(() => told.push(name))
  return { a, b, idle, told, wait }
}

describe('Idle', () => {
  it('makes nobody wait while nothing runs', async () => {
    const { a, b, told, wait } = start()
    b.queue.running = 1

    wait('a', a)
    await turn()

    expect(told).toEqual(['a'])
  })

  it('tells whoever waits for a tenant when its last attempt has ended, and who waits for all at the last of all', async () => {
    const { a, b, idle, told, wait } = start()
    a.queue.running = 2
    b.queue.running = 1
    wait('all')
    wait('a', a)
    wait('b', b)

    const heard: string[][] = []
    for (const tenant of [a, a, b]) {
      tenant.queue.running--
      idle.look()
      await turn()
      heard.push(told.splice(0))
    }

    expect(heard).toEqual([[], ['a'], ['all', 'b']])
  })
})

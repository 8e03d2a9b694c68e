import { describe, expect, it } from 'vitest'
import { startOrigin } from '../support/origin.ts'
import { type Caller, startService, type TestService } from '../support/service.ts'

const range = (length: number) => Array.from({ length }, (_, i) => i)

/** One fetch that succeeds. */
async function fetchOnce(caller: Caller, url: string): Promise<void> {
  const { jobs } = await caller.run({ jobs: [{ kind: 'fetch', url }] })
  expect(jobs[0]?.state).toBe('succeeded')
}

/** Connections that the origin has seen, each by its requests. */
function requests({ origin }: TestService): number[] {
  return origin.sockets.map((socket) => socket.requests)
}

describe('keep-alive', () => {
  it('serves one job of a tenant after another on one socket', async () => {
    await using service = await startService()

    for (const _ of range(5)) await fetchOnce(service.me, service.origin.url('/ok'))
    await service.me.run({ maxConcurrency: 1, jobs: range(5).map(() => service.fetch('/ok')) })

    expect(requests(service)).toEqual([10])
  })

  it('needs no more sockets than jobs run at once', async () => {
    await using service = await startService({ tenantConcurrency: 4 })

    await service.me.run({ jobs: range(40).map(() => service.fetch('/ok')) })

    expect(service.origin.sockets.length).toBeLessThanOrEqual(4)
    expect(service.origin.hits.length).toBe(40)
  })

  it('follows redirects within the origin on the same socket', async () => {
    await using service = await startService()

    await fetchOnce(service.me, service.origin.url('/redirect?to=/ok'))
    await fetchOnce(service.me, service.origin.url('/ok'))

    expect(service.origin.hits.length).toBe(3)
    expect(requests(service).toSorted()).toEqual([3])
  })

  it('never gives one tenant the socket of another', async () => {
    await using service = await startService({ tenants: { other: {} } })

    for (const _ of range(3))
      for (const caller of [service.me, service.as('other')]) await fetchOnce(caller, service.origin.url('/ok'))

    expect(requests(service)).toEqual([3, 3])
  })

  it('never gives one origin the socket of another', async () => {
    await using service = await startService()
    await using second = await startOrigin()

    for (const _ of range(2))
      for (const origin of [service.origin, second]) await fetchOnce(service.me, origin.url('/ok'))

    expect([requests(service), second.sockets.map((socket) => socket.requests)]).toEqual([[2], [2]])
  })

  it('ends with the policy that the socket was opened under', async () => {
    await using service = await startService()
    const url = service.origin.url('/ok')

    await fetchOnce(service.me, url)
    await service.configure('acme', { egress: { deny: ['192.0.2.1'] } })
    await fetchOnce(service.me, url)
    await fetchOnce(service.me, url)
    await service.configure('acme', { egress: { deny: ['192.0.2.2'] } })
    await fetchOnce(service.me, url)

    expect(requests(service)).toEqual([1, 2, 1])
  })

  it('leaves no open socket to a tenant that may not go there any more', async () => {
    await using service = await startService()
    await fetchOnce(service.me, service.origin.url('/ok'))

    const { id } = await service.me.submit({ jobs: [service.fetch('/ok', { delayMs: 50 })] })
    await service.configure('acme', { egress: { deny: ['127.0.0.1'] } })
    const { jobs } = await service.me.drained(id)

    expect([jobs[0]?.error?.code, requests(service)]).toEqual(['egress_denied', [1]])
  })
})

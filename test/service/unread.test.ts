import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { type Caller, sleepFor, startService, type TestService } from '../support/service.ts'

/** Results that make each page of a batch's a large one. */
const large = () => Array.from({ length: 30 }, () => sleepFor(0, { result: 'x'.repeat(100_000) }))

/** A request whose answer nobody reads. */
async function unread(service: TestService, { key }: Caller, path: string): Promise<Socket> {
  const socket = connect(service.port, '127.0.0.1')
  socket.pause()
  await once(socket, 'connect')
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson, application/json;q=0.5\r\nAuthorization: Bearer ${key}\r\nConnection: close\r\n\r\n`,
  )
  return socket
}

/** All of it, read at last. */
async function readAll(socket: Socket): Promise<string> {
  let text = ''
  for await (const chunk of socket) text += chunk
  return text
}

describe('answers that nobody reads', () => {
  it('answers a neighbour while twelve readers of large results take nothing, and those when they do', async () => {
    await using service = await startService({ maxUnreadBytes: 4_194_304, tenants: { neighbour: {} } })
    const { id } = (await service.me.run({ jobs: large() })).batch
    const other = service.as('neighbour')
    const theirs = (await other.run({ jobs: large() })).batch
    const paths = ['/events', '?include=jobs', '/jobs?limit=1000', '/wait']
    const sockets = await Promise.all(
      Array.from({ length: 12 }, (_, n) => unread(service, service.me, `/v1/batches/${id}${paths[n % paths.length]}`)),
    )

    const { status, body } = await other.http.get(`/v1/batches/${theirs.id}`).query({ include: 'jobs' })
    expect([status, body.jobs.length]).toEqual([200, 30])

    const answers = await Promise.all(sockets.map(readAll))
    expect(answers.map((text) => text.startsWith('HTTP/1.1 200'))).toEqual(answers.map(() => true))
    // Jobs' pages end after about 1 MiB; all others are whole.
    const counts = answers.map((text) => text.split('"result":"x').length - 1)
    expect(counts.filter((_, n) => n % 4 !== 2)).toEqual(Array.from({ length: 9 }, () => 30))
    expect(counts.filter((_, n) => n % 4 === 2)).toEqual(Array.from({ length: 3 }, () => 11))
  }, 60_000)
})

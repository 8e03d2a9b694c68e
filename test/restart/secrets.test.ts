import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { KEY_FILE } from '../../src/secrets/key-file.ts'
import { ServeProcess } from '../support/process.ts'
import { tempDir } from '../support/temp-dir.ts'
import { type Reopenable, startReopenable } from './reopen.ts'

const SECRET = 'Bearer canary-in-a-header'
const KEY_A = 'a-key-of-32-characters-or-more-aa'
const KEY_B = 'b-key-of-32-characters-or-more-bb'

/** What the origin got as `authorization` on a path, in order. */
function received({ origin }: Reopenable, path: string): (string | undefined)[] {
  return origin.hits.filter((hit) => hit.path === path).map(({ headers }) => headers.authorization)
}

/** One job that runs, and one behind it that waits until there has been a restart, both with the secret. */
async function submitTwo(world: Reopenable): Promise<string> {
  const headers = { Authorization: SECRET, accept: 'a/b' }
  const jobs = ['/hold/first', '/ok/second'].map((path) => world.fetch(path, { headers }))
  const { id } = await world.me.submit({ maxConcurrency: 1, jobs })
  await world.origin.whenHit('/hold/first')
  return id
}

describe('a secret header', () => {
  it('is sent after a crash as before it, and is in no file meanwhile', async () => {
    await using world = await startReopenable()
    const id = await submitTwo(world)
    const image = world.image()
    for (const file of ['gatherd.db', 'gatherd.db-wal'])
      expect(readFileSync(join(image, file)).includes('canary-in-a-header')).toBe(false)

    await world.moveTo(image)
    world.origin.release('/hold/first')
    const { batch } = await world.drained(id)

    expect(batch.counts).toMatchObject({ succeeded: 2 })
    expect(received(world, '/hold/first')).toEqual([SECRET, SECRET])
    expect(received(world, '/ok/second')).toEqual([SECRET])
  })

  it('is sent when its job was rescheduled and appended to a batch', async () => {
    await using world = await startReopenable()
    const id = await submitTwo(world)
    const headers = { authorization: `${SECRET}-2` }
    const [appended] = await world.me.append(id, [world.fetch('/ok/third', { headers })])
    await world.me.http.patch(`/v1/jobs/${appended?.id}`).send({ priority: 5, deadlineMs: 60_000 }).expect(200)

    await world.crash()
    world.origin.release('/hold/first')
    await world.drained(id)

    expect(received(world, '/ok/third')).toEqual([`${SECRET}-2`])
    // The priority came back from the spec that the PATCH wrote.
    const paths = world.origin.hits.map(({ path }) => path)
    expect(paths.indexOf('/ok/third')).toBeLessThan(paths.indexOf('/ok/second'))
  })

  it('is read with the old key of a setting while both are there', async () => {
    await using world = await startReopenable({ secretKey: KEY_A })
    const id = await submitTwo(world)

    await world.crash({ secretKey: `${KEY_B},${KEY_A}` })
    world.origin.release('/hold/first')
    await world.drained(id)

    expect(received(world, '/ok/second')).toEqual([SECRET])
  })
})

describe('jobs whose key is lost', () => {
  it('fail with a code that says so, and nothing is sent; all else is as before', async () => {
    await using world = await startReopenable()
    const id = await submitTwo(world)
    const plain = await world.me.append(id, [world.fetch('/ok/plain', { headers: { accept: 'a/b' } })])
    const image = world.image()
    rmSync(join(image, KEY_FILE))

    await world.moveTo(image)
    const { jobs } = await world.drained(id)

    const error = { type: 'SecretError', code: 'secret_unreadable' }
    expect(jobs.slice(0, 2)).toMatchObject([
      { state: 'failed', error },
      { state: 'failed', error },
    ])
    expect(jobs[plain[0]?.index ?? -1]).toMatchObject({ state: 'succeeded' })
    expect(JSON.stringify(jobs)).not.toMatch(/canary|sealed/)
    expect([received(world, '/hold/first'), received(world, '/ok/second')]).toEqual([[SECRET], []])
  })

  it('can be rescheduled, and run when the key is back', async () => {
    await using world = await startReopenable({ secretKey: KEY_A })
    await world.admin.put('/v1/admin/tenants/acme').send({ paused: true })
    const { id } = await world.me.submit({ jobs: [world.fetch('/ok/a', { headers: { authorization: SECRET } })] })
    await world.crash({ secretKey: KEY_B })
    const { jobs } = (await world.me.http.get(`/v1/batches/${id}?include=jobs`)).body
    await world.me.http.patch(`/v1/jobs/${jobs[0].id}`).send({ priority: 5 }).expect(200)

    await world.crash({ secretKey: KEY_A })
    await world.admin.put('/v1/admin/tenants/acme').send({ paused: false })
    await world.drained(id)

    expect(received(world, '/ok/a')).toEqual([SECRET])
  })

  it('have Idempotency-Keys that are taken for used with another body', async () => {
    await using world = await startReopenable({ secretKey: KEY_A })
    const send = () => world.me.http.post('/v1/batches').set('idempotency-key', 'k').send({ jobs: [] })
    await send().expect(202)
    await world.crash({ secretKey: `${KEY_B},${KEY_A}` })
    await send().expect(202)

    await world.crash({ secretKey: KEY_B })

    expect((await send()).body.code).toBe('idempotency_mismatch')
  })
})

describe('a row that was edited in the database', () => {
  it('does not send its secret to another host', async () => {
    await using world = await startReopenable()
    const id = await submitTwo(world)
    const image = world.image()
    const database = new DatabaseSync(join(image, 'gatherd.db'))
    const from = `127.0.0.1:${world.origin.port}`
    database
      .prepare("UPDATE specs SET spec = replace(spec, ?, ?) WHERE spec LIKE '%second%'")
      .run(from, `localhost:${world.origin.port}`)
    database.close()

    await world.moveTo(image)
    world.origin.release('/hold/first')
    const { jobs } = await world.drained(id)

    expect(jobs[1]).toMatchObject({ state: 'failed', error: { code: 'secret_unreadable' } })
    expect(world.origin.hitsOf('/ok/second')).toBe(0)
  })
})

describe('a start with a key file that', () => {
  it.each([
    ['others can read', 'ab'.repeat(32), 0o644, /can be used by others/],
    ['is damaged', 'half', 0o600, /is damaged/],
  ])('%s ends with 2 and one line', async (_, text, mode, line) => {
    using dir = tempDir()
    writeFileSync(join(dir.path, KEY_FILE), text)
    chmodSync(join(dir.path, KEY_FILE), mode)
    await using started = new ServeProcess(dir.path)

    const { status } = await started.exited

    expect([status, started.stdout]).toEqual([2, ''])
    expect(started.stderr).toMatch(line)
    expect(started.stderr.trim().split('\n')).toHaveLength(1)
  })
})

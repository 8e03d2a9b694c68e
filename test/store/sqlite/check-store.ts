import { copyFileSync, cpSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { checkStore, type Problem } from '../../../src/store/sqlite/check.ts'
import { DATABASE_FILE } from '../../../src/store/sqlite/open.ts'
import { type Reopenable, startReopenable } from '../../restart/reopen.ts'
import { forever, sleepFor } from '../../support/service.ts'
import { tempDir } from '../../support/temp-dir.ts'

/** A packed entry of the log, as in entries.ts. */
export type Packed = [type: number, at: number, index: number, count: number, facts?: Record<string, unknown>]

/** A service that has had batches of every policy and every end, and has some that live, appended to and cancelled. */
export async function busyWorld(): Promise<Reopenable> {
  const world = await startReopenable({ tenantConcurrency: 64 })
  const { me } = world
  const [ok, fail, hold] = ['/ok', '/fail', '/hold'].map((path) => () => world.fetch(path))
  const ended: string[] = []
  const run = async (name: string, submission: Record<string, unknown> & { jobs: Record<string, unknown>[] }) => {
    const { id } = await me.submit({ name, labels: { name }, ...submission })
    ended.push(id)
    return id
  }
  await run('empty', { jobs: [] })
  await run('all', {
    policy: 'all_settled',
    jobs: [ok(), fail(), sleepFor(1), forever({ timeoutMs: 5 }), forever({ deadlineMs: 0 })],
  })
  await run('group', {
    policy: 'task_group',
    jobs: [fail(), forever(), forever({ delayMs: 60_000 }), forever({ delayMs: 60_000 })],
  })
  await run('gather', { policy: 'gather', jobs: [fail(), sleepFor(30)] })
  await run('any', { policy: 'any', jobs: [fail(), ok(), hold()] })
  await run('race', { policy: 'race', jobs: [sleepFor(1), forever()] })
  await run('quorum', { policy: 'quorum', n: 2, jobs: [ok(), ok(), forever()] })
  await run('hedge', { policy: 'hedge', hedgeDelayMs: 1, jobs: [fail(), ok(), forever()] })
  await run('late', { timeoutMs: 10, jobs: [forever(), forever({ delayMs: 60_000 })] })
  const cancelled = await run('cancelled', { jobs: [forever(), forever(), forever({ delayMs: 60_000 })] })
  await me.seen(cancelled, 'job.started', 1)
  await me.cancelJob(`${cancelled}-0`, { reason: 'this one' })
  await me.cancel(cancelled, { reason: 'all of it' })
  const appended = await run('appended', { open: true, jobs: [sleepFor(0)] })
  await me.append(appended, [sleepFor(0, { name: 'late' }), fail()])
  await me.http.post(`/v1/batches/${appended}/close`).expect(200)
  const body = { name: 'keyed', jobs: [sleepFor(0)] }
  const keyed = await me.http.post('/v1/batches').set('idempotency-key', 'once').send(body).expect(202)
  for (const id of [...ended, keyed.body.id]) await me.drained(id)
  const live = await me.submit({
    name: 'live',
    labels: { name: 'live' },
    jobs: [forever(), forever({ delayMs: 3_600_000 })],
  })
  await me.seen(live.id, 'job.started', 0)
  await me.http.patch(`/v1/jobs/${live.id}-1`).send({ priority: 3 }).expect(200)
  const shielded = await me.submit({ name: 'shielded', jobs: [forever({ shield: true }), forever()] })
  for (const index of [0, 1]) await me.seen(shielded.id, 'job.started', index)
  await me.cancel(shielded.id)
  await me.seen(shielded.id, 'batch.settled')
  await me.submit({ name: 'open', open: true, jobs: [] })
  return world
}

/** What a crash left of {@link busyWorld}, in one file: the WAL is in the database. */
export async function crashedStore(): Promise<{ file: string } & Disposable> {
  const dir = tempDir()
  await using world = await busyWorld()
  cpSync(world.image(), dir.path, { recursive: true })
  const file = join(dir.path, DATABASE_FILE)
  withDatabase(file, (database) => database.exec('PRAGMA wal_checkpoint(TRUNCATE)'))
  return { file, [Symbol.dispose]: () => dir[Symbol.dispose]() }
}

/** A store at rest that can be broken: a copy of `from`. */
export function brokenCopy(from: string) {
  const dir = tempDir()
  const file = join(dir.path, DATABASE_FILE)
  copyFileSync(from, file)
  return {
    dir: dir.path,
    file,
    /** Change it as nobody should. */
    break: (change: (database: DatabaseSync) => void) => withDatabase(file, change),
    [Symbol.dispose]: () => dir[Symbol.dispose](),
  }
}

export function withDatabase<T>(file: string, use: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(file)
  try {
    return use(database)
  } finally {
    database.close()
  }
}

/** The number of the batch of this name, for SQL. */
export function no(name: string): string {
  return `(SELECT no FROM batches WHERE header ->> '$.name' = '${name}')`
}

/** The id of a job's rows, for SQL. */
export function job(name: string, index: number): string {
  return `(${no(name)} * 1048576 + ${index})`
}

/** Write the log of a batch anew, in one row, after `edit` has changed its entries. */
export function editLog(database: DatabaseSync, name: string, edit: (entries: Packed[]) => Packed[]): void {
  const rows = database.prepare(`SELECT entries FROM log WHERE no = ${no(name)} ORDER BY seq`).all()
  const entries = edit(rows.flatMap((row) => JSON.parse(String(row.entries))))
  database.exec(`DELETE FROM log WHERE no = ${no(name)}`)
  database.prepare(`INSERT INTO log VALUES (${no(name)}, 1, ?)`).run(JSON.stringify(entries))
}

/** What a check finds, as `name of the batch, job: message`. */
export function problemsOf(file: string): string[] {
  const { problems, found } = checkStore(file)
  const names = withDatabase(file, (database) =>
    database.prepare(`SELECT id, header ->> '$.name' AS name FROM batches`).all(),
  )
  const nameOf = new Map(names.map(({ id, name }) => [id, String(name)]))
  if (found !== problems.length) throw new Error(`${found} problems, ${problems.length} of them named`)
  return problems.map(({ batch, index, message }: Problem) =>
    batch === undefined
      ? message
      : `${nameOf.get(batch) ?? batch}${index === undefined ? '' : ` ${index}`}: ${message}`,
  )
}

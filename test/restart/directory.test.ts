import { closeSync, openSync, readdirSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { Installation, ServeProcess } from '../support/process.ts'
import { tempDir } from '../support/temp-dir.ts'
import { mountTmpfs } from './mount.ts'

/** How a start on a directory that cannot be used ends, and what it says. */
async function refused(dataDir: string): Promise<{ status: number | null; stdout: string; stderr: string }> {
  await using started = new ServeProcess(dataDir)
  const { status } = await started.exited
  return { status, stdout: started.stdout, stderr: started.stderr }
}

describe('a start on a data directory that cannot be used ends with 2 and one line that says why:', () => {
  it('a file', async () => {
    using dir = tempDir()
    const path = join(dir.path, 'file')
    writeFileSync(path, '')

    const { status, stdout, stderr } = await refused(path)

    expect([status, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(new RegExp(`^gatherd: The data directory ${path} cannot be used: .*\\n$`))
  })

  it('a directory that nothing can be written to', async ({ skip }) => {
    using mounted = mountTmpfs('ro,size=1m')
    if (mounted === null) return skip('no tmpfs can be mounted here')

    const { status, stderr } = await refused(mounted.path)

    expect(status).toBe(2)
    expect(stderr).toMatch(new RegExp(`^gatherd: The data directory ${mounted.path} cannot be used: .*\\n$`))
  })

  it('one that a running service has', async () => {
    await using installation = new Installation()
    await installation.start()

    const { status, stderr } = await refused(installation.dataDir)

    expect(status).toBe(2)
    expect(stderr).toMatch(/^gatherd: The data directory .* cannot be used: another gatherd process is using it\.\n$/)
    expect((await fetch(`${installation.url}/readyz`)).status).toBe(200)
  })

  it('one of a newer version', async () => {
    using dir = tempDir()
    const database = new DatabaseSync(join(dir.path, 'gatherd.db'))
    database.exec('PRAGMA user_version = 99')
    database.close()

    const { status, stderr } = await refused(dir.path)

    expect(status).toBe(2)
    expect(stderr).toMatch(
      /^gatherd: The database is of version 99, this program knows up to \d+: run a newer gatherd\.\n$/,
    )
  })

  it('one whose database is no database', async () => {
    using dir = tempDir()
    writeFileSync(join(dir.path, 'gatherd.db'), 'something else altogether'.repeat(400))

    const { status, stderr } = await refused(dir.path)

    expect(status).toBe(2)
    expect(stderr).toMatch(/^gatherd: The data directory .* cannot be used: .*not a database.*\n$/)
  })

  it('one whose database is damaged inside', async () => {
    await using installation = new Installation()
    await installation.start()
    await installation.process.end('SIGTERM')
    const file = openSync(join(installation.dataDir, 'gatherd.db'), 'r+')
    // All pages but the first: the header is as it should be.
    writeSync(
      file,
      Buffer.alloc(statSync(join(installation.dataDir, 'gatherd.db')).size - 4_096, 0x5a),
      0,
      undefined,
      4_096,
    )
    closeSync(file)

    const { status, stderr } = await refused(installation.dataDir)

    expect(status).toBe(2)
    expect(stderr).toMatch(/^gatherd: The data directory .* cannot be used: .*(malformed|corrupt|disk image).*\n$/)
  })
})

it('makes files that no other user can read', async () => {
  using dir = tempDir()
  const dataDir = join(dir.path, 'made', 'data')
  await using started = new ServeProcess(dataDir)
  await started.listening

  const open = readdirSync(dataDir).filter((name) => (statSync(join(dataDir, name)).mode & 0o077) !== 0)

  expect(open).toEqual([])
  expect(statSync(dataDir).mode & 0o777).toBe(0o700)
})

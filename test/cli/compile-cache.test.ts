import { chmodSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { useCompileCache } from '../../src/cli/compile-cache.ts'
import { SETTINGS } from '../../src/config.ts'
import { Installation } from '../support/process.ts'
import { tempDir } from '../support/temp-dir.ts'

// These are services that nobody gave a cache.
delete process.env.NODE_COMPILE_CACHE

/** The compile cache that a service leaves which finds what `prepare` put there, and is asked to end. */
async function compiledBy(prepare: (directory: string) => void): Promise<string[]> {
  await using installation = new Installation()
  const directory = join(installation.dataDir, 'compile-cache')
  prepare(directory)
  await installation.start()
  await installation.process.end('SIGTERM')
  return readdirSync(directory)
}

describe('the compile cache of a service', () => {
  it('is written while it runs, for its user alone: a process that is killed would leave none', async () => {
    await using installation = new Installation()
    const directory = join(installation.dataDir, 'compile-cache')

    await installation.start()

    // More than the store's threads have: the whole service.
    await expect
      .poll(() => readdirSync(directory, { recursive: true }).length, { timeout: 20_000 })
      .toBeGreaterThan(300)
    expect(statSync(directory).mode & 0o777).toBe(0o700)
  }, 30_000)

  it('is not used when somebody else can write to it', async () => {
    const others = (directory: string) => {
      mkdirSync(directory)
      chmodSync(directory, 0o777)
    }

    expect(await compiledBy(others)).toEqual([])
  })

  it('is not used when it is a link', async () => {
    using elsewhere = tempDir()

    expect(await compiledBy((directory) => symlinkSync(elsewhere.path, directory))).toEqual([])
  })

  it('is none where the data directory is a file, and nothing is said of that', () => {
    using dir = tempDir()
    const file = join(dir.path, 'file')
    writeFileSync(file, '')

    expect(() => useCompileCache(file, process.geteuid?.())).not.toThrow()
  })

  it('is where GATHERD_DATA_DIR is when that is not set', () => {
    expect(SETTINGS.find(({ name }) => name === 'GATHERD_DATA_DIR')?.default).toBe('./data')
  })
})

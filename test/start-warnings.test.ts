import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../src/clock.ts'
import { readConfig } from '../src/config.ts'
import { buildLogger } from '../src/log.ts'
import { KEY_FILE } from '../src/secrets/key-file.ts'
import { wireEngine } from '../src/wiring.ts'
import { tempDir } from './support/temp-dir.ts'

const KEY_A = 'a-key-of-32-characters-or-more-aa'
const KEY_B = 'b-key-of-32-characters-or-more-bb'

/** Start on these settings and stop again; what was warned of, as its message, setting and reason. */
async function warnings(env: Record<string, string>): Promise<{ msg: string; name?: string; reason: string }[]> {
  const lines: string[] = []
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk))
      done()
    },
  })
  const parts = await wireEngine(readConfig({ GATHERD_DATA_DIR: ':memory:', ...env }), {
    clock: systemClock,
    logger: buildLogger({ level: 'warn', destination }),
    version: '0.0.0-test',
    onFatal: (error) => {
      throw error
    },
  })
  await parts.close()
  return lines.map((line) => JSON.parse(line))
}

describe('the start', { timeout: 60_000 }, () => {
  it('warns of entries that open nothing, each with its setting and why', async () => {
    const warned = await warnings({
      GATHERD_EGRESS_ALLOW: '10.1.0.0/16,8.8.8.8',
      GATHERD_EGRESS_ALLOW_HOSTS: 'app.corp,metadata.google.internal',
    })

    expect(warned.map(({ msg, name, reason }) => [msg, name, reason])).toEqual([
      [
        'an entry opens nothing',
        'GATHERD_EGRESS_ALLOW',
        '"8.8.8.8" is public, and public addresses are open without it.',
      ],
      [
        'an entry opens nothing',
        'GATHERD_EGRESS_ALLOW_HOSTS',
        expect.stringContaining('"metadata.google.internal" is the name'),
      ],
    ])
  })

  it('warns of nothing where all is well', async () => {
    using place = tempDir()
    const env = { GATHERD_DATA_DIR: place.path, GATHERD_EGRESS_ALLOW: '10.1.0.0/16' }

    expect(await warnings(env)).toEqual([])
    expect(await warnings(env)).toEqual([])
  })
})

describe('a start without the key of the database', { timeout: 60_000 }, () => {
  const GONE = [
    { msg: 'the key of this database is not there', reason: expect.stringContaining('idempotency_mismatch') },
  ]

  it('warns, once, when the key file is gone', async () => {
    using place = tempDir()
    const env = { GATHERD_DATA_DIR: place.path }
    await warnings(env)
    rmSync(join(place.path, KEY_FILE))

    expect(await warnings(env)).toMatchObject(GONE)
    expect(await warnings(env)).toEqual([])
  })

  it('does not warn when the old key is put back under the new one', async () => {
    using place = tempDir()
    const env = { GATHERD_DATA_DIR: place.path }
    await warnings(env)
    const file = join(place.path, KEY_FILE)
    const old = readFileSync(file, 'utf8')
    rmSync(file)
    await warnings(env)

    writeFileSync(file, readFileSync(file, 'utf8') + old)
    expect(await warnings(env)).toEqual([])
    // Not with the old one alone either way: something was sealed with the new one.
    writeFileSync(file, old)
    expect(await warnings(env)).toMatchObject(GONE)
  })

  it('warns of a setting that is another, not of one that has the old one behind it', async () => {
    using place = tempDir()
    const start = (GATHERD_SECRET_KEY: string) => warnings({ GATHERD_DATA_DIR: place.path, GATHERD_SECRET_KEY })

    expect(await start(KEY_A)).toEqual([])
    expect(await start(`${KEY_B},${KEY_A}`)).toEqual([])
    expect(await start(KEY_B)).toEqual([])
    expect(await start(KEY_A)).toMatchObject(GONE)
  })

  it('does not warn of a setting that comes in place of the key file, which is still there', async () => {
    using place = tempDir()
    const env = { GATHERD_DATA_DIR: place.path }
    await warnings(env)

    expect(await warnings({ ...env, GATHERD_SECRET_KEY: KEY_A })).toEqual([])
  })

  it('keeps nothing from which the key could be told', async () => {
    using place = tempDir()
    await warnings({ GATHERD_DATA_DIR: place.path, GATHERD_SECRET_KEY: KEY_A })

    expect(readFileSync(join(place.path, 'gatherd.db')).includes(KEY_A)).toBe(false)
  })
})

import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/errors.ts'
import { KEY_FILE, makeKeyFile, readKeyFile } from '../../src/secrets/key-file.ts'
import { tempDir } from '../support/temp-dir.ts'

const KEY = 'ab'.repeat(32)

/** A directory with a key file. */
function dirWith(text: string, mode = 0o600) {
  const dir = tempDir()
  writeFileSync(join(dir.path, KEY_FILE), text)
  chmodSync(join(dir.path, KEY_FILE), mode)
  return dir
}

/** What `use` refuses the file with. */
function refusal(use: () => unknown): string {
  try {
    use()
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown.message
    throw thrown
  }
  return ''
}

describe('the key file', () => {
  it('is made for its owner alone, with a key that is another each time', () => {
    using one = tempDir()
    using two = tempDir()

    const [key] = makeKeyFile(one.path)

    expect(statSync(join(one.path, KEY_FILE)).mode & 0o777).toBe(0o600)
    expect(key).toHaveLength(32)
    expect(readKeyFile(one.path)).toEqual([key])
    expect(makeKeyFile(two.path)).not.toEqual([key])
  })

  it('leaves nothing beside it, not even what a start left that was cut off', () => {
    using dir = tempDir()
    writeFileSync(join(dir.path, `${KEY_FILE}.new`), 'half a k', { mode: 0o666 })

    const [key] = makeKeyFile(dir.path)

    expect(readdirSync(dir.path)).toEqual([KEY_FILE])
    expect(readFileSync(join(dir.path, KEY_FILE), 'utf8')).toBe(`${Buffer.from(key ?? []).toString('hex')}\n`)
  })

  it('is not there before the first start', () => {
    using dir = tempDir()

    expect(readKeyFile(dir.path)).toBeNull()
  })

  it('may have several keys', () => {
    using dir = dirWith(`${'CD'.repeat(32)}\n${KEY}\n`)

    expect(readKeyFile(dir.path)).toEqual([Buffer.alloc(32, 0xcd), Buffer.alloc(32, 0xab)])
  })

  it.each([[0o644], [0o640], [0o604], [0o620], [0o602], [0o610]])('is refused with mode %o', (mode) => {
    using dir = dirWith(KEY, mode)

    expect(refusal(() => readKeyFile(dir.path))).toMatch(
      new RegExp(`^The key file .*${KEY_FILE} can be used by others .*${mode.toString(8)}.*chmod 600`),
    )
  })

  it.each([[''], ['\n'], [KEY.slice(1)], [`${KEY}0`], [`${KEY}\nx`], [KEY.replace('a', 'g')], [` ${KEY}`]])(
    'is refused with %j in it, which is not repeated',
    (text) => {
      using dir = dirWith(text)

      const said = refusal(() => readKeyFile(dir.path))

      expect(said).toMatch(/is damaged/)
      expect(said).not.toContain(KEY.slice(1, 40))
    },
  )

  it('is refused when it is no file, or there is nowhere to put it', () => {
    using dir = tempDir()
    mkdirSync(join(dir.path, KEY_FILE), { mode: 0o700 })

    expect(refusal(() => readKeyFile(dir.path))).toMatch(/cannot be used: EISDIR/)
    expect(refusal(() => makeKeyFile(join(dir.path, 'nowhere')))).toMatch(/cannot be used: ENOENT/)
  })
})

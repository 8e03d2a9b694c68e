import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { KEY_FILE } from '../../src/secrets/key-file.ts'
import { openVault } from '../../src/secrets/open.ts'
import type { Vault } from '../../src/secrets/vault.ts'
import { tempDir } from '../support/temp-dir.ts'

const SALT = Buffer.from('the salt of a store')
const OLD = 'old'.repeat(11)
const NEW = 'new'.repeat(11)

const seal = (vault: Vault) => vault.safe('s').seal('a secret', 'p')
const open = (vault: Vault, sealed: string) => vault.safe('s').open(sealed, 'p')

describe('openVault', () => {
  it('makes a key file at the first start, and uses it from then on', async () => {
    using dir = tempDir()
    const options = { setting: undefined, dataDir: dir.path, salt: SALT }

    const sealed = seal(await openVault(options))

    expect(existsSync(join(dir.path, KEY_FILE))).toBe(true)
    expect(open(await openVault(options), sealed)).toBe('a secret')
  })

  it('makes none where the setting has a key', async () => {
    using dir = tempDir()
    const options = { setting: OLD, dataDir: dir.path, salt: SALT }

    const sealed = seal(await openVault(options))

    expect(existsSync(join(dir.path, KEY_FILE))).toBe(false)
    expect(open(await openVault(options), sealed)).toBe('a secret')
  })

  it('makes another key of the same setting for another store', async () => {
    using dir = tempDir()
    const sealed = seal(await openVault({ setting: OLD, dataDir: dir.path, salt: SALT }))

    expect(open(await openVault({ setting: OLD, dataDir: dir.path, salt: Buffer.from('another') }), sealed)).toBeNull()
  })

  it('changes from the old key of a setting to the new one', async () => {
    using dir = tempDir()
    const vault = (setting: string) => openVault({ setting, dataDir: dir.path, salt: SALT })
    const before = seal(await vault(OLD))
    const both = await vault(`${NEW},${OLD}`)

    expect(open(both, before)).toBe('a secret')
    expect(open(await vault(NEW), seal(both))).toBe('a secret')
    expect(open(await vault(NEW), before)).toBeNull()
  })

  it('changes from a key file to a setting', async () => {
    using dir = tempDir()
    const sealed = seal(await openVault({ setting: undefined, dataDir: dir.path, salt: SALT }))

    const vault = await openVault({ setting: NEW, dataDir: dir.path, salt: SALT })

    expect(open(vault, sealed)).toBe('a secret')
    expect(open(await openVault({ setting: undefined, dataDir: dir.path, salt: SALT }), seal(vault))).toBeNull()
  })

  it('has a key of its own for a store in memory', async () => {
    const options = { setting: undefined, dataDir: null, salt: SALT }

    expect(open(await openVault(options), seal(await openVault(options)))).toBeNull()
  })

  it('has the key of the setting where there is no directory, as replicas have none', async () => {
    const options = { setting: OLD, dataDir: null, salt: SALT }

    expect(open(await openVault(options), seal(await openVault(options)))).toBe('a secret')
  })
})

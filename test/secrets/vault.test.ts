import { createHash, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { Vault } from '../../src/secrets/vault.ts'

const key = randomBytes(32)
const other = randomBytes(32)

describe('Vault', () => {
  it('knows the fingerprint of a text', () => {
    const kept = new Vault([key]).fingerprint('body')

    expect(new Vault([key]).isFingerprint(kept, 'body')).toBe(true)
    expect(new Vault([key]).isFingerprint(kept, 'Body')).toBe(false)
  })

  it('knows the fingerprints of every key it has, and makes those of the first', () => {
    const kept = new Vault([key]).fingerprint('body')

    expect(new Vault([other, key]).isFingerprint(kept, 'body')).toBe(true)
    expect(new Vault([other, key]).fingerprint('body')).toBe(new Vault([other]).fingerprint('body'))
    expect(new Vault([other]).isFingerprint(kept, 'body')).toBe(false)
  })

  it('knows its mark, and that of every key it has', () => {
    const { mark } = new Vault([key])

    expect(new Vault([key]).mark).toBe(mark)
    expect([[key], [other, key], [other]].map((keys) => new Vault(keys).knows(mark))).toEqual([true, true, false])
    expect(new Vault([other, key]).mark).toBe(new Vault([other]).mark)
  })

  it('gives fingerprints that nobody can make without the key', () => {
    const plain = createHash('sha256').update('body').digest('base64url')

    expect(new Vault([key]).fingerprint('body')).not.toBe(plain)
    expect(new Vault([key]).isFingerprint(plain, 'body')).toBe(false)
  })

  it.each([[[]], [[Buffer.alloc(16)]], [[key, Buffer.alloc(33)]]])('is not made of other keys', (keys) => {
    expect(() => new Vault(keys)).toThrow(TypeError)
  })
})

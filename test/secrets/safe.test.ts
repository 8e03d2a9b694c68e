import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Vault } from '../../src/secrets/vault.ts'

const key = randomBytes(32)
const other = randomBytes(32)
const safeOf = (...keys: Uint8Array[]) => new Vault(keys).safe('s')
const texts = fc.string({ unit: 'binary' }).map((text) => text.toWellFormed())

describe('Safe', () => {
  it('opens what it sealed, where it was sealed', () => {
    fc.assert(
      fc.property(texts, texts, (text, place) => {
        const sealed = safeOf(key).seal(text, place)

        expect(safeOf(key).open(sealed, place)).toBe(text)
        expect(sealed).toMatch(/^[\w-]+$/)
      }),
    )
  })

  it('opens it nowhere else', () => {
    fc.assert(
      fc.property(texts, texts, texts, (text, place, elsewhere) => {
        fc.pre(place !== elsewhere)

        expect(safeOf(key).open(safeOf(key).seal(text, place), elsewhere)).toBeNull()
      }),
    )
  })

  it('opens nothing in which a bit is another, a byte is missing or one is too many', () => {
    const sealed = Buffer.from(safeOf(key).seal('a secret', 'p'), 'base64url')

    for (let bit = 0; bit < 8 * sealed.length; bit++) {
      const changed = Buffer.from(sealed)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(safeOf(key).open(changed.toString('base64url'), 'p')).toBeNull()
    }
    for (let length = 0; length < sealed.length; length++)
      expect(safeOf(key).open(sealed.subarray(0, length).toString('base64url'), 'p')).toBeNull()
    expect(safeOf(key).open(Buffer.concat([sealed, Buffer.of(0)]).toString('base64url'), 'p')).toBeNull()
  })

  it('says null of what never was sealed', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(safeOf(key).open(text, 'p')).toBeNull()
      }),
    )
  })

  it('seals no text twice alike', () => {
    const sealed = Array.from({ length: 100 }, () => safeOf(key).seal('a secret', 'p'))

    expect(new Set(sealed.map((text) => Buffer.from(text, 'base64url').subarray(1, 13).toString('hex'))).size).toBe(100)
  })

  it('holds the text in no form', () => {
    const sealed = Buffer.from(safeOf(key).seal('a secret', 'p'), 'base64url')

    expect(sealed.includes('a secret')).toBe(false)
    expect(sealed).toHaveLength(1 + 12 + 'a secret'.length + 16)
  })

  it('opens with any of its keys, and seals with the first', () => {
    const sealed = safeOf(key).seal('a secret', 'p')
    const rotated = safeOf(other, key)

    expect(rotated.open(sealed, 'p')).toBe('a secret')
    expect(safeOf(other).open(rotated.seal('a secret', 'p'), 'p')).toBe('a secret')
    expect(safeOf(key).open(rotated.seal('a secret', 'p'), 'p')).toBeNull()
  })

  it('does not open what another safe of the vault sealed', () => {
    const vault = new Vault([key])

    expect(vault.safe('batch 2').open(vault.safe('batch 1').seal('a secret', 'p'), 'p')).toBeNull()
  })
})

import { describe, expect, it } from 'vitest'
import { digestOf, keyIdOf, newKey } from '../../src/auth/key.ts'

describe('newKey', () => {
  it('has an id, 256 random bits and a checksum', () => {
    const { id, text } = newKey()

    expect(text).toMatch(/^gth_[0-9a-f]{16}_[A-Za-z0-9_-]{43}_[0-9a-f]{8}$/)
    expect(text).toContain(`_${id}_`)
  })

  it('is never the same', () => {
    expect(new Set(Array.from({ length: 1_000 }, () => newKey().text)).size).toBe(1_000)
  })
})

describe('keyIdOf', () => {
  it('finds the id of each key', () => {
    for (let count = 0; count < 1_000; count += 1) {
      const { id, text } = newKey()

      expect(keyIdOf(text)).toBe(id)
    }
  })

  it('finds none when a character is wrong, wherever it is', () => {
    const { text } = newKey()

    for (let at = 0; at < text.length; at += 1) {
      const typo = text.slice(0, at) + (text[at] === '0' ? '1' : '0') + text.slice(at + 1)

      expect(keyIdOf(typo)).toBeNull()
    }
  })

  it.each([[''], ['gth_'], ['gth_x_y_z'], ['gth_'.padEnd(5_000, 'a')]])('finds none in %j', (text) => {
    expect(keyIdOf(text)).toBeNull()
  })

  it('finds none in a key with something around it', () => {
    const { text } = newKey()

    for (const other of [` ${text}`, `${text} `, `${text}\n`, text.slice(1), text.slice(0, -1)])
      expect(keyIdOf(other)).toBeNull()
  })
})

describe('digestOf', () => {
  it('is the SHA-256', () => {
    expect(digestOf('abc').toString('hex')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  })
})

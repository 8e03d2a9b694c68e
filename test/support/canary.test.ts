import { gunzipSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Canaries } from './canary.ts'

describe('a canary', () => {
  const canaries = new Canaries()
  const text = canaries.of('header')

  it.each<[string, (text: string) => string | Buffer]>([
    ['plain', (secret) => secret],
    ['base64', (secret) => Buffer.from(secret).toString('base64')],
    ['base64url', (secret) => Buffer.from(secret).toString('base64url')],
    ['hex', (secret) => Buffer.from(secret).toString('hex')],
    ['percent-encoded', (secret) => secret.replaceAll(/./g, (char) => `%${char.charCodeAt(0).toString(16)}`)],
    ['JSON', (secret) => secret.replaceAll(/./g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`)],
    ['backwards', (secret) => [...secret].reverse().join('')],
    ['UTF-16', (secret) => Buffer.from(secret, 'utf16le')],
    ['compressed and back', (secret) => gunzipSync(gzipSync(secret))],
  ])('is found in %s', (_, encode) => {
    const bytes = Buffer.concat([Buffer.from('before '), Buffer.from(encode(text)), Buffer.from(' after')])

    expect(canaries.foundIn(bytes)).toEqual(['header'])
  })

  it('is found in the base64 of whatever is around it', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (before, after) => {
        expect(canaries.foundIn(Buffer.from(before + text + after).toString('base64'))).toEqual(['header'])
      }),
    )
  })

  it('is not found where it is not', () => {
    const other = new Canaries().of('header')

    expect(canaries.foundIn(`${other} ${text.slice(1)} ${Buffer.from(other).toString('base64')}`)).toEqual([])
  })
})

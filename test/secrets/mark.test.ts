import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { checkKey } from '../../src/secrets/mark.ts'
import { Vault } from '../../src/secrets/vault.ts'

const [key, other] = [randomBytes(32), randomBytes(32)]

/** A store that remembers what is put. */
function storeWith(mark: string | null) {
  const puts: string[] = []
  return { puts, keyMark: async () => mark, putKeyMark: async (put: string) => void puts.push(put) }
}

/** Check the key of `keys` against a store with `mark`: what was put, and how often somebody was told. */
async function check(keys: Buffer[], mark: string | null, answer = true) {
  const vault = new Vault(keys)
  const store = storeWith(mark)
  let told = 0
  await checkKey(vault, store, async () => {
    told++
    return answer
  })
  return { told, put: store.puts.map((put) => (put === vault.mark ? 'own' : put)) }
}

describe('checkKey', () => {
  const { mark } = new Vault([key])

  it('leaves its mark in a store that has none', async () => {
    expect(await check([key], null)).toEqual({ told: 0, put: ['own'] })
  })

  it('does nothing when the mark is its own', async () => {
    expect(await check([key], mark)).toEqual({ told: 0, put: [] })
  })

  it('takes over from a key that it knows without a word', async () => {
    expect(await check([other, key], mark)).toEqual({ told: 0, put: ['own'] })
  })

  it('tells of a key that it does not know, and takes over only where it may', async () => {
    expect(await check([other], mark, true)).toEqual({ told: 1, put: ['own'] })
    expect(await check([other], mark, false)).toEqual({ told: 1, put: [] })
  })
})

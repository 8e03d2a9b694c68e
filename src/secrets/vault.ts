import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import { Safe } from './safe.ts'

/**
 * The keys of a store, none of which is in the store: the first one seals, all of them open. Nothing is sealed under a
 * key of these itself, but under one that is derived from it for a purpose.
 */
export class Vault {
  /** Node looks for 30 us at a key that is bytes, each time it is used. */
  readonly #keys: readonly KeyObject[]

  /** @param keys - 32 bytes each, the newest first; at least one. */
  constructor(keys: readonly Uint8Array[]) {
    if (keys.length === 0 || keys.some(({ length }) => length !== KEY_BYTES))
      throw new TypeError(`A vault needs keys of ${KEY_BYTES} bytes.`)
    this.#keys = keys.map((key) => createSecretKey(key))
  }

  /** A safe of its own: what it seals, no other safe of this vault opens. Costs nothing before its first use. */
  safe(name: string): Safe {
    return new Safe(() => this.#keys.map((key) => derived(key, `safe ${name}`)))
  }

  /** To be kept in the store: tells at the next start whether the key that seals now is still there. */
  get mark(): string {
    return this.fingerprint(MARKED)
  }

  /** Whether a mark was made with any of the keys. */
  knows(mark: string): boolean {
    return this.isFingerprint(mark, MARKED)
  }

  /** A fingerprint of a text that can be kept: who does not have the key cannot try texts against it. */
  fingerprint(text: string): string {
    return fingerprintUnder(this.#keys[0], text)
  }

  /** Whether a kept fingerprint, made under any of the keys, is that of a text. */
  isFingerprint(kept: string, text: string): boolean {
    return this.#keys.some((key) => fingerprintUnder(key, text) === kept)
  }
}

/** No digest of a body looks like it. */
const MARKED = 'the key of this store'

/** The length of every key. */
export const KEY_BYTES = 32

function fingerprintUnder(key: KeyObject, text: string): string {
  return createHmac('sha256', derived(key, 'fingerprint')).update(text).digest('base64url')
}

function derived(key: KeyObject, purpose: string): KeyObject {
  return createSecretKey(createHmac('sha256', key).update(`gatherd ${purpose}`).digest())
}

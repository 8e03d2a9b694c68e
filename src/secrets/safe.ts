import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from 'node:crypto'

const ALGORITHM = 'aes-256-gcm'
/** The form of what is sealed, its first byte; authenticated like the rest. */
const VERSION = 1
/** Random for each text: a safe's key is its own, so it seals far fewer than the 2^32 texts after which two may meet. */
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** Seals texts: version, nonce, AES-256-GCM ciphertext and tag, in base64url. */
export class Safe {
  readonly #derive: () => readonly KeyObject[]
  #keys: readonly KeyObject[] | undefined

  /** @param derive - Gives the keys, the one that seals first; called once, at the first use. */
  constructor(derive: () => readonly KeyObject[]) {
    this.#derive = derive
  }

  /** @param place - Where the sealed text is put: it can be opened there only. */
  seal(text: string, place: string): string {
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv(ALGORITHM, this.#all[0], nonce).setAAD(bound(place))
    const sealed = [Buffer.of(VERSION), nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]
    return Buffer.concat(sealed).toString('base64url')
  }

  /** The text; null for what none of the keys has sealed for this place. */
  open(sealed: string, place: string): string | null {
    const bytes = Buffer.from(sealed, 'base64url')
    if (bytes[0] !== VERSION || bytes.length < 1 + NONCE_BYTES + TAG_BYTES) return null
    for (const key of this.#all) {
      const text = openWith(key, bytes.subarray(1), place)
      if (text !== null) return text
    }
    return null
  }

  get #all(): readonly KeyObject[] {
    this.#keys ??= this.#derive()
    return this.#keys
  }
}

function openWith(key: KeyObject, bytes: Buffer, place: string): string | null {
  // Without the length, a tag cut to four bytes would do as well.
  const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
  decipher.setAAD(bound(place)).setAuthTag(bytes.subarray(-TAG_BYTES))
  const text = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES))
  try {
    return Buffer.concat([text, decipher.final()]).toString('utf8')
  } catch {
    // The tag is not that of this key, place and text.
    return null
  }
}

function bound(place: string): Buffer {
  return Buffer.from(`${VERSION} ${place}`)
}

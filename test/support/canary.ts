import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { KEY_FILE } from '../../src/secrets/key-file.ts'

/** Texts that are put somewhere and must turn up nowhere else, by the name of where they were put. */
export class Canaries {
  readonly #texts = new Map<string, string>()

  /** A text of its own for a place; the same each time. */
  of(place: string): string {
    const known = this.#texts.get(place)
    if (known !== undefined) return known
    const text = `canary${randomBytes(9).toString('hex')}`
    this.#texts.set(place, text)
    return text
  }

  /** Watch for a text that somebody else made. */
  note(place: string, text: string): void {
    this.#texts.set(place, text)
  }

  #known(place: string): string {
    const text = this.#texts.get(place)
    if (text === undefined) throw new Error(`There is no canary in ${place}.`)
    return text
  }

  /** The places whose text is in some bytes, in whatever form; of those asked for, or of all. */
  foundIn(bytes: Buffer | string, places = [...this.#texts.keys()]): string[] {
    const haystack = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes)
    return places.filter((place) => formsOf(this.#known(place)).some((form) => haystack.includes(form)))
  }
}

/** A text plain, backwards, percent-encoded, escaped for JSON, as UTF-16, in hex, and in base64 wherever in a longer text it begins. */
export function formsOf(text: string): Buffer[] {
  const bytes = Buffer.from(text)
  const hex = bytes.toString('hex')
  const plain = [text, [...text].reverse().join(''), hex, hex.toUpperCase()]
  const percent = hex.replaceAll(/../g, '%$&')
  const escaped = [...text].map((char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')
  const forms = [...plain, percent, percent.toUpperCase(), escaped, ...base64Of(bytes)]
  return [...forms.map((form) => Buffer.from(form)), Buffer.from(text, 'utf16le')]
}

/** What of a text's base64 depends on nothing around it, for each of the three places it can begin at; in both alphabets. */
function base64Of(bytes: Buffer): string[] {
  return [0, 1, 2].flatMap((before) => {
    const padded = Buffer.concat([Buffer.alloc(before), bytes])
    return (['base64', 'base64url'] as const).map((alphabet) => {
      const text = padded.toString(alphabet).replaceAll('=', '')
      return text.slice(before === 0 ? 0 : 4, text.length - 4)
    })
  })
}

/** Every file under a data directory but that with the key: its bytes by its name. */
export function filesOf(dataDir: string): Map<string, Buffer> {
  const files = readdirSync(dataDir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const named = files.filter(({ name }) => name !== KEY_FILE)
  return new Map(named.map(({ parentPath, name }) => [name, readFileSync(join(parentPath, name))]))
}

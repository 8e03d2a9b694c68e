/** A value that is JSON text already, and is taken over as it is: nobody parses it to write it again. */
export class RawJson {
  readonly text: string

  /** @param text - One whole JSON text, without line breaks. */
  constructor(text: string) {
    this.text = text
  }

  /** For `JSON.stringify`, which knows nothing of it: the value that the text means. */
  toJSON(): unknown {
    return JSON.parse(this.text)
  }
}

/**
 * `JSON.stringify`, where the value itself or any field of it may be a {@link RawJson}; deeper ones are parsed. Undefined for what JSON has
 * nothing for.
 *
 * @throws what `JSON.stringify` throws: for a cycle or a BigInt, or out of a `toJSON`.
 */
export function stringify(value: unknown): string | undefined {
  if (value instanceof RawJson) return value.text
  return hasRaw(value) ? spliced(value) : JSON.stringify(value)
}

function hasRaw(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || 'toJSON' in value) return false
  return Object.values(value).some((field) => field instanceof RawJson)
}

function spliced(value: Record<string, unknown>): string {
  const fields: string[] = []
  for (const [name, field] of Object.entries(value)) {
    const text = field instanceof RawJson ? field.text : JSON.stringify(field)
    if (text !== undefined) fields.push(`${JSON.stringify(name)}:${text}`)
  }
  return `{${fields.join(',')}}`
}

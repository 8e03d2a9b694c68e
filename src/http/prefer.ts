/** What of a `Prefer` header (RFC 7240) is honoured. */
export interface Preference {
  /** Milliseconds to hold the answer. */
  waitMs: number
  /** For `Preference-Applied`. */
  applied: string
}

/** A token, and perhaps a value, bare or quoted; parameters after a `;` belong to no preference known here. */
const PREFERENCE = /^\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?\s*(?:;.*)?$/s

/**
 * The `wait` preference, or null when there is none or it is no whole number of seconds. The first one counts (RFC 7240,
 * section 2); every other preference is ignored.
 * @param header - All `Prefer` headers of the request joined with commas.
 * @param maxWaitMs - The longest wait that is honoured; a longer one is cut to it, and `applied` says so.
 */
export function preferredWait(header: string | undefined, maxWaitMs: number): Preference | null {
  for (const member of splitList(header ?? '')) {
    const [, name = '', quoted, bare] = PREFERENCE.exec(member) ?? []
    if (name.toLowerCase() === 'wait') return waitOf(quoted ?? bare ?? '', maxWaitMs)
  }
  return null
}

function waitOf(value: string, maxWaitMs: number): Preference | null {
  if (!/^\d{1,15}$/.test(value)) return null
  const waitMs = Math.min(Number(value) * 1_000, maxWaitMs)
  return { waitMs, applied: `wait=${Math.floor(waitMs / 1_000)}` }
}

/** The members of a comma-separated list; a comma inside quotes separates nothing. */
export function splitList(header: string): string[] {
  return header.match(/(?:[^,"]|"(?:[^"\\]|\\.)*"|")+/gs) ?? []
}

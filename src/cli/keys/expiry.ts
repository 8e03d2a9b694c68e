import { stamp, systemClock } from '../../clock.ts'
import { ConfigError } from '../../errors.ts'

const MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** The instant that is `text` (`90s`, `30m`, `12h`, `30d`) from now, ISO 8601 UTC; null without one. @throws {ConfigError} */
export function expiryAfter(text: string | undefined): string | null {
  if (text === undefined) return null
  const [, digits, unit] = /^([1-9]\d{0,8})([smhd])$/.exec(text) ?? []
  // The expression allows no other units.
  const expiresAt = systemClock.now() + Number(digits) * MS[unit as keyof typeof MS]
  // Beyond the year 9999 an instant is written differently.
  if (expiresAt < Date.UTC(9999, 0)) return stamp(expiresAt)
  throw new ConfigError(`--expires-in is a number with s, m, h or d, such as 30d, and not "${text}".`)
}

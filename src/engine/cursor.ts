import { createHmac, timingSafeEqual } from 'node:crypto'
import { InvalidArgumentError } from '../errors.ts'

/** Signs the cursors of lists: opaque, bound to the filters they came from, refused when forged. */
export class Cursors {
  readonly #secret: Uint8Array

  /** `secret` must outlive the process, or cursors do not survive a restart. */
  constructor(options: { secret: Uint8Array }) {
    this.#secret = options.secret
  }

  /** A cursor that continues a list at `position`. `scope` names the list and its filters. */
  encode(scope: unknown[], position: number): string {
    return `${position.toString(36)}.${this.#sign(scope, position)}`
  }

  /**
   * The position that `encode` was given, or `start` without a cursor.
   * @throws {InvalidArgumentError} when the cursor was not made here for this very list.
   */
  decode(scope: unknown[], cursor: string | undefined, start: number): number {
    if (cursor === undefined) return start
    // Stops at the dot; what else was written before or after it shows in the comparison.
    const position = Number.parseInt(cursor, 36)
    const expected = Buffer.from(this.encode(scope, position))
    const given = Buffer.from(cursor)
    if (Number.isSafeInteger(position) && given.length === expected.length && timingSafeEqual(given, expected))
      return position
    const detail = 'Not a cursor of this list; use nextCursor of its last page, with the same filters.'
    throw new InvalidArgumentError([{ pointer: '/query/cursor', detail }])
  }

  #sign(scope: unknown[], position: number): string {
    const text = JSON.stringify([...scope, position])
    return createHmac('sha256', this.#secret).update(text).digest('base64url').slice(0, 22)
  }
}

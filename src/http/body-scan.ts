import type { FastifyRequest } from 'fastify'
import { markOf } from '../json/mark.ts'
import { type Fault, JsonScanner, type ScanLimits } from '../json/scanner.ts'
import { SeamFinder, type Seams } from '../json/seams.ts'
import type { Turns } from '../json/turns.ts'
import { MAX_BODY_DEPTH, MAX_BODY_NAMES, MAX_BODY_VALUES } from '../schema/limits.ts'
import { pointerOf } from '../schema/pointer.ts'
import type { GroupPlace } from './body-groups.ts'
import { EdgeError } from './errors.ts'

/** Bodies of more bytes are scanned in steps before they are parsed in one go. */
export const SCAN_ABOVE_BYTES = 262_144

/** About a millisecond of work. */
const STEP_BYTES = 131_072

/** The longest pointer that is told. */
const MAX_POINTER_LENGTH = 200

const LIMITS: Readonly<Partial<Record<Fault['kind'], string>>> = {
  depth: `arrays and objects more than ${MAX_BODY_DEPTH} deep`,
  values: `more than ${MAX_BODY_VALUES} JSON values`,
  names: `more than ${MAX_BODY_NAMES} different names of members`,
}

/** What is said of a body that cannot be parsed. */
export function malformed(message: string): EdgeError {
  return new EdgeError('malformed_json', message)
}

/** A group of entries that is parsed in one turn. */
const GROUP_BYTES = 131_072

/**
 * Resolves when a body is known to be JSON within the limits, with where it can be cut to be parsed in turns; null: it has no long array.
 * @throws {EdgeError} `malformed_json`, `body_too_large` for a limit other than that of bytes, or `bad_request` as soon as the client has gone.
 */
export async function scanInTurns(turns: Turns, request: FastifyRequest, bytes: Buffer): Promise<Seams | null> {
  const limits = { maxDepth: MAX_BODY_DEPTH, maxValues: MAX_BODY_VALUES, maxNames: MAX_BODY_NAMES }
  const scan = new BodyScan(bytes, limits, new SeamFinder(GROUP_BYTES))
  await workInTurns(turns, request, () => scan.step())
  if (scan.fault !== null) throw refusalOf(scan.fault)
  return scan.seams
}

/**
 * Call `step` in turns of the request's tenant until it returns true.
 * @throws what `step` throws; {EdgeError} `bad_request` as soon as the client has gone.
 */
export async function workInTurns(
  turns: Turns,
  { tenantId, raw }: Pick<FastifyRequest, 'tenantId' | 'raw'>,
  step: () => boolean,
): Promise<void> {
  const gone = new AbortController()
  const onClose = () => gone.abort(new EdgeError('bad_request', 'The request was cut off.'))
  raw.socket.once('close', onClose)
  if (raw.socket.destroyed) onClose()
  try {
    await turns.run(tenantId, step, gone.signal)
  } finally {
    raw.socket.off('close', onClose)
  }
}

/** Why a body, or a group of its entries, was refused by the parser, without quoting it; its keys apart. */
export function flawOf(bytes: Buffer, text: string, place: GroupPlace | null = null): string {
  if (place !== null) return poisonIn(JSON.parse(text), place)
  const scan = new BodyScan(bytes, { maxDepth: bytes.length })
  while (!scan.step());
  return scan.fault === null ? poisonIn(JSON.parse(text)) : flawAt(scan.fault)
}

/** A scan of a body that may begin with a byte order mark. */
class BodyScan {
  readonly #bytes: Buffer
  readonly #scanner: JsonScanner
  readonly #finder: SeamFinder | undefined
  readonly #mark: number
  #read: number

  constructor(bytes: Buffer, limits: ScanLimits, finder?: SeamFinder) {
    this.#bytes = bytes
    this.#finder = finder
    this.#scanner = new JsonScanner(limits, finder)
    this.#mark = markOf(bytes)
    this.#read = this.#mark
  }

  /** True when all has been looked at, or enough. */
  step(): boolean {
    const to = Math.min(this.#bytes.length, this.#read + STEP_BYTES)
    const goesOn = this.#scanner.write(this.#bytes, this.#read, to)
    this.#read = to
    return !goesOn || to === this.#bytes.length
  }

  /** In the body, its mark included. */
  get seams(): Seams | null {
    const seams = this.#finder?.seams ?? null
    if (seams === null) return null
    const { open, commas, close } = seams
    return { open: open + this.#mark, commas: commas.map((comma) => comma + this.#mark), close: close + this.#mark }
  }

  /** Once `step` has returned true. */
  get fault(): Fault | null {
    const fault = this.#scanner.end()
    return fault && { ...fault, offset: fault.offset + this.#mark }
  }
}

function refusalOf(fault: Fault): EdgeError {
  const limit = LIMITS[fault.kind]
  if (limit === undefined) return malformed(flawAt(fault))
  return new EdgeError('body_too_large', `The body has ${limit}, ${placeOf(fault)}; split it.`)
}

function flawAt(fault: Fault): string {
  return `The body is not valid JSON: it ${fault.kind === 'ended' ? 'breaks off' : 'is wrong'} ${placeOf(fault)}.`
}

function placeOf({ line, column, offset }: Fault): string {
  return `at line ${line}, column ${column} (byte ${offset})`
}

/** A value of a body, and the way to it. */
interface Place {
  value: unknown
  key: string
  parent: Place | null
}

/** The key for which a parsed body was refused, and where it is. */
function poisonIn(body: unknown, within: GroupPlace | null = null): string {
  const next: Place[] = within === null ? [{ value: body, key: '', parent: null }] : placesOf(body, within)
  for (let parent = next.pop(); parent !== undefined; parent = next.pop()) {
    if (typeof parent.value !== 'object' || parent.value === null) continue
    for (const [key, value] of Object.entries(parent.value)) {
      const place = { value, key, parent }
      if (isPoison(place)) return `The key "${key}"${whereOf(place)} would poison prototypes; leave it out.`
      next.push(place)
    }
  }
  return 'The body has a key that would poison prototypes.'
}

/** The entries of a group where they are in the body. */
function placesOf(group: unknown, { member, from }: GroupPlace): Place[] {
  const parent: Place = { value: group, key: member, parent: { value: null, key: '', parent: null } }
  // A group is parsed as an array.
  return (group as unknown[]).map((value, i) => ({ value, key: String(from + i), parent }))
}

/** As secure-json-parse has it. */
function isPoison({ key, value }: Place): boolean {
  if (key === '__proto__') return true
  return key === 'constructor' && typeof value === 'object' && value !== null && Object.hasOwn(value, 'prototype')
}

/** By JSON Pointer, unless that is long. */
function whereOf(place: Place): string {
  const path: string[] = []
  let length = 0
  for (let at = place; at.parent !== null && length <= MAX_POINTER_LENGTH; at = at.parent) {
    path.unshift(at.key)
    length += at.key.length + 1
  }
  return length <= MAX_POINTER_LENGTH ? ` at ${pointerOf(path)}` : ''
}

import type { Clock, TimerHandle } from '../clock.ts'
import type { Pages } from '../engine/engine.ts'
import { OverloadedError } from '../errors.ts'
import { fitsShare } from '../fair-share.ts'

/** A page of fewer bytes than this counts as nothing: it fits what a connection buffers anyway. */
export const SMALL_PAGE_BYTES = 65_536

/** A reader that takes nothing for so long is cut while others wait for the room that its answer takes. */
export const STALLED_MS = 30_000

/** How often stalled readers are looked for while somebody waits. */
const LOOK_MS = 5_000

/** The most pages of a tenant that are read at once: as many as that while they are small, and one while they are not. */
export const MOST_READS = 16

/** Of a page there is the text, and its UTF-8. */
const COPIES = 2

/** A connection, as far as it matters here. */
interface Connection {
  destroyed: boolean
  destroy(): unknown
  once(event: 'close', closed: () => void): unknown
}

/**
 * The pages of the record that were read for callers and that these have not taken yet: how many bytes they are, and who may read
 * the next. Tenants take turns, and what a tenant reads follows one after the other as soon as its pages are large.
 *
 * A page waits for room for as much as its tenant's last one took. Of what is free a tenant gets as long as it has no more than what is
 * left free then, and one that has nothing gets what fits, and goes first. Of the whole budget one page can always be read.
 */
export class UnreadBytes {
  /** Bytes that there may be. */
  readonly limit: number
  readonly #clock: Clock
  readonly #tenants = new Map<string, TenantPages>()
  /** Those that somebody waits for, the one whose turn is next first. */
  readonly #turns = new Set<TenantPages>()
  readonly #holders = new Set<Unread>()
  #total = 0
  #look: TimerHandle | null = null

  constructor({ limit, clock }: { limit: number; clock: Clock }) {
    this.limit = limit
    this.#clock = clock
  }

  /** Bytes that were read and not taken, and that are being read. */
  get total(): number {
    return this.#total
  }

  /** Pages that wait to be read. */
  get waiting(): number {
    let waiting = 0
    for (const { line } of this.#turns) waiting += line.size
    return waiting
  }

  /** The pages of one answer; whatever it holds is given back when the connection is done with it. */
  answer(tenantId: string, connection: Connection): Unread {
    const answer = new Unread(this, tenantId)
    if (connection.destroyed) answer.close()
    else connection.once('close', () => answer.close())
    answer.cut = () => void connection.destroy()
    return answer
  }

  /** Whether `answer` may read now; if not it is called back. */
  enter(answer: Unread): boolean {
    const tenant = this.#tenant(answer.tenantId)
    tenant.line.add(answer)
    this.#turns.add(tenant)
    this.#serve(answer)
    return !tenant.line.has(answer)
  }

  /** `answer` has read a page. */
  leave(answer: Unread, bytes: number): void {
    const tenant = this.#tenant(answer.tenantId)
    tenant.reading--
    const isSmall = bytes < SMALL_PAGE_BYTES
    tenant.atOnce = isSmall ? Math.min(tenant.atOnce * 2, MOST_READS) : 1
    tenant.expected = Math.min(bytes * COPIES, this.limit)
    this.#hold(answer, isSmall || answer.closed ? 0 : bytes * COPIES)
    this.#serve()
  }

  /** `answer` has given its page away, or is over. */
  giveBack(answer: Unread): void {
    const waited = this.#tenants.get(answer.tenantId)?.line.delete(answer) ?? false
    if (!waited && answer.held === 0) return
    this.#hold(answer, 0)
    this.#serve()
  }

  /** `answer` holds something, and its reader has taken some of it. */
  moved(answer: Unread): void {
    answer.takenAt = this.#clock.now()
  }

  #tenant(id: string): TenantPages {
    let tenant = this.#tenants.get(id)
    if (tenant === undefined) {
      tenant = { id, line: new Set(), reading: 0, atOnce: MOST_READS, expected: 0, held: 0 }
      this.#tenants.set(id, tenant)
    }
    return tenant
  }

  #hold(answer: Unread, bytes: number): void {
    const tenant = this.#tenant(answer.tenantId)
    const more = bytes - answer.held
    answer.held = bytes
    tenant.held += more
    this.#total += more
    if (bytes > 0) this.#holders.add(answer)
    else this.#holders.delete(answer)
    if (bytes > 0) this.moved(answer)
    this.#forgetIdle(tenant)
  }

  /** Let read whoever can; `now` is not called back. */
  #serve(now?: Unread): void {
    while (this.#serveOne(now));
    for (const tenant of this.#turns) if (tenant.line.size === 0) this.#turns.delete(tenant)
    if (this.#turns.size > 0) this.#watch()
  }

  #serveOne(now?: Unread): boolean {
    for (const tenant of this.#inTurn()) {
      const [answer] = tenant.line
      if (answer === undefined || tenant.reading >= tenant.atOnce) continue
      if (fitsShare({ held: tenant.held, wanted: tenant.expected, free: this.limit - this.#total })) {
        this.#grant(tenant, answer, now)
        return true
      }
      // What one that has nothing waits for goes to nobody else.
      if (tenant.held === 0) return false
    }
    return false
  }

  /** Tenants that have nothing come first. */
  *#inTurn(): Generator<TenantPages> {
    for (const tenant of this.#turns) if (tenant.held === 0) yield tenant
    for (const tenant of this.#turns) if (tenant.held > 0) yield tenant
  }

  #grant(tenant: TenantPages, answer: Unread, now?: Unread): void {
    tenant.line.delete(answer)
    // To the end of the round.
    this.#turns.delete(tenant)
    this.#turns.add(tenant)
    tenant.reading++
    this.#hold(answer, tenant.expected)
    if (answer !== now) answer.granted()
  }

  #forgetIdle({ id, line, reading, held }: TenantPages): void {
    if (line.size === 0 && reading === 0 && held === 0) this.#tenants.delete(id)
  }

  #watch(): void {
    this.#look ??= this.#clock.after(LOOK_MS, () => {
      this.#look = null
      const since = this.#clock.now() - STALLED_MS
      for (const answer of [...this.#holders]) if (!answer.reads && answer.takenAt <= since) answer.cut()
      if (this.#turns.size > 0) this.#watch()
    })
  }
}

interface TenantPages {
  id: string
  /** Answers that wait to read. */
  line: Set<Unread>
  reading: number
  /** How many may read at once. */
  atOnce: number
  /** Bytes that a page will take: what its last one took. */
  expected: number
  held: number
}

/** The pages of one answer, one after the other: the next one is asked for when the one before has been taken. */
export class Unread implements Pages {
  readonly tenantId: string
  /** Bytes that count for it. */
  held = 0
  /** When its reader took something last. */
  takenAt = 0
  reads = false
  closed = false
  /** End the connection. */
  cut: () => void = () => undefined
  readonly #budget: UnreadBytes
  #turn: PromiseWithResolvers<void> | null = null

  constructor(budget: UnreadBytes, tenantId: string) {
    this.#budget = budget
    this.tenantId = tenantId
  }

  /** @throws {OverloadedError} the connection has ended while this waited: there is nobody to answer. */
  async page<T>(read: () => Promise<T>, bytesOf: (page: T) => number): Promise<T> {
    this.#budget.giveBack(this)
    if (this.closed) throw nobodyThere()
    if (!this.#budget.enter(this)) {
      this.#turn = Promise.withResolvers()
      await this.#turn.promise
    }
    this.reads = true
    let bytes = 0
    try {
      const page = await read()
      bytes = bytesOf(page)
      return page
    } finally {
      this.reads = false
      this.#budget.leave(this, bytes)
    }
  }

  /** Its turn has come. */
  granted(): void {
    this.#turn?.resolve()
    this.#turn = null
  }

  /** What was read, in pieces of which the reader takes one at a time. */
  async *pieces(text: AsyncIterable<string | Buffer> | Iterable<string | Buffer>): AsyncGenerator<string | Buffer> {
    for await (const chunk of text) {
      if (chunk.length < SMALL_PAGE_BYTES) yield chunk
      else yield* this.#pieces(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)
    }
  }

  *#pieces(bytes: Buffer): Generator<Buffer> {
    for (let at = 0; at < bytes.length; at += SMALL_PAGE_BYTES) {
      this.#budget.moved(this)
      yield bytes.subarray(at, at + SMALL_PAGE_BYTES)
    }
  }

  /** There is nobody to read it any more. */
  close(): void {
    this.closed = true
    this.#budget.giveBack(this)
    this.#turn?.reject(nobodyThere())
    this.#turn = null
  }
}

function nobodyThere(): OverloadedError {
  return new OverloadedError('The connection ended before there was room for the answer.')
}

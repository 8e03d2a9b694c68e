import type { Reading } from './metrics.ts'
import { Buckets, Tally } from './tally.ts'

const ANSWER_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/** Routes and methods are a closed list, but nobody should have to trust in that. */
const MAX_ROUTES = 200

/** The place among the statuses of requests that have none. */
const LEFT = 0

/** What is no route, or a method of nobody's. */
const NONE = 'none'

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Routes of which a refusal means that work was not taken, as `method route`. */
const SUBMITS: ReadonlySet<string> = new Set(['POST /v1/batches', 'POST /v1/batches/:batchId/jobs'])

/** Codes that alerts look at, as refusals of submissions: shown at zero, for of a series that begins at one nobody sees the increase. */
const REFUSED: readonly string[] = ['queue_full', 'overloaded', 'rate_limited']

/** A request that was answered. */
export interface Answered {
  method: string
  /** The pattern of its route; undefined: there is none. */
  route: string | undefined
  status: number
  /** From its head to the end of the answer. */
  ms: number
  /** The code of the problem that was the answer; absent: it was none. */
  problem: string | undefined
}

interface RouteCounts {
  route: string
  method: string
  /** Seconds. */
  readonly duration: Buckets
  /** By the first digit of the status; 0: who asked had gone. */
  readonly statuses: Float64Array
}

/** The answers of the service, counted. */
export class HttpCounts {
  readonly #routes = new Map<string, RouteCounts>()
  readonly #problems = atZero(['internal', ...REFUSED])
  readonly #refused = atZero(REFUSED)
  #connectionsDropped = 0

  answered({ method, route = NONE, status, ms, problem }: Answered): void {
    this.#count(method, route, ms, Math.floor(status / 100))
    if (problem === undefined) return
    this.#problems.add(problem)
    if (SUBMITS.has(`${method} ${route}`)) this.#refused.add(problem)
  }

  /** Whoever asked has gone before the end of the answer. */
  left({ method, route = NONE, ms }: Pick<Answered, 'method' | 'route' | 'ms'>): void {
    this.#count(method, route, ms, LEFT)
  }

  #count(method: string, route: string, ms: number, status: number): void {
    const counts = this.#routes.get(`${method} ${route}`) ?? this.#enter(METHODS.has(method) ? method : NONE, route)
    counts.duration.observe(ms / 1_000)
    counts.statuses[status]++
  }

  /** What never became a request was answered with the problem of this code. */
  noRequest(code: string): void {
    this.#problems.add(code)
  }

  /** A connection was closed at once: there are too many. */
  connectionDropped(): void {
    this.#connectionsDropped++
  }

  *readings(): Generator<Reading> {
    yield ['gatherd_connections_dropped_total', {}, this.#connectionsDropped]

    for (const { route, method, duration, statuses } of this.#routes.values()) {
      yield ['gatherd_http_request_duration_seconds', { route, method }, duration]
      for (const [digit, count] of statuses.entries())
        if (count > 0)
          yield [
            'gatherd_http_requests_total',
            { route, method, status: digit === LEFT ? 'left' : `${digit}xx` },
            count,
          ]
    }
    for (const [code, count] of this.#problems.entries()) yield ['gatherd_http_problems_total', { code }, count]
    for (const [code, count] of this.#refused.entries()) yield ['gatherd_submissions_refused_total', { code }, count]
  }

  #enter(method: string, route: string): RouteCounts {
    const key = this.#routes.size < MAX_ROUTES ? `${method} ${route}` : `${NONE} ${NONE}`
    let counts = this.#routes.get(key)
    if (counts === undefined) {
      const [ownMethod = NONE, ownRoute = NONE] = key.split(' ')
      counts = { method: ownMethod, route: ownRoute, duration: new Buckets(ANSWER_S), statuses: new Float64Array(10) }
      this.#routes.set(key, counts)
    }
    return counts
  }
}

function atZero(codes: readonly string[]): Tally {
  const tally = new Tally()
  for (const code of codes) tally.add(code, 0)
  return tally
}

/** What of the HTTP side is read at a scrape. */
export interface HttpGauges {
  observers: { readonly size: number; readonly streams: number }
  bodies: { readonly used: number; readonly limit: number }
  unread: { readonly total: number; readonly limit: number; readonly waiting: number }
  isPressed(): boolean
}

/** The series of the HTTP side as it is now. */
export function* httpReadings({ observers, bodies, unread, isPressed }: HttpGauges): Generator<Reading> {
  yield ['gatherd_http_under_pressure', {}, isPressed() ? 1 : 0]
  yield ['gatherd_observers', {}, observers.size]
  yield ['gatherd_streams_open', {}, observers.streams]
  yield ['gatherd_request_body_bytes', {}, bodies.used]
  yield ['gatherd_request_body_limit_bytes', {}, bodies.limit]
  yield ['gatherd_unread_bytes', {}, unread.total]
  yield ['gatherd_unread_limit_bytes', {}, unread.limit]
  yield ['gatherd_unread_pages_waiting', {}, unread.waiting]
}

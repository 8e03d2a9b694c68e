import type { OnRefused } from '../refusals.ts'
import type { Reading } from './metrics.ts'
import { Tally } from './tally.ts'

/** What is read of the budget of response bodies at a scrape. */
export interface ResponseBudget {
  readonly total: number
  readonly limit: number
  readonly waiting: number
}

/** Destinations that were refused, counted. */
export class EgressCounts {
  readonly #refused = { submission: new Tally(), attempt: new Tally() }

  readonly onRefused: OnRefused = ({ stage, kinds }) => {
    for (const [kind, times] of kinds) this.#refused[stage].add(kind, times)
  };

  *readings({ total, limit, waiting }: ResponseBudget): Generator<Reading> {
    for (const [stage, kinds] of Object.entries(this.#refused))
      for (const [kind, count] of kinds.entries()) yield ['gatherd_egress_refusals_total', { stage, kind }, count]
    yield ['gatherd_response_body_bytes', {}, total]
    yield ['gatherd_response_body_limit_bytes', {}, limit]
    yield ['gatherd_response_bodies_waiting', {}, waiting]
  }
}

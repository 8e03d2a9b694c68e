/** Destinations of one tenant that were refused at one time: those of one submission or append, or one of an attempt. */
export interface Refusal {
  tenantId: string
  stage: 'submission' | 'attempt'
  /** How often each rule was the reason, by its kind (`DENIAL_KINDS`). */
  kinds: ReadonlyMap<string, number>
  /** Of an attempt: what it was, with names and addresses. Not for a tenant. */
  detail?: string
}

/** Told of every refusal, whoever it was that refused: for the operator's log and for metrics. */
export type OnRefused = (refusal: Refusal) => void

/** Writes refusals to the log, one line each, without a URL. */
export function logRefusals(logger: { info(fields: object, message: string): void }): OnRefused {
  return ({ tenantId, stage, kinds, detail }) => {
    const count = [...kinds.values()].reduce((sum, each) => sum + each, 0)
    const kind = [...kinds.keys()].toSorted().join(', ')
    logger.info({ tenantId, stage, kind, count, ...(detail !== undefined && { detail }) }, 'destination refused')
  }
}

/** Tells each of them. */
export function everyOne(...all: OnRefused[]): OnRefused {
  return (refusal) => {
    for (const one of all) one(refusal)
  }
}

/** What becomes of a batch, beside its jobs: it is read to its end, followed over reconnects, or cancelled on its way. */
export type Fate = 'read' | 'follow' | 'cancel'

/** Jobs of a batch. */
export const JOBS = 50

/** Jobs of each kind in a batch: answers, sleeps, slow bodies, timeouts, resets. */
export function jobsOf(url: string): object[] {
  const parts: [number, object][] = [
    [30, { kind: 'fetch', url: `${url}/ok` }],
    [10, { kind: 'sleep', durationMs: 10 }],
    [4, { kind: 'fetch', url: `${url}/drip` }],
    [4, { kind: 'fetch', url: `${url}/hang`, timeoutMs: 30 }],
    [2, { kind: 'fetch', url: `${url}/reset` }],
  ]
  return parts.flatMap(([count, job]) => Array.from({ length: count }, () => job))
}

/** Of ten batches one is cancelled, two are followed, and the others read. */
export function fateOf(batch: number): Fate {
  if (batch % 10 === 3) return 'cancel'
  return batch % 5 === 1 ? 'follow' : 'read'
}

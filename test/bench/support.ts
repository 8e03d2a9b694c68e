import type { Outcome } from '../../bench/report/measure.ts'

/** An outcome with what matters to a test. */
export function outcome(parts: Partial<Outcome> = {}): Outcome {
  return {
    id: 'P1',
    title: 'fetches a second',
    targets: [],
    series: [],
    skipped: [],
    command: 'npm run bench -- --only P1 --write',
    at: '2026-11-23T03:04:05.678Z',
    seconds: 12.3,
    load: 1.25,
    machine: '2 × a processor, Node 24',
    commit: 'abc1234',
    ...parts,
  }
}

/** A loop, gatherd at 0.8 and 0.75 of it, and something of another unit. */
export function compared(): Outcome {
  return outcome({
    base: 'loop',
    targets: [
      { series: 'gatherd', per: 'loop', least: 0.7 },
      { series: 'late', most: 10 },
    ],
    series: [
      { name: 'loop', unit: 'jobs/s', figures: [1_000, 2_000] },
      { name: 'gatherd', unit: 'jobs/s', figures: [800, 1_500] },
      { name: 'late', unit: 'ms', figures: [12, 14] },
    ],
    skipped: [{ name: 'aiohttp', why: 'it is not installed' }],
  })
}

/** A curve of two lines over three sizes. */
export function curved(): Outcome {
  const sizes = [1_000, 10, 100]
  return outcome({
    id: 'streams',
    axis: 'open streams',
    series: sizes.flatMap((x) => [
      { name: `p50, ${x}`, unit: 'ms', figures: [x / 100], at: { line: 'p50', x } },
      { name: `p99, ${x}`, unit: 'ms', figures: [x / 10, x / 5, x / 4], at: { line: 'p99', x } },
    ]),
  })
}

import type { CommitGroup, Store } from '../../../src/store/store.ts'
import { group, headRow, numbered, recordRow } from '../rows.ts'

/** Both groups in one. */
export const both = (a: CommitGroup, b: CommitGroup): CommitGroup => ({
  batches: [...a.batches, ...b.batches],
  jobs: [...a.jobs, ...b.jobs],
  heads: [...a.heads, ...b.heads],
  records: [...a.records, ...b.records],
  logs: [...a.logs, ...b.logs],
})

/** Job 0 of a batch of one job has ended. */
export const ended = (no: number, seq = 3) =>
  group({
    heads: [headRow(no, { state: 'succeeded', seq })],
    records: [recordRow(no, 0, { result: '"done"' })],
    logs: [{ no, entries: numbered(seq, [{ type: 'job.succeeded', index: 0 }]) }],
  })

export const logOf = async (store: Store, no: number) =>
  (await store.log(no, { after: 0, limit: 99, completionsOnly: false })).events.map(({ seq, type }) => [seq, type])

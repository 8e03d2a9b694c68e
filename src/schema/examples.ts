const USERS = { kind: 'fetch', name: 'users', url: 'https://api.example.com/users', timeoutMs: 5_000 }
const ITEMS = { kind: 'fetch', name: 'items', method: 'POST', url: 'https://api.example.com/items', json: { n: 1 } }
const PAUSE = { kind: 'sleep', name: 'pause', durationMs: 250, result: { any: 'json' } }
const MIRRORS = ['a', 'b', 'c'].map((name) => ({ kind: 'fetch', name, url: `https://${name}.example.com/file` }))

/** A submission for each policy, by the name that the documentation shows it under. */
export const POLICY_EXAMPLES: Readonly<Record<string, { summary: string; value: unknown }>> = {
  sleep: {
    summary: 'A first try: one sleep, nothing fetched',
    value: { jobs: [{ kind: 'sleep', durationMs: 250, result: 'hello' }] },
  },
  all_settled: {
    summary: 'all_settled: every job ends, an entry for each',
    value: { policy: 'all_settled', name: 'refresh', labels: { run: '42' }, jobs: [USERS, ITEMS, PAUSE] },
  },
  gather: {
    summary: 'gather: the first failure is the outcome, the rest goes on',
    value: { policy: 'gather', defaults: { timeoutMs: 5_000 }, jobs: [USERS, PAUSE] },
  },
  task_group: {
    summary: 'task_group: the first failure cancels the rest',
    value: { policy: 'task_group', timeoutMs: 60_000, maxConcurrency: 10, open: true, jobs: [USERS, ITEMS] },
  },
  any: { summary: 'any: the first success wins', value: { policy: 'any', jobs: MIRRORS } },
  race: {
    summary: 'race: the first end of any kind wins',
    value: { policy: 'race', jobs: [USERS, { kind: 'sleep', durationMs: 1_000, result: 'too slow' }] },
  },
  quorum: { summary: 'quorum: n successes are enough', value: { policy: 'quorum', n: 2, jobs: MIRRORS } },
  hedge: {
    summary: 'hedge: the next job starts when one fails or is slow',
    value: { policy: 'hedge', hedgeDelayMs: 100, jobs: MIRRORS },
  },
}

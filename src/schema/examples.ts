const USERS = { kind: 'fetch', name: 'users', url: 'https://api.example.com/users', timeoutMs: 5_000 }
const ITEMS = { kind: 'fetch', name: 'items', method: 'POST', url: 'https://api.example.com/items', json: { n: 1 } }
const PAUSE = { kind: 'sleep', name: 'pause', durationMs: 250, result: { any: 'json' } }
const MIRRORS = ['a', 'b', 'c'].map((name) => ({ kind: 'fetch', name, url: `https://${name}.example.com/file` }))

/** A submission for each policy and some more, by the name that the documentation shows it under. */
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
    value: { policy: 'task_group', timeoutMs: 60_000, maxConcurrency: 10, jobs: [USERS, ITEMS] },
  },
  open_batch: {
    summary: 'An open batch: it takes more jobs until it is closed',
    value: { policy: 'task_group', open: true, timeoutMs: 60_000, jobs: [PAUSE] },
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

const BATCH_ID = '0198c1f0-5a3e-7c41-9d2b-3f6a8e0b1c2d'
const JOB_ID = '0198c1f0-5a3e-7c42-8a17-6b5d4c3e2f10'
const ACCEPTED_AT = '2026-01-02T03:04:05.678Z'
const FINISHED_AT = '2026-01-02T03:04:05.701Z'

const JOB = {
  id: JOB_ID,
  batchId: BATCH_ID,
  index: 0,
  name: 'users',
  kind: 'fetch',
  state: 'succeeded',
  attempts: 1,
  cancelRequests: 0,
  acceptedAt: ACCEPTED_AT,
  startedAt: '2026-01-02T03:04:05.681Z',
  finishedAt: FINISHED_AT,
  cause: null,
  reason: null,
  result: {
    status: 200,
    url: 'https://api.example.com/users',
    redirects: [],
    headers: { 'content-type': 'application/json', 'content-length': '12' },
    body: '{"users":[]}',
    bodyEncoding: 'utf8',
    bytes: 12,
    truncated: false,
    timing: { queuedMs: 3.1, connectMs: 8.2, firstByteMs: 18.4, totalMs: 19.5 },
  },
  error: null,
}

const BATCH = {
  id: BATCH_ID,
  policy: 'all_settled',
  state: 'running',
  name: 'refresh',
  labels: { run: '42' },
  open: false,
  n: null,
  hedgeDelayMs: null,
  timeoutMs: 60_000,
  maxConcurrency: 10,
  context: {},
  counts: {
    total: 3,
    queued: 1,
    running: 1,
    cancelling: 0,
    succeeded: 1,
    failed: 0,
    timed_out: 0,
    cancelled: 0,
  },
  acceptedAt: ACCEPTED_AT,
  settledAt: null,
  drainedAt: null,
  seq: 4,
  winner: null,
  error: null,
  cancel: null,
  links: {
    self: `/v1/batches/${BATCH_ID}`,
    jobs: `/v1/batches/${BATCH_ID}/jobs`,
    events: `/v1/batches/${BATCH_ID}/events`,
    cancel: `/v1/batches/${BATCH_ID}/cancel`,
  },
}

const SETTLED = {
  ...BATCH,
  state: 'succeeded',
  counts: { ...BATCH.counts, total: 1, queued: 0, running: 0 },
  settledAt: FINISHED_AT,
  drainedAt: FINISHED_AT,
}
const STATUS_ERROR = { type: 'HTTPStatusError', code: 'http_status', message: 'The response has status 500.' }
const LIMITS = {
  maxConcurrency: 10,
  maxQueuedJobs: 10_000,
  maxBatchJobs: 1_000,
  maxLiveBatches: 10_000,
  maxStoredBytes: 10_737_418_240,
  weight: 1,
  rate: { jobsPerSecond: 20, requestsPerMinute: null },
}
const USAGE = { queued: 12, running: 10, cancelling: 0, stuck: 0, batches: 3, storedBytes: 1_532_418 }
const KEY = {
  id: 'k7Qd2mX9',
  tenantId: 'acme',
  name: 'ci',
  scopes: ['jobs'],
  createdAt: ACCEPTED_AT,
  expiresAt: null,
  revokedAt: null,
}

const WRONG_JOB = {
  index: 1,
  name: 'job-1',
  valid: false,
  errors: [{ pointer: '/jobs/1/url', detail: 'The destination is not allowed.', code: 'egress_denied' }],
  egress: 'denied',
  waitingOn: null,
}
const RIGHT_JOB = { index: 0, name: 'users', valid: true, errors: [], egress: 'allowed', waitingOn: null }

/** An example for each component of the document whose fields alone would show zeros and the word "string". */
export const COMPONENT_EXAMPLES: Readonly<Record<string, unknown>> = {
  AdminTenant: {
    id: 'acme',
    ...LIMITS,
    maxBatchJobs: null,
    maxLiveBatches: null,
    maxStoredBytes: null,
    egress: { mode: null, allow: null, allowHosts: null, deny: ['203.0.113.0/24'], denyHosts: ['*.example.org'] },
    paused: false,
    createdAt: ACCEPTED_AT,
    limits: LIMITS,
    usage: USAGE,
  },
  Batch: BATCH,
  BatchError: { ...STATUS_ERROR, jobId: JOB_ID, index: 1 },
  BatchWithJobs: { ...SETTLED, jobs: [JOB] },
  CancelledBatch: {
    cancelled: true,
    batch: { ...BATCH, state: 'aborting', cancel: { reason: 'no longer needed', at: FINISHED_AT } },
  },
  CancelledJob: {
    cancelled: true,
    job: { ...JOB, state: 'cancelling', cancelRequests: 1, cause: 'user', finishedAt: null, result: null },
  },
  Event: { seq: 4, type: 'job.succeeded', at: FINISHED_AT, batchId: BATCH_ID, jobId: JOB_ID, index: 0, job: JOB },
  GroupedError: { jobId: JOB_ID, index: 1, ...STATUS_ERROR },
  Job: JOB,
  JobAppend: { jobs: [PAUSE] },
  JobError: { ...STATUS_ERROR, status: 500 },
  Key: KEY,
  NewKey: { ...KEY, key: 'gth_…' },
  Reschedule: { deadlineMs: 60_000, priority: 5 },
  Tenant: { id: 'acme', limits: LIMITS, paused: false, usage: USAGE },
  TenantSettings: {
    maxConcurrency: 10,
    maxQueuedJobs: 10_000,
    weight: 1,
    paused: false,
    egress: { denyHosts: ['*.example.org'] },
  },
  JobValidation: WRONG_JOB,
  Validation: { valid: false, errors: [], jobs: [RIGHT_JOB, WRONG_JOB], queue: null },
  WaitResult: { done: [JOB], pending: ['0198c1f0-5a3e-7c43-b1f4-2a9c7d5e8f31'] },
}

/** What a new key is asked for with. */
export const NEW_KEY_EXAMPLE = { name: 'ci', scopes: ['jobs'], expiresAt: null }

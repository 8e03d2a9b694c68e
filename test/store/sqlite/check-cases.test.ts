import type { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { brokenCopy, crashedStore, editLog, job, no, problemsOf } from './check-store.ts'

let store: Awaited<ReturnType<typeof crashedStore>>

beforeAll(async () => {
  store = await crashedStore()
})

afterAll(() => store[Symbol.dispose]())

/** What a check finds after `change`. */
function broken(change: string | ((database: DatabaseSync) => void)): string[] {
  using copy = brokenCopy(store.file)
  copy.break((database) => (typeof change === 'string' ? database.exec(change) : change(database)))
  return problemsOf(copy.file)
}

/** SQL that changes the facts of a batch. */
function facts(name: string, path: string, json: string): string {
  return `UPDATE batches SET facts = json_set(facts, '$.${path}', json('${json}')) WHERE no = ${no(name)}`
}

const setBatch = (name: string, set: string) => `UPDATE batches SET ${set} WHERE no = ${no(name)}`
const setRecord = (name: string, index: number, set: string) =>
  `UPDATE records SET ${set} WHERE id = ${job(name, index)}`

/** A batch whose tenant was deleted. */
const BURIED = `UPDATE batches SET tenant_id = 'gone' WHERE no = ${no('all')};
  UPDATE labels SET tenant_id = 'gone' WHERE no = ${no('all')};
  CREATE TABLE IF NOT EXISTS graves (tenant_id TEXT PRIMARY KEY, last_no INTEGER NOT NULL) WITHOUT ROWID;`

/** All that is wrong where rows came or went as they may, but without the service. */
const NOT_COUNTED = /^what tenant "acme" keeps by table stored is \d+, should be \d+$/

/** Facts that the engine does not write. */
const NO_FACTS: [path: string, json: string][] = [
  ['counts', '[1]'],
  ['accepted', '[]'],
  ['phase', '"lost"'],
  ['outcome', '"lost"'],
  ['open', '3'],
  ['winner', '-1'],
  ['released', 'null'],
  ['error', '"bad"'],
]

/** What is done to the store, and all that a check finds then. */
type Case = [change: string | ((database: DatabaseSync) => void), ...found: (string | RegExp)[]]
const CASES: Record<string, Case[]> = {
  'the row of a batch': [
    [setBatch('all', `state = 'failed'`), 'all: state is "failed", should be "succeeded"'],
    [setBatch('all', 'seq = seq + 1'), /^all: seq is \d+, should be \d+$/],
    [setBatch('all', 'settled_at = NULL'), 'all: settled_at is missing, should be set'],
    [setBatch('all', 'drained_at = NULL'), 'all: drained_at is missing, should be set'],
    [setBatch('live', 'drained_at = 5'), 'live: drained_at is set, should not be yet'],
    [setBatch('shielded', 'drained_at = 5'), 'shielded: drained_at is set, should not be yet'],
    [setBatch('live', 'settled_at = 5'), 'live: settled_at is set, should not be yet'],
    [setBatch('all', 'settled_at = settled_at + 1'), /^all: settled_at is \d+, should be \d+$/],
    [setBatch('all', 'drained_at = drained_at + 1'), /^all: drained_at is \d+, should be \d+$/],
    [
      setBatch('all', 'accepted_at = accepted_at + 1'),
      /^all: accepted_at is [\d.]+, should be [\d.]+$/,
      /^all: accepted_at is \d+, should be \d+$/,
    ],
    [setBatch('keyed', `header = '[1]'`), /: its header cannot be read, should be a JSON object$/],
    [
      setBatch('all', `tenant_id = 'nobody'`),
      ...['is not in table', 'belongs to no batch', 'tenant "nobody" is not there'].map((part) => new RegExp(part)),
    ],
    [
      setBatch('keyed', 'no = -7'),
      /: its number is -7, should be 1 to 4294967296$/,
      ...['specs', 'records', 'log'].map((table) => new RegExp(`rows of table ${table} belong to no batch$`)),
    ],
    [setBatch('all', 'seq = 9007199254740993'), /^#\d+: it cannot be read: /],
  ],
  'the facts of a batch': [
    [setBatch('live', `facts = ''`), 'live: its facts is not what the engine writes: a restart could not take it up'],
    ...NO_FACTS.map((field): Case => [facts('live', ...field), new RegExp(`^live: its facts.${field[0]} is not what`)]),
    [facts('all', 'counts[3]', '7'), 'all: facts.counts of succeeded is 7, should be 2'],
    [facts('all', 'winner', '5'), 'all: facts.winner is 5, should be below 5'],
    [facts('all', 'open', 'true'), 'all: facts.open is true in phase drained'],
    [facts('all', 'accepted[0].from', '1'), 'all: facts.accepted is not when the log has its jobs queued'],
    [facts('appended', 'accepted[1].at', '5'), 'appended: facts.accepted is not when the log has its jobs queued'],
    [facts('group', 'error.code', '"x"'), 'group: facts.error is not the error of batch.settled'],
    [
      facts('group', 'error', 'null'),
      'group: facts.error does not fit the outcome failed',
      'group: facts.error is not the error of batch.settled',
    ],
    [
      facts('all', 'outcome', '"cancelled"'),
      'all: state is "succeeded", should be "cancelled"',
      'all: facts.outcome is "cancelled", should be "succeeded"',
    ],
    [
      facts('live', 'outcome', '"succeeded"'),
      'live: state is "running", should be "succeeded"',
      'live: facts.outcome is succeeded in phase running',
    ],
    [
      facts('live', 'phase', '"aborting"'),
      'live: state is "running", should be "aborting"',
      'live: facts.phase is "aborting", should be "running"',
    ],
    [
      facts('shielded', 'phase', '"drained"'),
      'shielded: drained_at is missing, should be set',
      'shielded: facts.phase is "drained", should be "settled"',
      'shielded: it has drained with 1 jobs that have not ended',
    ],
  ],
  'the records of jobs': [
    [
      setRecord('all', 1, 'state = 3, error = NULL'),
      'all 1: its record is succeeded, should be failed by the log',
      /^all: facts.counts of succeeded is 2, should be 3$/,
      /^all: facts.counts of failed is 1, should be 0$/,
    ],
    [
      setRecord('all', 0, 'state = 9'),
      'all 0: the state of its record is 9, should be 0 to 6',
      /^all: facts.counts of succeeded/,
    ],
    [
      `DELETE FROM records WHERE id = ${job('live', 0)}`,
      'live 0: it has no record, which means queued, should be running by the log',
      /^live: facts.counts of queued/,
      /^live: facts.counts of running/,
    ],
    [setRecord('all', 0, 'attempts = 2'), 'all 0: attempts of its record is 2, should be 1'],
    [
      setRecord('all', 0, `attempts = -1`),
      'all 0: its record is succeeded with counts that are none',
      /a started_at before any attempt$/,
      /attempts of its record is -1/,
    ],
    [setRecord('all', 0, 'cancel_requests = -1'), 'all 0: its record is succeeded with counts that are none'],
    [
      setRecord('all', 0, 'attempts = 0, started_at = NULL'),
      'all 0: its record is succeeded without an attempt',
      /attempts of its record is 0/,
    ],
    [setRecord('all', 0, 'started_at = NULL'), 'all 0: its record is succeeded without started_at after an attempt'],
    [setRecord('all', 4, 'started_at = 5'), 'all 4: its record is timed_out with a started_at before any attempt'],
    [
      setRecord('all', 0, 'finished_at = NULL'),
      'all 0: its record is succeeded without finished_at',
      /^all 0: finished_at of its record is 0, should be \d+$/,
    ],
    [setRecord('live', 0, 'finished_at = 5'), 'live 0: its record is running with a finished_at'],
    [setRecord('all', 0, 'finished_at = finished_at + 1'), /^all 0: finished_at of its record is \d+, should be \d+$/],
    [setRecord('all', 3, `cause = 'deadline'`), 'all 3: cause of its record is "deadline", should be "timeout"'],
    [
      setRecord('all', 3, 'cause = NULL'),
      'all 3: its record is timed_out with the cause null',
      /^all 3: cause of its record is null/,
    ],
    [setRecord('live', 0, `cause = 'user'`), 'live 0: its record is running with the cause "user"'],
    [setRecord('cancelled', 0, `reason = 'another'`), 'cancelled 0: reason of its record is not the one in the log'],
    [setRecord('all', 1, 'error = NULL'), 'all 1: its record is failed without an error'],
    [setRecord('all', 0, `error = '{}'`), 'all 0: its record is succeeded with an error'],
    [setRecord('all', 0, `result = '{'`), 'all 0: its record is succeeded with a result or error that is no JSON'],
    [setRecord('all', 1, `error = 'x'`), 'all 1: its record is failed with a result or error that is no JSON'],
    [
      `INSERT INTO records SELECT ${job('all', 77)}, state, attempts, started_at, finished_at, cause, reason, cancel_requests, result, error, parts FROM records WHERE id = ${job('all', 0)}`,
      'all 77: it has a record but no spec',
    ],
  ],
  'the specs of jobs': [
    [
      `DELETE FROM specs WHERE id = ${job('any', 1)}`,
      'any 1: it has no spec, should have one',
      'any 1: it has a record but no spec',
      /^any: facts.counts of succeeded is 1, should be 0$/,
    ],
    [
      `DELETE FROM specs WHERE id = ${job('live', 1)}`,
      'live 1: it has no spec, should have one',
      /^live: facts.counts of queued/,
    ],
    [
      `DELETE FROM specs WHERE id IN (${job('appended', 0)}, ${job('appended', 1)})`,
      'appended 0: it and the jobs up to 1 have no spec',
      'appended 0: it has a record but no spec',
      'appended 1: it has a record but no spec',
      /^appended: facts.counts of succeeded/,
    ],
    [
      `INSERT INTO specs VALUES (${job('live', 2)}, 'sleep', NULL, '{"kind":"sleep"}')`,
      'live: it has 3 jobs, should have 2 by the log',
      /^live: facts.counts of queued/,
    ],
    [
      `UPDATE specs SET spec = '{' WHERE id = ${job('live', 1)}`,
      'live 1: its spec is not a JSON object of kind "sleep": the job could not be started',
    ],
    [
      `UPDATE specs SET kind = 'fetch' WHERE id = ${job('live', 1)}`,
      'live 1: its spec is not a JSON object of kind "fetch": the job could not be started',
    ],
  ],
  'the log of a batch': [
    [`DELETE FROM log WHERE no = ${no('live')}`, 'live: it has no log'],
    [`DELETE FROM log WHERE no = ${no('live')} AND seq = 1`, /^live: the next event of the log is \d+, should be 1$/],
    [
      `UPDATE log SET seq = seq + 1 WHERE no = ${no('live')} AND seq > 1`,
      /^live: the next event of the log is 5, should be 4$/,
    ],
    [
      `UPDATE log SET entries = '[' WHERE no = ${no('live')} AND seq = 1`,
      'live: the row of the log that begins with event 1 cannot be read',
    ],
    [
      `UPDATE log SET entries = '[]' WHERE no = ${no('live')} AND seq = 1`,
      'live: the row of the log that begins with event 1 cannot be read',
    ],
    [edited('live', ([first, ...rest]) => [[99, first[1], -1, 1], ...rest]), /^live: the row of the log/],
    [edited('live', ([first, ...rest]) => [[first[0], first[1], -1, 2], ...rest]), /^live: the row of the log/],
    [
      edited('live', ([first, second, ...rest]) => [first, [second[0], second[1], 0, 1e12], ...rest]),
      /^live: the row of the log/,
    ],
    [
      edited('open', ([first]) => [[1, first[1], -1, 1, { cause: 'stop' }]]),
      'open: event 1 is batch.aborting, should be batch.accepted',
      'open: event 1 is batch.aborting when the batch is not accepted yet',
      'open: facts.phase is "running", should be "aborting"',
    ],
    [
      edited('all', (entries) => entries.slice(0, -1)),
      /^all: seq is/,
      'all: facts.phase is "drained", should be "settled"',
    ],
    [
      edited('all', (entries) => [...entries, ...entries.slice(-1)]),
      /comes after batch.drained, which should be the last$/,
      /is batch.drained when the batch is drained$/,
      /^all: seq is/,
    ],
    [twice('appended', 7), /^appended 0: event \d+ is job.succeeded of a job that had ended$/, /^appended: seq is/],
    [twice('appended', 5), /^appended 0: event \d+ is job.started of a job that had ended$/, /^appended: seq is/],
    [
      edited('live', (entries) => [...entries, ...entries.slice(-1)]),
      'live 0: event 5 is job.started out of order',
      /^live: seq is/,
    ],
    [twice('appended', 4), /^appended 0: event \d+ is job.queued of a job that had ended$/, /^appended: seq is/],
    [
      edited('live', (entries) => [...entries, [5, entries[0][1], 9, 1, { attempt: 1 }]]),
      'live 9: event 5 is job.started of a job that was not queued',
      /^live: seq is/,
    ],
    [edited('live', (entries) => entries.map(again)), /^live 0: the attempt of event 4 is 7, should be 1$/],
  ],
  'rows without a batch': [
    [
      `INSERT INTO log VALUES (9223372036854775807, 1, '[]')`,
      '#9223372036854775807: 1 rows of table log belong to no batch',
    ],
    [
      `INSERT INTO specs VALUES ((900 << 20) + 3, 'sleep', NULL, '{}')`,
      '#900: 1 rows of table specs belong to no batch',
    ],
    [`INSERT INTO specs VALUES (-5, 'sleep', NULL, '{}')`, '#-1: 1 rows of table specs belong to no batch'],
    [
      `INSERT INTO records VALUES ((900 << 20) + 3, 0, 0, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL), ((901 << 20), 0, 0, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL)`,
      '#900: 1 rows of table records belong to no batch',
      '#901: 1 rows of table records belong to no batch',
    ],
    [
      `INSERT INTO log VALUES (900, 1, '[]'), (900, 2, '[]'), (9007199254740993, 1, '[]')`,
      '#900: 2 rows of table log belong to no batch',
      '#9007199254740993: 1 rows of table log belong to no batch',
    ],
    [
      `INSERT INTO tombstones VALUES (900, 'bat_x', 'acme', 0, 1); INSERT INTO log VALUES (900, 1, '[]')`,
      '#900: 1 rows of table log are left of a deleted batch that counts as purged',
    ],
    [
      `INSERT INTO tombstones VALUES (900, 'bat_x', 'acme', 0, 0); INSERT INTO log VALUES (900, 1, '[]')`,
      // They are on their way out, and count until they are.
      NOT_COUNTED,
    ],
    [`INSERT INTO labels VALUES ('acme', 'a', 'b', 900)`, '#900: label "a" belongs to no batch of its tenant'],
  ],
  'what is beside the batches': [
    [`${BURIED} INSERT INTO graves VALUES ('gone', 1000)`, NOT_COUNTED],
    [`${BURIED} INSERT INTO graves VALUES ('gone', 0)`, 'all: its tenant "gone" is not there'],
    [
      `DELETE FROM labels WHERE no = ${no('all')}`,
      'all: its label "name" is not in table labels: nobody finds it by that',
    ],
    [
      `INSERT INTO labels VALUES ('acme', 'a', 'b', ${no('all')})`,
      'all: label "a" of table labels is not in its header',
    ],
    [
      `INSERT INTO labels VALUES ('other', 'name', 'all', ${no('all')})`,
      /: label "name" belongs to no batch of its tenant$/,
    ],
    [
      `INSERT INTO tombstones VALUES (${no('all')}, 'bat_x', 'acme', 0, 1)`,
      'all: it has a tombstone, as if it were deleted, and is there',
    ],
    [
      `INSERT INTO tombstones SELECT 900, id, 'acme', 0, 1 FROM batches WHERE no = ${no('all')}`,
      'all: a deleted batch has the same id',
    ],
    [
      `UPDATE idempotency SET answer = '{'`,
      'the answer of Idempotency-Key "once" of tenant "acme" is not a JSON object',
    ],
    [
      `UPDATE idempotency SET answer = '{"id":"bat_x"}'`,
      'the answer of Idempotency-Key "once" of tenant "acme" is about a batch that never was',
    ],
    [`UPDATE tenants SET settings = '' WHERE id = 'acme'`, 'the settings of tenant "acme" are not a JSON object'],
    [
      `UPDATE keys SET tenant_id = 'nobody' WHERE tenant_id = 'acme'`,
      /^key \w+ is of tenant "nobody", which is not there$/,
    ],
    [
      `UPDATE keys SET hash = 'x' WHERE tenant_id = 'acme'`,
      /^the hash of key \w+ is not a SHA-256 in hex: nobody can use it$/,
    ],
    [`UPDATE keys SET scopes = '{}' WHERE tenant_id = 'acme'`, /^the scopes of key \w+ are not a JSON array of names$/],
    [`UPDATE meta SET value = 'short' WHERE key = 'secret'`, 'the secret is a text of 5, should be a blob of 32 bytes'],
    ['DROP INDEX batches_live', 'index batches_live is missing'],
    ['DROP TABLE labels', 'table labels is missing'],
  ],
}

/** A change of the log of a batch. */
function edited(name: string, change: Parameters<typeof editLog>[2]): (database: DatabaseSync) => void {
  return (database) => editLog(database, name, change)
}

/** Log the first event of this type a second time, before the batch settles. */
function twice(name: string, type: number): (database: DatabaseSync) => void {
  return edited(name, (entries) => {
    const again = entries.filter((entry) => entry[0] === type).slice(0, 1)
    return [...entries.slice(0, -2), ...again, ...entries.slice(-2)]
  })
}

/** The same event with another number of the attempt. */
function again<T extends [number, ...unknown[]]>(entry: T): T {
  return entry[0] === 5 ? ([...entry.slice(0, 4), { attempt: 7 }] as unknown as T) : entry
}

describe.each(Object.entries(CASES))('a check of %s', (_what, cases) => {
  it.each(cases.map(([change, ...found]) => [String(found[0] ?? 'nothing'), change, found] as const))(
    'says %s',
    (_title, change, found) => {
      const problems = broken(change)

      expect(problems).toEqual(found.map((each) => (typeof each === 'string' ? each : expect.stringMatching(each))))
    },
  )
})

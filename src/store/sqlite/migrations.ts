/**
 * The tables, one entry a schema version; the version is SQLite's `user_version`. A migration that has been released is
 * never changed: the next one is added.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

  CREATE TABLE tenants (id TEXT PRIMARY KEY, settings TEXT NOT NULL, created_at INTEGER NOT NULL) WITHOUT ROWID;

  CREATE TABLE keys (
    id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, name TEXT, hash TEXT NOT NULL, scopes TEXT NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER
  ) WITHOUT ROWID;

  CREATE TABLE batches (
    no INTEGER PRIMARY KEY, id TEXT NOT NULL, tenant_id TEXT NOT NULL, state TEXT NOT NULL, seq INTEGER NOT NULL,
    accepted_at REAL NOT NULL, settled_at REAL, drained_at REAL, header TEXT NOT NULL, facts TEXT NOT NULL
  );
  CREATE UNIQUE INDEX batches_id ON batches (id);
  CREATE INDEX batches_tenant ON batches (tenant_id, no);
  CREATE INDEX batches_drained ON batches (drained_at) WHERE drained_at IS NOT NULL;
  CREATE INDEX batches_live ON batches (no) WHERE drained_at IS NULL;

  CREATE TABLE labels (
    tenant_id TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, no INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key, value, no)
  ) WITHOUT ROWID;

  -- id = no * 2^20 + index, here and in records: one row a job, appended in order, found without an index.
  CREATE TABLE specs (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT, spec TEXT NOT NULL);
  -- Names are unique within a batch; unnamed jobs cost nothing here.
  CREATE UNIQUE INDEX specs_name ON specs (id >> 20, name) WHERE name IS NOT NULL;
  CREATE TABLE records (
    id INTEGER PRIMARY KEY, state INTEGER NOT NULL, attempts INTEGER NOT NULL, started_at REAL, finished_at REAL,
    cause TEXT, reason TEXT, cancel_requests INTEGER NOT NULL, result TEXT, error TEXT
  );

  -- One row holds the events of one batch in one commit, seq the first of them.
  CREATE TABLE log (no INTEGER NOT NULL, seq INTEGER NOT NULL, entries TEXT NOT NULL, PRIMARY KEY (no, seq)) WITHOUT ROWID;

  CREATE TABLE idempotency (
    tenant_id TEXT NOT NULL, key TEXT NOT NULL, request_hash TEXT NOT NULL, answer TEXT NOT NULL,
    created_at REAL NOT NULL, no INTEGER NOT NULL, PRIMARY KEY (tenant_id, key)
  ) WITHOUT ROWID;
  CREATE INDEX idempotency_age ON idempotency (created_at);

  -- Batches that were deleted; purged: their jobs and log are gone as well.
  CREATE TABLE tombstones (
    no INTEGER PRIMARY KEY, id TEXT NOT NULL, tenant_id TEXT NOT NULL, deleted_at REAL NOT NULL, purged INTEGER NOT NULL
  );
  CREATE UNIQUE INDEX tombstones_id ON tombstones (id);
  CREATE INDEX tombstones_unpurged ON tombstones (no) WHERE purged = 0;
  CREATE INDEX tombstones_tenant ON tombstones (tenant_id, no);

  -- Tenants that were deleted and whose rows are on their way out. What has this tenant_id and a number up to last_no is
  -- nobody's and is shown to nobody; what has a higher one belongs to a new tenant of the same name.
  CREATE TABLE graves (tenant_id TEXT PRIMARY KEY, last_no INTEGER NOT NULL) WITHOUT ROWID;

  -- What each tenant keeps in bytes, see stored.ts: the sum over its rows, changed along with them.
  CREATE TABLE stored (tenant_id TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
  `,
  `
  -- A long result is written in parts before its record, which has how many bytes they are and no result. Else they are nobody's.
  CREATE TABLE parts (id INTEGER NOT NULL, part INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (id, part));
  ALTER TABLE records ADD COLUMN parts INTEGER;
  `,
  `
  -- Which tombstones are old enough to go: there are as many as batches were deleted in a week.
  CREATE INDEX tombstones_age ON tombstones (deleted_at) WHERE purged = 1;
  `,
]

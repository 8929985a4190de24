-- The four tables of the Python package: names, columns and values are shared with it. The bytes of a blob stand last in
-- its row, as SQLite streams only what stands there; elsewhere it lays out all of a blob in memory, twice.
-- Its two secondary indexes are left out: the unique index on (run_id, seq) serves every query of this kernel, and
-- without them a ledger is a fifth smaller. The Python package adds them when it opens the file.
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY,
    policy_id TEXT NOT NULL,
    policy_version TEXT NOT NULL,
    stage_graph_id TEXT NOT NULL,
    created_at TEXT NOT NULL,
    meta_json TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL REFERENCES runs (run_id),
    seq INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    envelope_json TEXT NOT NULL,
    event_hash TEXT NOT NULL,
    prev_event_hash TEXT,
    created_at TEXT NOT NULL,
    UNIQUE (run_id, seq)
);
CREATE TABLE IF NOT EXISTS blobs (
    sha256 TEXT PRIMARY KEY,
    content_type TEXT NOT NULL,
    bytes_len INTEGER NOT NULL,
    evidence_class TEXT NOT NULL DEFAULT 'public',
    state TEXT NOT NULL DEFAULT 'live',
    created_at TEXT NOT NULL,
    expired_at TEXT,
    redaction_json TEXT,
    data BLOB
);
CREATE TABLE IF NOT EXISTS schema_meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
INSERT INTO schema_meta (key, value) SELECT 'store_schema_version', '1'
WHERE NOT EXISTS (SELECT 1 FROM schema_meta WHERE key = 'store_schema_version');

-- Our own: which event an idempotency key stands for.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    run_id TEXT NOT NULL,
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    draft_sha256 BLOB NOT NULL,
    PRIMARY KEY (run_id, key)
) WITHOUT ROWID;

-- Our own: the log. What is bound to it for good (its origin); its checkpoints as they were signed, with the last row of
-- `events` that each covers; which events its leaves are, as stretches of one run; and its hashes, up to 256 to a row:
-- row (level, idx) has the roots of the subtrees of height 8 * level from number 256 * idx on.
CREATE TABLE IF NOT EXISTS log_meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log_checkpoints (
    id INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    last_event_id INTEGER NOT NULL,
    vkey TEXT NOT NULL,
    note TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS log_segments (
    first_leaf INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    count INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS log_segments_of_run ON log_segments (run_id, first_seq);
CREATE TABLE IF NOT EXISTS log_tiles (
    level INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (level, idx)
);

-- Our own: what a ledger's users have set, such as its retention, as canonical JSON.
CREATE TABLE IF NOT EXISTS settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Against accidents: whoever holds the file can drop a trigger. What proves tampering is the chain.
CREATE TRIGGER IF NOT EXISTS events_are_not_updated BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER IF NOT EXISTS events_are_not_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

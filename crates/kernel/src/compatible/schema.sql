-- The four tables of the Python package, with its order of columns. Its two secondary indexes are not needed here: the
-- unique index on (run_id, seq) serves every query.
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
    data BLOB,
    created_at TEXT NOT NULL,
    expired_at TEXT,
    redaction_json TEXT
);
CREATE TABLE IF NOT EXISTS schema_meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
INSERT INTO schema_meta (key, value) SELECT 'store_schema_version', '1'
WHERE NOT EXISTS (SELECT 1 FROM schema_meta WHERE key = 'store_schema_version');

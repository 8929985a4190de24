-- Only in a ledger that was made to compress: evidence in pieces of 1 MiB (the last one smaller), each as one zstd frame,
-- or as it is where it has `bytes_len` bytes. In `blobs` such a blob's `data` is NULL.
CREATE TABLE blob_pieces (
    id INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL,
    idx INTEGER NOT NULL,
    bytes_len INTEGER NOT NULL,
    data BLOB NOT NULL,
    UNIQUE (sha256, idx)
);

-- The fence: this kernel before it knew of compression refuses the version, and the Python package 0.1.0, which would write
-- its own over it, is refused here.
UPDATE schema_meta SET value = '1+zstd' WHERE key = 'store_schema_version';
CREATE TRIGGER schema_meta_is_fixed BEFORE INSERT ON schema_meta
BEGIN SELECT RAISE(ABORT, 'this ledger is compressed: it is read by receipt-kernel from 0.2 on, not by the Python package 0.1.0'); END;
CREATE TRIGGER schema_meta_is_not_updated BEFORE UPDATE ON schema_meta
BEGIN SELECT RAISE(ABORT, 'this ledger is compressed: it is read by receipt-kernel from 0.2 on, not by the Python package 0.1.0'); END;

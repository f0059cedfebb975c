-- From schema version 2 of a vector database to 3: which chunks are mostly links. Documents that are stored from now on have it.
-- windlass does this by itself when it writes. By hand, while nothing uses the file: sqlite3 NAME.db < 002-to-003.sql
BEGIN IMMEDIATE;
CREATE TABLE linked (
    chunk INTEGER PRIMARY KEY REFERENCES chunk (id),
    share INTEGER NOT NULL CHECK (share BETWEEN 1 AND 100)
) STRICT;
PRAGMA user_version = 3;
COMMIT;

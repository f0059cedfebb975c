-- From schema version 1 of a vector database to 2: who stored each document.
-- windlass does this by itself when it writes. By hand, while nothing uses the file: sqlite3 NAME.db < 001-to-002.sql
BEGIN IMMEDIATE;
CREATE TABLE version (
    document INTEGER PRIMARY KEY REFERENCES document (id),
    engine   TEXT    NOT NULL,
    run      INTEGER NOT NULL
) STRICT;
PRAGMA user_version = 2;
COMMIT;

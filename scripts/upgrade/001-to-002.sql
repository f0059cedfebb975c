-- From schema version 1 to 2: the version of each document, and deletions that outlive their removal.
-- windlass does this by itself. By hand, while nothing uses the home: sqlite3 engine.db < 001-to-002.sql
BEGIN IMMEDIATE;
ALTER TABLE document ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
UPDATE document SET version = coalesce(run_id, 0);
CREATE TABLE run_document(
  run_id     INTEGER PRIMARY KEY REFERENCES run(id) ON DELETE CASCADE,
  database   TEXT    NOT NULL,
  source     TEXT    NOT NULL,
  documents  TEXT    NOT NULL CHECK (json_valid(documents))
) STRICT;
ALTER TABLE document_removal ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE document_removal ADD COLUMN done INTEGER NOT NULL DEFAULT 0 CHECK (done IN (0, 1));
UPDATE document_removal SET version = (SELECT value FROM counter WHERE id = 3);
CREATE INDEX document_removal_pending ON document_removal(database) WHERE done = 0;
PRAGMA user_version = 2;
COMMIT;

-- From schema version 6 to 7: steps wait for times, people, signals and groups without a worker.
-- windlass does this by itself. By hand, while nothing uses the home: sqlite3 engine.db < 006-to-007.sql
BEGIN IMMEDIATE;
DROP VIEW step_status;
CREATE TABLE waiting(
  step_id    INTEGER PRIMARY KEY,
  run_id     INTEGER NOT NULL,
  group_id   INTEGER NOT NULL,
  kind       INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4),
  token      INTEGER NOT NULL,
  worker     INTEGER NOT NULL,
  started    INTEGER NOT NULL,
  due        INTEGER,
  otherwise  INTEGER NOT NULL DEFAULT 2 CHECK (otherwise IN (1, 2)),
  signal     TEXT    NOT NULL DEFAULT '',
  children   INTEGER,
  detail     TEXT    NOT NULL CHECK (json_valid(detail)),
  CHECK ((kind = 3) = (signal <> '')),
  CHECK ((kind = 4) = (children IS NOT NULL)),
  CHECK (kind <> 1 OR due IS NOT NULL)
) STRICT;
CREATE INDEX waiting_due      ON waiting(due) WHERE due IS NOT NULL;
CREATE INDEX waiting_group    ON waiting(group_id, run_id);
CREATE INDEX waiting_signal   ON waiting(group_id, signal) WHERE signal <> '';
CREATE INDEX waiting_kind     ON waiting(kind);
CREATE INDEX waiting_children ON waiting(children) WHERE children IS NOT NULL;
CREATE TABLE signal(
  group_id  INTEGER NOT NULL REFERENCES run_group(id),
  run_id    INTEGER NOT NULL,
  name      TEXT    NOT NULL,
  value     TEXT CHECK (value IS NULL OR json_valid(value)),
  who       TEXT    NOT NULL,
  at        INTEGER NOT NULL,
  PRIMARY KEY (group_id, run_id, name)
) STRICT, WITHOUT ROWID;
CREATE VIEW step_status AS
SELECT s.id, s.run_id, s.group_id, s.no, s.type_id,
       CASE WHEN l.step_id IS NOT NULL THEN 'RUNNING' WHEN s.state = -1 THEN 'WAITING'
            WHEN s.state = 5 THEN 'COMPLETED' WHEN s.state = 6 THEN 'FAILED' WHEN s.state = 7 THEN 'CANCELLED'
            WHEN s.state = 8 THEN 'SKIPPED'
            WHEN s.failures > 0 OR s.crashes > 0 THEN 'ERROR' ELSE 'PENDING' END AS status
  FROM step s LEFT JOIN lease l ON l.step_id = s.id;
PRAGMA user_version = 7;
COMMIT;

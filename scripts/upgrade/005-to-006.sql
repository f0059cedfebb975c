-- From schema version 5 to 6: steps can be skipped or wait without a worker, and groups take turns.
-- windlass does this by itself. By hand, while nothing uses the home: sqlite3 engine.db < 005-to-006.sql
BEGIN IMMEDIATE;
DROP VIEW step_status;
DROP VIEW attempt_all;
ALTER TABLE step RENAME TO old_step;
ALTER TABLE ready RENAME TO old_ready;
CREATE TABLE step(
  id         INTEGER PRIMARY KEY,
  run_id     INTEGER NOT NULL,
  group_id   INTEGER NOT NULL,
  no         INTEGER NOT NULL,
  type_id    INTEGER NOT NULL,
  state      INTEGER NOT NULL CHECK (state BETWEEN -1 AND 8),
  priority   INTEGER NOT NULL,
  due        INTEGER NOT NULL,
  unmet      INTEGER NOT NULL CHECK (unmet >= 0),   -- counted down only where a step has two needs or more
  key_id     INTEGER,
  scope      INTEGER NOT NULL DEFAULT 0,
  attempts   INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  failures   INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
  crashes    INTEGER NOT NULL DEFAULT 0 CHECK (crashes >= 0),
  suspect    INTEGER NOT NULL DEFAULT 0,            -- in flight when an engine died: runs alone in a child next time
  recomputed INTEGER NOT NULL DEFAULT 0,            -- how often it ran again because a file that it had made was damaged
  token      INTEGER,
  worker     INTEGER,
  started    INTEGER,
  ended      INTEGER,
  outcome    INTEGER,
  output_id  INTEGER,
  CHECK ((state >= 5) = (ended IS NOT NULL)),
  CHECK (state <> 5 OR outcome IS NOT NULL)
) STRICT;
INSERT INTO step
SELECT id, run_id, group_id, no, type_id, state, priority, due, unmet, key_id, scope, attempts, failures, crashes, suspect, recomputed,
       token, worker, started, ended, outcome, output_id
  FROM old_step;
DROP TABLE old_step;
ALTER TABLE attempt RENAME TO old_attempt;
CREATE TABLE attempt(
  step_id  INTEGER NOT NULL,
  n        INTEGER NOT NULL,      -- counts spent attempts from 1; one that was given back keeps its number
  token    INTEGER NOT NULL,
  worker   INTEGER NOT NULL,
  started  INTEGER NOT NULL,
  ended    INTEGER NOT NULL,
  outcome  INTEGER NOT NULL CHECK (outcome BETWEEN 1 AND 10),
  detail   TEXT    NOT NULL CHECK (json_valid(detail)),
  PRIMARY KEY (step_id, token)
) STRICT, WITHOUT ROWID;
INSERT INTO attempt SELECT step_id, n, token, worker, started, ended, outcome, detail FROM old_attempt;
DROP TABLE old_attempt;
CREATE INDEX step_delayed ON step(due) WHERE state = 1;
CREATE INDEX step_blocked ON step(key_id, type_id, scope, priority DESC, due) WHERE state = 2;   -- rowid breaks ties
CREATE INDEX step_paused  ON step(group_id) WHERE state = 3;
CREATE INDEX step_error   ON step(group_id, run_id) WHERE failures + crashes > 0 AND state < 5;   -- will be tried again
CREATE INDEX step_lost    ON step(group_id, state, run_id) WHERE state IN (6, 7);   -- rare among many
CREATE INDEX step_skipped ON step(group_id, run_id) WHERE state = 8;
CREATE INDEX step_recomputing ON step(id) WHERE recomputed > 0 AND state < 5;
ALTER TABLE group_detail ADD COLUMN weight INTEGER NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000);
ALTER TABLE group_detail ADD COLUMN file TEXT NOT NULL DEFAULT '';
ALTER TABLE group_detail ADD COLUMN submitted_as INTEGER NOT NULL DEFAULT 0;
ALTER TABLE group_detail ADD COLUMN concurrency TEXT NOT NULL DEFAULT '';
ALTER TABLE group_detail ADD COLUMN retry_as INTEGER REFERENCES definition(id);
ALTER TABLE group_detail ADD COLUMN retry_from INTEGER;
ALTER TABLE hook ADD COLUMN definition_id INTEGER NOT NULL DEFAULT 0;
CREATE TABLE concurrency(
  no        INTEGER PRIMARY KEY,
  name      TEXT    NOT NULL,
  group_id  INTEGER NOT NULL UNIQUE REFERENCES run_group(id),
  replaces  INTEGER NOT NULL DEFAULT 0 CHECK (replaces IN (0, 1))
) STRICT;
CREATE INDEX concurrency_name ON concurrency(name, no);
CREATE TABLE rerun(
  run_id  INTEGER PRIMARY KEY REFERENCES run(id) ON DELETE CASCADE,
  no      INTEGER NOT NULL
) STRICT;
DROP INDEX ready_head;
CREATE TABLE ready(
  queue     INTEGER NOT NULL,
  priority  INTEGER NOT NULL,
  group_id  INTEGER NOT NULL,
  step_id   INTEGER NOT NULL,
  due       INTEGER NOT NULL,
  type_id   INTEGER NOT NULL,
  run_id    INTEGER NOT NULL,
  scope     INTEGER NOT NULL,
  key_id    INTEGER,
  attempts  INTEGER NOT NULL,
  PRIMARY KEY (queue, priority DESC, group_id, step_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX ready_head   ON ready(key_id, type_id, scope) WHERE key_id IS NOT NULL;   -- one head per key, type and scope
INSERT INTO ready
SELECT queue, priority, group_id, step_id, due, type_id, run_id, scope, key_id, attempts FROM old_ready;
DROP TABLE old_ready;
CREATE TABLE turn(
  queue     INTEGER NOT NULL,
  priority  INTEGER NOT NULL,
  group_id  INTEGER NOT NULL,
  tag       INTEGER NOT NULL,
  weight    INTEGER NOT NULL CHECK (weight BETWEEN 1 AND 1000),
  PRIMARY KEY (queue, priority DESC, group_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX turn_order ON turn(queue, priority DESC, tag, group_id, weight);
INSERT INTO turn SELECT DISTINCT queue, priority, group_id, 0, 1 FROM ready;
CREATE TABLE schedule(
  id             INTEGER PRIMARY KEY AUTOINCREMENT,
  name           TEXT    NOT NULL UNIQUE,
  definition_id  INTEGER NOT NULL REFERENCES definition(id),
  file           TEXT    NOT NULL,
  spec           TEXT    NOT NULL CHECK (json_valid(spec)),
  items          TEXT CHECK (items IS NULL OR json_valid(items)),
  params         TEXT    NOT NULL CHECK (json_valid(params)),
  directory      TEXT    NOT NULL,
  priority       INTEGER NOT NULL,
  weight         INTEGER NOT NULL CHECK (weight BETWEEN 1 AND 1000),
  paused         INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  cursor         INTEGER NOT NULL,
  due            INTEGER,
  missed         INTEGER NOT NULL DEFAULT 0,
  problem        TEXT    NOT NULL DEFAULT '',   -- why the last firing failed, or what was missed; empty: all is well
  created        INTEGER NOT NULL
) STRICT;
CREATE INDEX schedule_due ON schedule(due) WHERE due IS NOT NULL;
CREATE TABLE firing(
  schedule_id  INTEGER NOT NULL REFERENCES schedule(id) ON DELETE CASCADE,
  instant      INTEGER NOT NULL,
  state        INTEGER NOT NULL CHECK (state BETWEEN 1 AND 4),
  group_id     INTEGER,
  at           INTEGER NOT NULL,
  detail       TEXT    NOT NULL DEFAULT '',
  PRIMARY KEY (schedule_id, instant)
) STRICT, WITHOUT ROWID;
CREATE INDEX firing_collecting ON firing(schedule_id) WHERE state = 1;
CREATE VIEW step_status AS
SELECT s.id, s.run_id, s.group_id, s.no, s.type_id,
       CASE WHEN l.step_id IS NOT NULL THEN 'RUNNING'
            WHEN s.state = 5 THEN 'COMPLETED' WHEN s.state = 6 THEN 'FAILED' WHEN s.state = 7 THEN 'CANCELLED'
            WHEN s.state = 8 THEN 'SKIPPED'
            WHEN s.failures > 0 OR s.crashes > 0 THEN 'ERROR' ELSE 'PENDING' END AS status
  FROM step s LEFT JOIN lease l ON l.step_id = s.id;

-- Every attempt: the rows of `attempt`, successes that live in the step's own columns, and what runs now (outcome NULL).
CREATE VIEW attempt_all AS
SELECT step_id, n, token, worker, started, ended, outcome, detail FROM attempt
UNION ALL
SELECT s.id, s.attempts, s.token, s.worker, s.started, s.ended, s.outcome, NULL FROM step s
 WHERE s.state = 5 AND s.token IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.step_id = s.id AND a.token = s.token)
UNION ALL
SELECT step_id, attempts + 1, token, worker, started, NULL, NULL, NULL FROM lease;
PRAGMA user_version = 6;
COMMIT;

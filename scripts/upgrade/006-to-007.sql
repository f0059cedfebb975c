-- From schema version 6 to 7: steps wait for times, people, signals and groups without a worker, take resources and start at rates,
-- start groups, hooks are steps, and directories are watched.
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
CREATE TABLE child_group(
  group_id  INTEGER PRIMARY KEY REFERENCES run_group(id),
  step_id   INTEGER NOT NULL,
  parent    INTEGER NOT NULL,
  list      BLOB    NOT NULL CHECK (length(list) = 32),
  past      INTEGER NOT NULL DEFAULT 0 CHECK (past IN (0, 1)),
  again     INTEGER NOT NULL DEFAULT 0 CHECK (again IN (0, 1)),
  asked     INTEGER NOT NULL DEFAULT 0 CHECK (asked IN (0, 1)),
  held      INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1)),
  tolerate  TEXT    NOT NULL,
  at_most   INTEGER CHECK (at_most > 0),
  active    INTEGER NOT NULL DEFAULT 0 CHECK (active >= 0)
) STRICT;
CREATE UNIQUE INDEX child_group_step ON child_group(step_id) WHERE past = 0;
CREATE INDEX child_group_parent ON child_group(parent, group_id);
CREATE INDEX child_group_past   ON child_group(step_id) WHERE past = 1;
CREATE TABLE collect(
  group_id       INTEGER PRIMARY KEY REFERENCES run_group(id),
  definition_id  INTEGER NOT NULL REFERENCES definition(id),
  run_id         INTEGER
) STRICT;
CREATE INDEX ready_below ON ready(scope, queue, step_id) WHERE scope > 0 AND scope <> group_id;
CREATE VIEW step_status AS
SELECT s.id, s.run_id, s.group_id, s.no, s.type_id,
       CASE WHEN l.step_id IS NOT NULL THEN 'RUNNING' WHEN s.state = -1 THEN 'WAITING'
            WHEN s.state = 5 THEN 'COMPLETED' WHEN s.state = 6 THEN 'FAILED' WHEN s.state = 7 THEN 'CANCELLED'
            WHEN s.state = 8 THEN 'SKIPPED'
            WHEN s.failures > 0 OR s.crashes > 0 THEN 'ERROR' ELSE 'PENDING' END AS status
  FROM step s LEFT JOIN lease l ON l.step_id = s.id;
-- A hook is a step: the only one of a run, in a hidden group whose id is the negated id of the group that it tells of.
ALTER TABLE hook RENAME TO old_hook;
DROP INDEX hook_due;
DROP INDEX hook_running;
DROP INDEX hook_failed;
CREATE TABLE hook(
  id             INTEGER PRIMARY KEY,         -- the step that runs it
  definition_id  INTEGER NOT NULL,            -- whose hook it is
  no             INTEGER NOT NULL,            -- its place in that definition's list of hooks
  event          TEXT    NOT NULL,
  name           TEXT    NOT NULL,
  group_id       INTEGER NOT NULL,
  run_id         INTEGER NOT NULL DEFAULT 0,
  step_id        INTEGER NOT NULL DEFAULT 0,
  epoch          INTEGER NOT NULL,
  subject        INTEGER NOT NULL DEFAULT 0,  -- token of the attempt that it tells of, for step events
  UNIQUE (group_id, event, definition_id, no, run_id, step_id, epoch, subject)
) STRICT;
INSERT OR IGNORE INTO definition(hash, name, title, body, shape, created)
SELECT x'720607c8d685fab88ffdfba43b7f233b814b72962134636ee79ffbb5e1f617a0', 'windlass/hook', 'windlass/hook',
       '{"hooks":{},"id":"windlass/hook","name":"windlass/hook","steps":[{"action":{"uses":"windlass/noop"},"backoff":{"factor":2.0,"initial":"1s","jitter":0.2,"max":"5m"},"cache":null,"env":{},"limits":{"cpu":null,"memory":null,"open_files":null},"max_crashes":3,"name":"hook","needs":[],"permanent_exits":[],"resource_key":null,"retries":0,"step_type":"hooks","timeout":null,"unit":"step","with":null}],"workers":{}}',
       '{"steps":[{"type":"hooks","needs":[]}],"hooks":[]}', 0
 WHERE EXISTS (SELECT 1 FROM old_hook);
INSERT OR IGNORE INTO step_type(name) SELECT 'hooks' WHERE EXISTS (SELECT 1 FROM old_hook);
CREATE TABLE hook_number AS
SELECT h.id AS hook, row_number() OVER (ORDER BY h.id) AS n,
       (SELECT value FROM counter WHERE id = 3) + row_number() OVER (ORDER BY h.id) AS run,
       (SELECT value FROM counter WHERE id = 4) + row_number() OVER (ORDER BY h.id) AS step,
       (SELECT id FROM definition WHERE name = 'windlass/hook') AS definition
  FROM old_hook h JOIN group_detail d ON d.group_id = h.group_id;
INSERT INTO run_group(id, unfinished, failed, phase, ended)
SELECT -g.id, sum(h.state < 5), sum(h.state = 6), CASE WHEN g.phase = 3 AND sum(h.state < 5) = 0 THEN 3 ELSE 0 END,
       CASE WHEN sum(h.state < 5) = 0 THEN max(h.ended) END
  FROM hook_number n JOIN old_hook h ON h.id = n.hook JOIN run_group g ON g.id = h.group_id GROUP BY g.id;
INSERT INTO group_detail(group_id, definition_id, name, params, directory, priority, runs, opened, open_until, created)
SELECT -d.group_id, n.definition, d.name, '{}', d.directory, d.priority, count(*), max(n.run), max(n.run), d.created
  FROM hook_number n JOIN old_hook h ON h.id = n.hook JOIN group_detail d ON d.group_id = h.group_id GROUP BY d.group_id;
INSERT INTO run(id, group_id, definition_id, first_step, unfinished, failed, ended)
SELECT n.run, -h.group_id, n.definition, n.step, h.state < 5, h.state = 6, h.ended
  FROM hook_number n JOIN old_hook h ON h.id = n.hook;
INSERT INTO item(run_id, item) SELECT n.run, h.name FROM hook_number n JOIN old_hook h ON h.id = n.hook;
INSERT INTO step(id, run_id, group_id, no, type_id, state, priority, due, unmet, scope, attempts, failures, started, ended, outcome)
SELECT n.step, n.run, -h.group_id, 0, (SELECT id FROM step_type WHERE name = 'hooks'),
       CASE WHEN h.state < 5 THEN 1 ELSE h.state END, d.priority, h.due, 0, -g.scope, max(h.attempts, 0),
       CASE h.state WHEN 5 THEN 0 ELSE max(h.attempts, h.state = 6) END, h.started, h.ended,
       CASE h.state WHEN 5 THEN 1 WHEN 6 THEN 3 END
  FROM hook_number n JOIN old_hook h ON h.id = n.hook JOIN group_detail d ON d.group_id = -h.group_id
  JOIN run_group g ON g.id = h.group_id;
INSERT INTO attempt(step_id, n, token, worker, started, ended, outcome, detail)
SELECT n.step, max(h.attempts, 1), 0, 0, coalesce(h.started, h.ended), h.ended, 3,
       json_object('outcome', json_object('outcome', 'failed', 'retryable', json('false'), 'kind', 'hook', 'message', h.detail),
                   'message', h.detail, 'certificate', json('{}'))
  FROM hook_number n JOIN old_hook h ON h.id = n.hook WHERE h.state = 6;
INSERT INTO hook(id, definition_id, no, event, name, group_id, run_id, step_id, epoch, subject)
SELECT n.step, CASE h.definition_id WHEN 0 THEN d.definition_id ELSE h.definition_id END, h.no, h.event, h.name, h.group_id, h.run_id,
       h.step_id, h.epoch, h.subject
  FROM hook_number n JOIN old_hook h ON h.id = n.hook JOIN group_detail d ON d.group_id = h.group_id;
UPDATE counter SET value = value + (SELECT count(*) FROM hook_number) WHERE id IN (3, 4);
DROP TABLE hook_number;
DROP TABLE old_hook;
CREATE TABLE group_alert(
  group_id       INTEGER PRIMARY KEY REFERENCES run_group(id) ON DELETE CASCADE,
  definition_id  INTEGER NOT NULL REFERENCES definition(id)
) STRICT;
ALTER TABLE step ADD COLUMN demand_id INTEGER;
CREATE INDEX step_demand  ON step(demand_id) WHERE demand_id IS NOT NULL;
CREATE TABLE resource(
  id        INTEGER PRIMARY KEY,
  kind      INTEGER NOT NULL CHECK (kind IN (1, 2)),
  name      TEXT    NOT NULL,
  capacity  INTEGER NOT NULL CHECK (capacity >= 0),
  source    INTEGER NOT NULL DEFAULT 0 CHECK (source BETWEEN 0 AND 3),
  held      INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),
  excess    INTEGER NOT NULL DEFAULT 0 CHECK (excess >= 0),
  due       INTEGER,
  UNIQUE (kind, name)
) STRICT;
CREATE INDEX resource_due ON resource(due) WHERE due IS NOT NULL;
CREATE TABLE demand(
  id    INTEGER PRIMARY KEY,
  body  TEXT    NOT NULL UNIQUE CHECK (json_valid(body))
) STRICT;
CREATE TABLE demand_part(
  demand_id    INTEGER NOT NULL REFERENCES demand(id) ON DELETE CASCADE,
  resource_id  INTEGER NOT NULL REFERENCES resource(id),
  units        INTEGER,
  per          INTEGER,
  PRIMARY KEY (demand_id, resource_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX demand_part_resource ON demand_part(resource_id);
CREATE TABLE holding(
  step_id      INTEGER NOT NULL,
  resource_id  INTEGER NOT NULL REFERENCES resource(id),
  units        INTEGER NOT NULL,
  PRIMARY KEY (step_id, resource_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX holding_resource ON holding(resource_id, step_id);
CREATE TABLE line(
  id         INTEGER PRIMARY KEY,
  demand_id  INTEGER NOT NULL REFERENCES demand(id),
  type_id    INTEGER NOT NULL,
  queue      INTEGER NOT NULL,
  open       INTEGER NOT NULL DEFAULT 1 CHECK (open IN (0, 1)),
  lacks      INTEGER,
  since      INTEGER,
  offered    INTEGER,
  UNIQUE (demand_id, type_id),
  CHECK (open = 1 OR (lacks IS NOT NULL AND since IS NOT NULL))
) STRICT;
CREATE INDEX line_open ON line(queue, id) WHERE open = 1;
CREATE TABLE line_wait(
  resource_id  INTEGER NOT NULL,
  since        INTEGER NOT NULL,
  line_id      INTEGER NOT NULL REFERENCES line(id),
  PRIMARY KEY (resource_id, since, line_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE rate_start(
  resource_id  INTEGER NOT NULL REFERENCES resource(id) ON DELETE CASCADE,
  no           INTEGER NOT NULL,
  at           INTEGER NOT NULL,
  monotonic    INTEGER NOT NULL,
  boot         TEXT    NOT NULL,
  PRIMARY KEY (resource_id, no)
) STRICT, WITHOUT ROWID;
CREATE TABLE memory_peak(
  type_id  INTEGER NOT NULL,
  no       INTEGER NOT NULL,
  bytes    INTEGER NOT NULL,
  PRIMARY KEY (type_id, no)
) STRICT, WITHOUT ROWID;
CREATE TABLE memory_learned(
  type_id   INTEGER PRIMARY KEY,
  measured  INTEGER NOT NULL,
  reserve   INTEGER NOT NULL
) STRICT;
CREATE TABLE memory_retry(
  step_id  INTEGER PRIMARY KEY,
  bytes    INTEGER NOT NULL,
  used     INTEGER NOT NULL DEFAULT 0 CHECK (used IN (0, 1))
) STRICT;
CREATE TABLE watch(
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  schedule_id  INTEGER NOT NULL UNIQUE REFERENCES schedule(id) ON DELETE CASCADE,
  directory    TEXT    NOT NULL,
  complete     INTEGER NOT NULL DEFAULT 1 CHECK (complete IN (0, 1)),
  revision     INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE TABLE watched_file(
  watch_id  INTEGER NOT NULL,
  path      TEXT    NOT NULL,
  size      INTEGER NOT NULL,
  mtime     INTEGER NOT NULL,
  inode     INTEGER NOT NULL,
  burst     INTEGER NOT NULL,
  PRIMARY KEY (watch_id, path)
) STRICT, WITHOUT ROWID;
CREATE TABLE synced_folder(
  path      TEXT    NOT NULL,
  database  TEXT    NOT NULL,
  problem   TEXT    NOT NULL DEFAULT '',
  changed   INTEGER NOT NULL,
  PRIMARY KEY (path, database)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 7;
COMMIT;

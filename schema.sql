-- The engine database. One file; every table is STRICT; times are wall-clock milliseconds unless said otherwise.
--
-- The idea in four sentences. A step row is written when it is born and when it ends. In between, small tables whose
-- rows come and go tell where a live step stands: `ready` (claimable, in claim order) and `lease` (running). Only
-- claimable steps are in `ready`: delayed, blocked and paused steps are elsewhere, so that no claim ever filters. What
-- many steps share (group counts, the token counter, the event log) is written once per transaction.
--
-- application_id and user_version are set by the code that applies this file (src/store/db/migration.rs).

-- ---------------------------------------------------------------- the engine itself

-- Exactly one row. `engine_id` changes when a backup is restored.
CREATE TABLE engine(
  id            INTEGER PRIMARY KEY CHECK (id = 1),
  engine_id     TEXT    NOT NULL,
  created       INTEGER NOT NULL,
  daemon_epoch  INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The last number issued of each kind; they only grow. Rows: 1 lease token, 2 group, 3 run, 4 step, 5 output. Only in a
-- restored home there is row 6: the token up to which all was done elsewhere.
CREATE TABLE counter(
  id     INTEGER PRIMARY KEY,
  value  INTEGER NOT NULL
) STRICT;

-- ---------------------------------------------------------------- what can be run

-- A workflow definition, versioned by the hash of its canonical form. `body` is that form as JSON; `shape` is what
-- the store itself needs of it: {"steps": [{"type": "parse", "needs": []}, ...], "hooks": [{"event": "group_end", "name": "log"}, ...]}.
-- The runs of all hooks have the same one, `windlass/hook`.
CREATE TABLE definition(
  id       INTEGER PRIMARY KEY,
  hash     BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
  name     TEXT    NOT NULL,
  title    TEXT    NOT NULL,
  body     TEXT    NOT NULL CHECK (json_valid(body)),
  shape    TEXT    NOT NULL CHECK (json_valid(shape)),
  created  INTEGER NOT NULL
) STRICT;
CREATE INDEX definition_name ON definition(name, id);

-- Step types, interned. `queue` 0 is shared by every type that has no pool of its own; a type with a pool has its own.
CREATE TABLE step_type(
  id      INTEGER PRIMARY KEY,
  name    TEXT    NOT NULL UNIQUE,
  queue   INTEGER NOT NULL DEFAULT 0 CHECK (queue IN (0, id)),
  moving  INTEGER NOT NULL DEFAULT 0 CHECK (moving IN (0, 1)),   -- rows of it may still be in queue 0
  paused  INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1))
) STRICT;

-- Resource keys, interned: `vec:/home/me/vectors/default.db`.
CREATE TABLE resource_key(
  id    INTEGER PRIMARY KEY,
  name  TEXT    NOT NULL UNIQUE
) STRICT;

-- ---------------------------------------------------------------- groups and runs

-- The hot part of a group. `unfinished` counts its open runs, plus one while it is being built or re-opened: that one more
-- holds it open, so that it cannot end before its last slice is written.
-- phase: 0 live, 1 being built (unclaimable), 2 being re-opened by `retry`, 3 being pruned (nobody sees it any more).
-- cancelling: set until the group has ended; nothing of it is claimed, and what completes starts no successor.
-- `scope` is the group's own id while only `run` or `ingest` is meant to look for its steps first, else 0.
-- A group below 0 has the hooks that tell of the group of the positive number. Nobody sees it; it is open while hooks are due.
CREATE TABLE run_group(
  id          INTEGER PRIMARY KEY,
  unfinished  INTEGER NOT NULL CHECK (unfinished >= 0),
  failed      INTEGER NOT NULL DEFAULT 0,
  cancelled   INTEGER NOT NULL DEFAULT 0,
  epoch       INTEGER NOT NULL DEFAULT 1,
  phase       INTEGER NOT NULL DEFAULT 1 CHECK (phase IN (0, 1, 2, 3)),
  paused      INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  cancelling  INTEGER NOT NULL DEFAULT 0 CHECK (cancelling IN (0, 1)),
  scope       INTEGER NOT NULL DEFAULT 0 CHECK (scope IN (0, id)),
  ended       INTEGER,
  CHECK (ended IS NULL OR (phase IN (0, 3) AND unfinished = 0 AND cancelling = 0)),
  CHECK (phase < 3 OR ended IS NOT NULL)
) STRICT;
CREATE INDEX run_group_open  ON run_group(id) WHERE ended IS NULL;
CREATE INDEX run_group_phase ON run_group(id) WHERE phase > 0;                    -- what a crash may have left half done
CREATE INDEX run_group_flagged ON run_group(id) WHERE paused + cancelling > 0;
CREATE INDEX run_group_ended ON run_group(ended) WHERE ended IS NOT NULL;   -- retention

-- The cold part: read to show a group and to start its steps, written once.
CREATE TABLE group_detail(
  group_id       INTEGER PRIMARY KEY REFERENCES run_group(id),
  definition_id  INTEGER NOT NULL REFERENCES definition(id),
  name           TEXT    NOT NULL,
  params         TEXT    NOT NULL CHECK (json_valid(params)),
  directory      TEXT    NOT NULL,      -- where its commands start
  priority       INTEGER NOT NULL,
  weight         INTEGER NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000),   -- its share beside other groups
  file           TEXT    NOT NULL DEFAULT '',   -- the workflow file that it was submitted from; empty: none
  submitted_as   INTEGER NOT NULL DEFAULT 0,    -- the definition before a retry changed that of the group; 0: none did
  concurrency    TEXT    NOT NULL DEFAULT '',   -- groups of one name here do not overlap; empty: it overlaps with any
  retry_as       INTEGER REFERENCES definition(id),   -- the definition that a retry under way gives its runs; NULL: each keeps its own
  retry_from     INTEGER,   -- the step from which that retry runs them again; NULL: what failed or was cancelled
  force          INTEGER NOT NULL DEFAULT 0 CHECK (force IN (0, 1)),   -- run steps although their result is cached
  runs           INTEGER NOT NULL DEFAULT 0,
  opened         INTEGER NOT NULL DEFAULT 0,   -- runs up to this id have their first steps in `ready`
  open_until     INTEGER NOT NULL DEFAULT 0,   -- the group's last run; opening ends here
  builder        TEXT    NOT NULL DEFAULT 'null' CHECK (json_valid(builder)),   -- the process that builds it
  created        INTEGER NOT NULL,
  paused_for     TEXT    NOT NULL DEFAULT ''   -- what a paused group waits for, such as a server; empty: somebody paused it
) STRICT;
CREATE INDEX group_unopened ON group_detail(group_id) WHERE opened < open_until;
CREATE INDEX group_runs ON group_detail(group_id, runs);   -- the runs of all groups are summed, not counted

-- Whose turn it is in a concurrency group: of the rows of one name that with the lowest number. A group has a row from its
-- submission, or the retry that re-opened it, to its end. None but the first of a name is opened.
-- replaces: those before it are cancelled.
CREATE TABLE concurrency(
  no        INTEGER PRIMARY KEY,
  name      TEXT    NOT NULL,
  group_id  INTEGER NOT NULL UNIQUE REFERENCES run_group(id),
  replaces  INTEGER NOT NULL DEFAULT 0 CHECK (replaces IN (0, 1))
) STRICT;
CREATE INDEX concurrency_name ON concurrency(name, no);

-- The definition whose hooks tell of a group beside those of its workflow: the alerts that the settings had when it was submitted.
CREATE TABLE group_alert(
  group_id       INTEGER PRIMARY KEY REFERENCES run_group(id) ON DELETE CASCADE,
  definition_id  INTEGER NOT NULL REFERENCES definition(id)
) STRICT;

-- Groups that steps started (`for_each`, `workflow`). The step waits for the group's end, which settles it. list: hash of the list that
-- the group was made from. past: the step has another group since, of another list. again: the step was retried, and what failed in the
-- group is to run again. asked: the step was asked to stop. held: it is paused because `parent`, the group of the step, is.
-- tolerate: how many runs may fail, such as `5` or `5%`. at_most: how many runs are open side by side, of which `active` are.
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

-- Groups with steps that run once all of their runs have ended (`collect`). run_id: the run of these steps, the last of the group, which
-- is opened when no other run is open; NULL until the group is sealed.
CREATE TABLE collect(
  group_id       INTEGER PRIMARY KEY REFERENCES run_group(id),
  definition_id  INTEGER NOT NULL REFERENCES definition(id),
  run_id         INTEGER
) STRICT;

-- Idempotency keys of submissions. They outlive the group that they made; `ended_as` tells how it had ended when it was
-- pruned.
CREATE TABLE submit_key(
  key       TEXT    PRIMARY KEY,
  content   BLOB    NOT NULL CHECK (length(content) = 32),   -- what was submitted; other content is refused
  group_id  INTEGER NOT NULL,
  created   INTEGER NOT NULL,
  ended_as  TEXT CHECK (ended_as IN ('COMPLETED', 'FAILED', 'CANCELLED'))
) STRICT, WITHOUT ROWID;
CREATE INDEX submit_key_group ON submit_key(group_id);

-- The steps of a run have consecutive ids: step no N is first_step + N.
-- `unfinished` counts open steps; it is kept for DAGs only, a chain ends with its last step or its first failure.
CREATE TABLE run(
  id             INTEGER PRIMARY KEY,
  group_id       INTEGER NOT NULL REFERENCES run_group(id),
  definition_id  INTEGER NOT NULL REFERENCES definition(id),
  first_step     INTEGER NOT NULL,
  unfinished     INTEGER NOT NULL CHECK (unfinished >= 0),
  failed         INTEGER NOT NULL DEFAULT 0,
  cancelled      INTEGER NOT NULL DEFAULT 0,
  ended          INTEGER,
  CHECK (ended IS NULL OR unfinished = 0)
) STRICT;
CREATE INDEX run_of_group ON run(group_id, id);
CREATE INDEX run_lost     ON run(group_id, id) WHERE failed + cancelled > 0;

-- Runs that ran again from a step on: that step is run although its result is cached.
CREATE TABLE rerun(
  run_id  INTEGER PRIMARY KEY REFERENCES run(id) ON DELETE CASCADE,
  no      INTEGER NOT NULL
) STRICT;

-- The item of a run: a text, or a JSON object. Cold; read by the consumer.
CREATE TABLE item(
  run_id  INTEGER PRIMARY KEY REFERENCES run(id),
  item    TEXT    NOT NULL
) STRICT;

-- ---------------------------------------------------------------- steps

-- state: 0 open (in `ready`, in `lease`, or waiting for a need), 1 delayed, 2 blocked behind another step of its key, 3 paused
-- with its group, 4 waits for a step of its run that runs again, -1 waits without a worker (see `waiting`);
-- 5 completed, 6 failed, 7 cancelled, 8 skipped. The last attempt is kept in place.
-- outcome: see `attempt`; 1 succeeded, 9 succeeded from the cache.
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
  demand_id  INTEGER,                               -- the resources that it takes; NULL: none
  CHECK ((state >= 5) = (ended IS NOT NULL)),
  CHECK (state <> 5 OR outcome IS NOT NULL)
) STRICT;
CREATE INDEX step_delayed ON step(due) WHERE state = 1;
CREATE INDEX step_blocked ON step(key_id, type_id, scope, priority DESC, due) WHERE state = 2;   -- rowid breaks ties
CREATE INDEX step_paused  ON step(group_id) WHERE state = 3;
CREATE INDEX step_error   ON step(group_id, run_id) WHERE failures + crashes > 0 AND state < 5;   -- will be tried again
CREATE INDEX step_lost    ON step(group_id, state, run_id) WHERE state IN (6, 7);   -- rare among many
CREATE INDEX step_skipped ON step(group_id, run_id) WHERE state = 8;
CREATE INDEX step_recomputing ON step(id) WHERE recomputed > 0 AND state < 5;
CREATE INDEX step_demand  ON step(demand_id) WHERE demand_id IS NOT NULL;

-- Claimable steps. Everything a claim needs is in the row. A group's steps are claimed in the order of their ids, which is that of
-- the age of their runs: a run that has begun goes before those that have not, and a step that comes back takes its old place.
-- queue: 0, or the type's id when the type has a pool of its own; negative: steps of a `line`, which take resources.
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
CREATE INDEX ready_below ON ready(scope, queue, step_id) WHERE scope > 0 AND scope <> group_id;   -- of groups that a scope's steps started

-- Whose turn it is: one row for each group with steps in `ready`, of each queue and priority. The lowest tag is served first, and
-- each claim adds one share to it (start-time fair queueing; see src/decide/fairness.rs). A row outlives the group's last claimable
-- step until its turn comes, so that a group with one step at a time does not get ahead of others.
CREATE TABLE turn(
  queue     INTEGER NOT NULL,
  priority  INTEGER NOT NULL,
  group_id  INTEGER NOT NULL,
  tag       INTEGER NOT NULL,
  weight    INTEGER NOT NULL CHECK (weight BETWEEN 1 AND 1000),
  PRIMARY KEY (queue, priority DESC, group_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX turn_order ON turn(queue, priority DESC, tag, group_id, weight);

-- Running steps: as many rows as steps run. Needs no index on worker.
CREATE TABLE lease(
  step_id   INTEGER PRIMARY KEY,
  token     INTEGER NOT NULL,
  worker    INTEGER NOT NULL,
  started   INTEGER NOT NULL,
  type_id   INTEGER NOT NULL,
  run_id    INTEGER NOT NULL,
  group_id  INTEGER NOT NULL,
  due       INTEGER NOT NULL,
  key_id    INTEGER,
  attempts  INTEGER NOT NULL
) STRICT;

-- Steps in state -1: they wait for a time, a person, a signal or a group, and hold no lease, place or thread.
-- kind: 1 a time, 2 an approval, 3 a signal, 4 the end of the group `children`. token, worker, started: of the attempt that began to
-- wait; it ends with the step. due: when the waiting ends by itself; otherwise: what it does then, 1 complete, 2 fail.
-- detail: a JSON object for people and for the end: {"ask": ...}.
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

-- The newest signal of each name that a group, or a run of it, was sent. run_id 0: all of its runs. It is kept for steps that begin
-- to wait for it later.
CREATE TABLE signal(
  group_id  INTEGER NOT NULL REFERENCES run_group(id),
  run_id    INTEGER NOT NULL,
  name      TEXT    NOT NULL,
  value     TEXT CHECK (value IS NULL OR json_valid(value)),
  who       TEXT    NOT NULL,
  at        INTEGER NOT NULL,
  PRIMARY KEY (group_id, run_id, name)
) STRICT, WITHOUT ROWID;

-- Every attempt that did not simply succeed, and every success that left stats.
-- outcome: 1 succeeded 2 failed, retryable 3 failed for good 4 cancelled 5 timed out 6 resource limit 7 interrupted
-- 8 crashed 9 from the cache 10 skipped. detail: {"outcome": {...}, "certificate": {...}}.
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

-- What attempts printed: the newest part of each stream, zstd-compressed; `total` counts all bytes printed.
CREATE TABLE attempt_log(
  step_id  INTEGER NOT NULL,
  token    INTEGER NOT NULL,
  stream   INTEGER NOT NULL CHECK (stream IN (1, 2)),   -- 1 stdout, 2 stderr
  total    INTEGER NOT NULL,
  body     BLOB    NOT NULL,
  PRIMARY KEY (step_id, token, stream)
) STRICT, WITHOUT ROWID;

-- Running steps that somebody asked to cancel; the row goes when the step settles.
CREATE TABLE cancel_request(
  step_id  INTEGER PRIMARY KEY,
  token    INTEGER NOT NULL,      -- of the lease that is meant
  at       INTEGER NOT NULL
) STRICT;

-- ---------------------------------------------------------------- outputs, artifacts, the step cache

-- A content-addressed file that exists, whole and fsynced. stored: its size on disk.
CREATE TABLE artifact(
  id       INTEGER PRIMARY KEY,
  hash     BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
  size     INTEGER NOT NULL,
  stored   INTEGER NOT NULL,
  created  INTEGER NOT NULL
) STRICT;

-- What a step produced; immutable, shared by the steps that took it from the cache. value: JSON, NULL for nothing.
-- users: how many rows of `step`, `step_cache` and `kept_output` refer to it. With the last one it goes.
-- links: symbolic links among its files, as JSON pairs of name and target; relative, and none leads out of the output.
CREATE TABLE output(
  id     INTEGER PRIMARY KEY,
  value  TEXT CHECK (value IS NULL OR json_valid(value)),
  users  INTEGER NOT NULL DEFAULT 1 CHECK (users >= 0),
  links  TEXT CHECK (links IS NULL OR json_valid(links))
) STRICT;

CREATE TABLE output_file(
  output_id    INTEGER NOT NULL REFERENCES output(id),
  name         TEXT    NOT NULL,
  executable   INTEGER NOT NULL DEFAULT 0 CHECK (executable IN (0, 1)),   -- whether it could be run where it was made
  artifact_id  INTEGER NOT NULL REFERENCES artifact(id),
  PRIMARY KEY (output_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX output_file_artifact ON output_file(artifact_id);

-- key: SHA-256 over the step's kind and version, its parameters and those of all steps before it, and its input.
CREATE TABLE step_cache(
  key        BLOB    PRIMARY KEY CHECK (length(key) = 32),
  output_id  INTEGER NOT NULL REFERENCES output(id),
  used       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX step_cache_output ON step_cache(output_id);

-- Outputs whose step is gone or has given them up.
-- why: 0 nothing keeps it, the next prune takes it; 1 files that a command or a worker process made, which retention never
-- takes; 2 files behind a document that still is as that run left it. `step_id` is 0 where it was of no step any more.
CREATE TABLE kept_output(
  id         INTEGER PRIMARY KEY,
  output_id  INTEGER NOT NULL REFERENCES output(id),
  why        INTEGER NOT NULL CHECK (why IN (0, 1, 2)),
  step_id    INTEGER NOT NULL DEFAULT 0,
  run_id     INTEGER NOT NULL DEFAULT 0,
  group_id   INTEGER NOT NULL DEFAULT 0,
  name       TEXT    NOT NULL DEFAULT '',   -- of the step in its workflow
  item       TEXT    NOT NULL DEFAULT '',
  ended      INTEGER NOT NULL DEFAULT 0     -- when its step had ended
) STRICT;
CREATE INDEX kept_output_output ON kept_output(output_id);
CREATE INDEX kept_output_step   ON kept_output(step_id) WHERE step_id > 0;

-- ---------------------------------------------------------------- who works, who locks

-- A worker lives as long as it holds its liveness lock (workers/w7.lock in the home directory).
CREATE TABLE worker(
  id          INTEGER PRIMARY KEY AUTOINCREMENT,   -- a worker's id is never given to another
  identity    TEXT    NOT NULL CHECK (json_valid(identity)),   -- pid, start time, boot id, namespaces
  boot_id     TEXT    NOT NULL,
  version     TEXT    NOT NULL,
  schema      INTEGER NOT NULL,                    -- the user_version that it understands
  pools       TEXT    NOT NULL CHECK (json_valid(pools)),
  scope       INTEGER NOT NULL DEFAULT 0,
  registered  INTEGER NOT NULL,
  processes   TEXT    NOT NULL DEFAULT '[]' CHECK (json_valid(processes))   -- health of its worker processes, while busy
) STRICT;

-- One row while a key is held. The primary key serialises rivals. holder_kind: 1 step 2 web 3 CLI 4 hook.
-- The deadline is monotonic milliseconds of boot `boot_id`; an expired row steals nothing while the file lock is held.
CREATE TABLE resource_lock(
  key_id       INTEGER PRIMARY KEY REFERENCES resource_key(id),
  holder_kind  INTEGER NOT NULL CHECK (holder_kind BETWEEN 1 AND 4),
  holder       INTEGER NOT NULL,
  token        INTEGER NOT NULL,
  identity     TEXT    NOT NULL,                   -- the holding process, for people and for probing
  acquired     INTEGER NOT NULL,
  boot_id      TEXT    NOT NULL,
  deadline     INTEGER NOT NULL
) STRICT;

-- ---------------------------------------------------------------- counted resources and rates

-- kind: 1 counted: steps take units of it while they run; 2 a rate: it counts the starts of steps.
-- capacity: how many units there are; of a rate, the most starts that a step asks to be counted.
-- source: who says the capacity: 0 nobody, 1 the machine, 2 a workflow, 3 the settings.
-- held: units of running steps; of a rate, the number of its last start. excess: units held above a capacity that was lowered.
-- due: when to look again whether steps that wait for it may start; NULL: when units come back.
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

-- What a step takes, all or nothing. Steps that take the same share a row. body: its parts as JSON, to find it by.
CREATE TABLE demand(
  id    INTEGER PRIMARY KEY,
  body  TEXT    NOT NULL UNIQUE CHECK (json_valid(body))
) STRICT;

-- units: NULL: what was learnt of the step's type. per: of a rate, the window in milliseconds in which `units` steps start at most.
CREATE TABLE demand_part(
  demand_id    INTEGER NOT NULL REFERENCES demand(id) ON DELETE CASCADE,
  resource_id  INTEGER NOT NULL REFERENCES resource(id),
  units        INTEGER,
  per          INTEGER,
  PRIMARY KEY (demand_id, resource_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX demand_part_resource ON demand_part(resource_id);

-- The units that a running step holds.
CREATE TABLE holding(
  step_id      INTEGER NOT NULL,
  resource_id  INTEGER NOT NULL REFERENCES resource(id),
  units        INTEGER NOT NULL,
  PRIMARY KEY (step_id, resource_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX holding_resource ON holding(resource_id, step_id);

-- The steps of one demand and one type wait in one line: in `ready`, in a queue whose number is that of the line, negative. A claim
-- looks at open lines only. A line is closed when what it needs is not there; lacks: the resource that was missing.
-- since: when it was closed; stays until one of its steps starts. offered: when it was opened after that. The row outlives the
-- line's last step until a claim finds the line empty.
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

-- The lines with a `since`, for each resource that they need: who came first.
CREATE TABLE line_wait(
  resource_id  INTEGER NOT NULL,
  since        INTEGER NOT NULL,
  line_id      INTEGER NOT NULL REFERENCES line(id),
  PRIMARY KEY (resource_id, since, line_id)
) STRICT, WITHOUT ROWID;

-- The last starts under a rate, as many as its `capacity`. monotonic: milliseconds of boot `boot`.
CREATE TABLE rate_start(
  resource_id  INTEGER NOT NULL REFERENCES resource(id) ON DELETE CASCADE,
  no           INTEGER NOT NULL,
  at           INTEGER NOT NULL,
  monotonic    INTEGER NOT NULL,
  boot         TEXT    NOT NULL,
  PRIMARY KEY (resource_id, no)
) STRICT, WITHOUT ROWID;

-- The peak memory of the last attempts of a type, numbered.
CREATE TABLE memory_peak(
  type_id  INTEGER NOT NULL,
  no       INTEGER NOT NULL,
  bytes    INTEGER NOT NULL,
  PRIMARY KEY (type_id, no)
) STRICT, WITHOUT ROWID;

-- How many attempts of a type were measured, and the bytes that a step of it reserves.
CREATE TABLE memory_learned(
  type_id   INTEGER PRIMARY KEY,
  measured  INTEGER NOT NULL,
  reserve   INTEGER NOT NULL
) STRICT;

-- Steps that were killed for memory: the bytes that they reserve next time. used: they have.
CREATE TABLE memory_retry(
  step_id  INTEGER PRIMARY KEY,
  bytes    INTEGER NOT NULL,
  used     INTEGER NOT NULL DEFAULT 0 CHECK (used IN (0, 1))
) STRICT;

-- ---------------------------------------------------------------- what happened

-- One row per transaction that made something happen: a JSON array of events in commit order. The cursor of a reader is
-- (seq, index in the array), so that it can resume after any event; one row for all events of a commit keeps it cheap.
CREATE TABLE event_batch(
  seq   INTEGER PRIMARY KEY AUTOINCREMENT,
  at    INTEGER NOT NULL,
  body  TEXT    NOT NULL
) STRICT;

-- What each hook tells of. A hook is a step, the only one of its run. The runs of the hooks that tell of group 12 are in a hidden
-- group, -12, so that they neither keep group 12 open nor count in it. Unique per subscription, subject and epoch.
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

-- ---------------------------------------------------------------- schedules

-- Workflows that start by themselves. `spec` and `items` are JSON as the workflow file said it; items NULL: one run without an item.
-- Every instant up to `cursor` was dealt with. `due`: when the next one fires, its jitter included; NULL while paused or if none comes.
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

-- The firings of a schedule, of which the newest are kept. state: 1 the command for its items runs in `group_id`, 2 started as
-- `group_id` (NULL: there were no items), 3 failed, 4 missed.
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

-- Directories that are watched, each for one schedule. A change of the directory makes a new row: what was known of the old one does
-- not count. complete: whether the files that were there before it was added are known, if they are not to start the workflow.
-- revision: grows with each change that a process that watches must notice.
CREATE TABLE watch(
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  schedule_id  INTEGER NOT NULL UNIQUE REFERENCES schedule(id) ON DELETE CASCADE,
  directory    TEXT    NOT NULL,
  complete     INTEGER NOT NULL DEFAULT 1 CHECK (complete IN (0, 1)),
  revision     INTEGER NOT NULL DEFAULT 1
) STRICT;

-- The files that were dealt with, by their paths below the directory. mtime: nanoseconds since the epoch. inode 0: it is not known.
-- burst: the firing that they started with; 0: they were there before. Rows of a watch that is gone are removed in slices.
CREATE TABLE watched_file(
  watch_id  INTEGER NOT NULL,
  path      TEXT    NOT NULL,
  size      INTEGER NOT NULL,
  mtime     INTEGER NOT NULL,
  inode     INTEGER NOT NULL,
  burst     INTEGER NOT NULL,
  PRIMARY KEY (watch_id, path)
) STRICT, WITHOUT ROWID;

-- Folders that the daemon keeps in vector databases, as its settings say. problem: why the last sync failed; empty: it did not.
-- changed: when the problem came or went.
CREATE TABLE synced_folder(
  path      TEXT    NOT NULL,
  database  TEXT    NOT NULL,
  problem   TEXT    NOT NULL DEFAULT '',
  changed   INTEGER NOT NULL,
  PRIMARY KEY (path, database)
) STRICT, WITHOUT ROWID;

-- ---------------------------------------------------------------- documents

-- What `ingest` knows of each document of each vector database: (source, uri) identifies it, sha256 its content.
-- state: 0 ask the run, 5 stored, 6 unusable (not tried again until it changes), 4 nothing to index.
CREATE TABLE document(
  id        INTEGER PRIMARY KEY,
  database  TEXT    NOT NULL,                    -- canonical path of the vector database
  source    TEXT    NOT NULL,
  uri       TEXT    NOT NULL,
  sha256    BLOB    NOT NULL CHECK (length(sha256) = 32),
  size      INTEGER NOT NULL,
  mtime     INTEGER NOT NULL,                    -- nanoseconds since the epoch, as the file system tells it
  params    BLOB    NOT NULL CHECK (length(params) = 32),   -- hash of the parameters it was submitted with
  run_id    INTEGER,
  state     INTEGER NOT NULL DEFAULT 0 CHECK (state IN (0, 4, 5, 6)),
  reason    TEXT    NOT NULL DEFAULT '',
  updated   INTEGER NOT NULL,
  version   INTEGER NOT NULL DEFAULT 0,          -- the run that it was submitted with, also when that run is pruned
  UNIQUE (database, source, uri)
) STRICT;
CREATE INDEX document_run ON document(run_id);
CREATE INDEX document_waiting ON document(database, id) WHERE state = 0;
CREATE INDEX document_place ON document(source, uri);
CREATE INDEX document_content ON document(sha256);

-- What `document` is to know once a run begins, as a JSON array. Moved there by the transaction that makes the run's first
-- steps claimable, so that no step ever runs before its documents are known to be of its run.
CREATE TABLE run_document(
  run_id     INTEGER PRIMARY KEY REFERENCES run(id) ON DELETE CASCADE,
  database   TEXT    NOT NULL,
  source     TEXT    NOT NULL,
  documents  TEXT    NOT NULL CHECK (json_valid(documents))
) STRICT;

-- Documents that were given to the engine as bytes (uploads, URLs, stdin) rather than as files of this machine. They
-- are kept until somebody deletes them; which vector databases hold them is told by `document`, as for files.

-- A batch of documents, as clients of the ingestion API make them. changed: when a document of it came or changed last.
CREATE TABLE document_batch(
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  source   TEXT    NOT NULL,
  name     TEXT    NOT NULL,
  params   TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(params)),
  created  INTEGER NOT NULL,
  changed  INTEGER NOT NULL
) STRICT;

-- The bytes. media_type: as the client says, or as the name lets guess.
CREATE TABLE content(
  sha256       BLOB    PRIMARY KEY CHECK (length(sha256) = 32),
  artifact_id  INTEGER NOT NULL REFERENCES artifact(id),
  size         INTEGER NOT NULL,
  media_type   TEXT    NOT NULL,
  created      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX content_artifact ON content(artifact_id);

-- A document: where its source has it, which content it has now, and to which batch it belongs. version grows with each
-- change of its content. name: the file name that helps to tell its type. etag: what its source says of this version.
CREATE TABLE document_uri(
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  source    TEXT    NOT NULL,
  uri       TEXT    NOT NULL,
  sha256    BLOB    NOT NULL REFERENCES content(sha256),
  version   INTEGER NOT NULL DEFAULT 1,
  batch_id  INTEGER REFERENCES document_batch(id),
  name      TEXT    NOT NULL,
  etag      TEXT,
  metadata  TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(metadata)),
  updated   INTEGER NOT NULL,
  UNIQUE (source, uri)
) STRICT;
CREATE INDEX document_uri_batch   ON document_uri(batch_id, sha256);
CREATE INDEX document_uri_content ON document_uri(sha256);

-- What happened to a document: `create` and `update` with the content that it got.
CREATE TABLE uri_history(
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  uri_id   INTEGER NOT NULL REFERENCES document_uri(id) ON DELETE CASCADE,
  version  INTEGER NOT NULL,
  sha256   BLOB    NOT NULL CHECK (length(sha256) = 32),
  action   TEXT    NOT NULL CHECK (action IN ('create', 'update')),
  batch_id INTEGER,
  at       INTEGER NOT NULL
) STRICT;
CREATE INDEX uri_history_uri     ON uri_history(uri_id);
CREATE INDEX uri_history_content ON uri_history(sha256);

-- Documents that were deleted. Written with the deletion, so that a crash or a lock that is held only delays their removal
-- from the vector database. version: the run that was submitted last before the deletion; what it and older runs still
-- store is refused. done: they are out of the vector database. The row goes when no run that old is left.
CREATE TABLE document_removal(
  database  TEXT    NOT NULL,
  source    TEXT    NOT NULL,
  uri       TEXT    NOT NULL,
  at        INTEGER NOT NULL,
  version   INTEGER NOT NULL DEFAULT 0,
  done      INTEGER NOT NULL DEFAULT 0 CHECK (done IN (0, 1)),
  PRIMARY KEY (database, source, uri)
) STRICT, WITHOUT ROWID;
CREATE INDEX document_removal_pending ON document_removal(database) WHERE done = 0;

-- How far a client has come with a source: a note that it leaves here for its next visit.
CREATE TABLE sync_state(
  source      TEXT    PRIMARY KEY,
  commit_sha  TEXT    NOT NULL,
  branch      TEXT    NOT NULL,
  metadata    TEXT    NOT NULL CHECK (json_valid(metadata)),
  synced      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The groups that work on a batch, with the id of the parameter set.
CREATE TABLE batch_group(
  group_id  INTEGER PRIMARY KEY REFERENCES run_group(id) ON DELETE CASCADE,
  batch_id  INTEGER NOT NULL REFERENCES document_batch(id),
  params    TEXT    NOT NULL
) STRICT;
CREATE INDEX batch_group_batch ON batch_group(batch_id, group_id);

-- The runs of such groups by what they work on.
CREATE TABLE content_run(
  sha256  BLOB    NOT NULL CHECK (length(sha256) = 32),
  run_id  INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  PRIMARY KEY (sha256, run_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX content_run_run ON content_run(run_id);

-- ---------------------------------------------------------------- views: what follows from the rows is not written twice

-- The status that people see.
CREATE VIEW step_status AS
SELECT s.id, s.run_id, s.group_id, s.no, s.type_id,
       CASE WHEN l.step_id IS NOT NULL THEN 'RUNNING' WHEN s.state = -1 THEN 'WAITING'
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

-- A home of schema version 4, as the windlass of that version left it: steps completed, failed, delayed, blocked, paused, ready,
-- and running in a worker that was killed.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE engine(
  id            INTEGER PRIMARY KEY CHECK (id = 1),
  engine_id     TEXT    NOT NULL,
  created       INTEGER NOT NULL,
  daemon_epoch  INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO engine VALUES(1,'cc18bff5399739acfce1936ab97282b8',1796081013057,0);
CREATE TABLE counter(
  id     INTEGER PRIMARY KEY,
  value  INTEGER NOT NULL
) STRICT;
INSERT INTO counter VALUES(1,12);
INSERT INTO counter VALUES(2,7);
INSERT INTO counter VALUES(3,11);
INSERT INTO counter VALUES(4,13);
INSERT INTO counter VALUES(5,6);
CREATE TABLE definition(
  id       INTEGER PRIMARY KEY,
  hash     BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
  name     TEXT    NOT NULL,
  title    TEXT    NOT NULL,
  body     TEXT    NOT NULL CHECK (json_valid(body)),
  shape    TEXT    NOT NULL CHECK (json_valid(shape)),
  created  INTEGER NOT NULL
) STRICT;
INSERT INTO definition VALUES(1,X'ca993fd861cbd2bb6e4f80ad5a7d0e5230efffcd26a6c1d23a1596bf7e218500','old','old','{"hooks":{},"id":"old","name":"old","steps":[{"action":{"run":{"shell":"echo {{ item }}"}},"backoff":{"factor":2.0,"initial":"1s","jitter":0.2,"max":"5m"},"cache":null,"env":{},"limits":{"cpu":null,"memory":null,"open_files":null},"max_crashes":3,"name":"first","needs":[],"permanent_exits":[],"resource_key":null,"retries":0,"step_type":"first","timeout":null,"unit":"step","with":null},{"action":{"run":{"shell":"cat go-{{ item }} && echo {{ item }} again"}},"backoff":{"factor":2.0,"initial":"1s","jitter":0.2,"max":"5m"},"cache":null,"env":{},"limits":{"cpu":null,"memory":null,"open_files":null},"max_crashes":3,"name":"second","needs":[0],"permanent_exits":[],"resource_key":null,"retries":0,"step_type":"second","timeout":null,"unit":"step","with":null}],"workers":{}}','{"steps":[{"type":"first","needs":[]},{"type":"second","needs":[0]}],"hooks":[]}',1796081013429);
INSERT INTO definition VALUES(2,X'f2cc6442df496495d54e0722916aa3d42ad1ed7614d37782177bfbee51b401e4','delayed','delayed','{"hooks":{},"id":"delayed","name":"delayed","steps":[{"action":{"run":{"shell":"test -e ok"}},"backoff":{"factor":2.0,"initial":"1h","jitter":0.2,"max":"1h"},"cache":null,"env":{},"limits":{"cpu":null,"memory":null,"open_files":null},"max_crashes":3,"name":"again","needs":[],"permanent_exits":[],"resource_key":null,"retries":5,"step_type":"again","timeout":null,"unit":"step","with":null}],"workers":{}}','{"steps":[{"type":"again","needs":[]}],"hooks":[]}',1796081013821);
INSERT INTO definition VALUES(3,X'1722761abfe4a3441b7624fa1fc71f7bd4bfff94272199e0aa81309042b32c63','blocked','blocked','{"hooks":{},"id":"blocked","name":"blocked","steps":[{"action":{"run":{"shell":"test -e ok || exec sleep 1000"}},"backoff":{"factor":2.0,"initial":"1s","jitter":0.2,"max":"5m"},"cache":null,"env":{},"limits":{"cpu":null,"memory":null,"open_files":null},"max_crashes":3,"name":"keyed","needs":[],"permanent_exits":[],"resource_key":"shared","retries":0,"step_type":"keyed","timeout":null,"unit":"step","with":null}],"workers":{}}','{"steps":[{"type":"keyed","needs":[]}],"hooks":[]}',1796081013913);
INSERT INTO definition VALUES(4,X'46688a4e04929efc0e0544c16551f117d0e6b2c8244ae23be08fb73657018476','plain','plain','{"hooks":{"group_end":[{"action":{"run":{"shell":"echo ended"}},"backoff":{"factor":2.0,"initial":"1s","jitter":0.2,"max":"5m"},"env":{},"name":"note","retries":3,"timeout":null,"with":null}]},"id":"plain","name":"plain","steps":[{"action":{"run":{"shell":"echo {{ item }}"}},"backoff":{"factor":2.0,"initial":"1s","jitter":0.2,"max":"5m"},"cache":null,"env":{},"limits":{"cpu":null,"memory":null,"open_files":null},"max_crashes":3,"name":"only","needs":[],"permanent_exits":[],"resource_key":null,"retries":0,"step_type":"only","timeout":null,"unit":"step","with":null}],"workers":{}}','{"steps":[{"type":"only","needs":[]}],"hooks":[{"event":"group_end","name":"note"}]}',1796081026888);
CREATE TABLE step_type(
  id      INTEGER PRIMARY KEY,
  name    TEXT    NOT NULL UNIQUE,
  lane    INTEGER NOT NULL DEFAULT 0 CHECK (lane IN (0, id)),
  moving  INTEGER NOT NULL DEFAULT 0 CHECK (moving IN (0, 1)),   -- rows of it may still be in lane 0
  paused  INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1))
) STRICT;
INSERT INTO step_type VALUES(1,'parse',1,0,0);
INSERT INTO step_type VALUES(2,'store',2,0,0);
INSERT INTO step_type VALUES(3,'first',0,0,0);
INSERT INTO step_type VALUES(4,'second',0,0,0);
INSERT INTO step_type VALUES(5,'again',0,0,0);
INSERT INTO step_type VALUES(6,'keyed',0,0,0);
INSERT INTO step_type VALUES(7,'only',0,0,0);
CREATE TABLE resource_key(
  id    INTEGER PRIMARY KEY,
  name  TEXT    NOT NULL UNIQUE
) STRICT;
INSERT INTO resource_key VALUES(1,'shared');
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
INSERT INTO run_group VALUES(1,0,1,0,1,0,0,0,0,1796081013626);
INSERT INTO run_group VALUES(2,1,0,0,1,0,0,0,0,NULL);
INSERT INTO run_group VALUES(3,2,0,0,1,0,0,0,0,NULL);
INSERT INTO run_group VALUES(4,0,0,0,1,0,0,0,0,1796081027012);
INSERT INTO run_group VALUES(5,2,0,0,1,0,1,0,0,NULL);
INSERT INTO run_group VALUES(6,0,0,0,1,0,0,0,0,1796081043815);
INSERT INTO run_group VALUES(7,1,0,0,1,0,0,0,0,NULL);
CREATE TABLE group_detail(
  group_id       INTEGER PRIMARY KEY REFERENCES run_group(id),
  definition_id  INTEGER NOT NULL REFERENCES definition(id),
  name           TEXT    NOT NULL,
  params         TEXT    NOT NULL CHECK (json_valid(params)),
  directory      TEXT    NOT NULL,      -- where its commands start
  priority       INTEGER NOT NULL,
  force          INTEGER NOT NULL DEFAULT 0 CHECK (force IN (0, 1)),   -- run steps although their result is cached
  runs           INTEGER NOT NULL DEFAULT 0,
  opened         INTEGER NOT NULL DEFAULT 0,   -- runs up to this id have their first steps in `ready`
  open_until     INTEGER NOT NULL DEFAULT 0,   -- the group's last run; opening ends here
  builder        TEXT    NOT NULL DEFAULT 'null' CHECK (json_valid(builder)),   -- the process that builds it
  created        INTEGER NOT NULL,
  paused_for     TEXT    NOT NULL DEFAULT ''   -- what a paused group waits for, such as a server; empty: somebody paused it
) STRICT;
INSERT INTO group_detail VALUES(1,1,'old','{}','HERE',0,0,2,2,2,'{"pid":13262,"start_time":479297,"boot_id":"62b97aaf-996c-4794-8a9b-14b3653449d1","pid_namespace":4026531836,"time_namespace":4026531834}',1796081013448,'');
INSERT INTO group_detail VALUES(2,2,'delayed','{}','HERE',0,0,1,3,3,'{"pid":13316,"start_time":479335,"boot_id":"62b97aaf-996c-4794-8a9b-14b3653449d1","pid_namespace":4026531836,"time_namespace":4026531834}',1796081013851,'');
INSERT INTO group_detail VALUES(3,3,'blocked','{}','HERE',0,0,2,5,5,'{"pid":13330,"start_time":479347,"boot_id":"62b97aaf-996c-4794-8a9b-14b3653449d1","pid_namespace":4026531836,"time_namespace":4026531834}',1796081013931,'');
INSERT INTO group_detail VALUES(4,4,'plain','{}','HERE',0,0,2,7,7,'{"pid":14879,"start_time":480644,"boot_id":"62b97aaf-996c-4794-8a9b-14b3653449d1","pid_namespace":4026531836,"time_namespace":4026531834}',1796081026890,'');
INSERT INTO group_detail VALUES(5,4,'plain','{}','HERE',0,0,2,9,9,'{"pid":15130,"start_time":480955,"boot_id":"62b97aaf-996c-4794-8a9b-14b3653449d1","pid_namespace":4026531836,"time_namespace":4026531834}',1796081030023,'');
INSERT INTO group_detail VALUES(6,4,'plain','{}','HERE',0,0,1,10,10,'{"pid":15150,"start_time":480972,"boot_id":"62b97aaf-996c-4794-8a9b-14b3653449d1","pid_namespace":4026531836,"time_namespace":4026531834}',1796081030215,'');
INSERT INTO group_detail VALUES(7,4,'plain','{}','HERE',0,0,1,11,11,'{"pid":17484,"start_time":482932,"boot_id":"62b97aaf-996c-4794-8a9b-14b3653449d1","pid_namespace":4026531836,"time_namespace":4026531834}',1796081049791,'');
CREATE TABLE submit_key(
  key       TEXT    PRIMARY KEY,
  content   BLOB    NOT NULL CHECK (length(content) = 32),   -- what was submitted; other content is refused
  group_id  INTEGER NOT NULL,
  created   INTEGER NOT NULL,
  ended_as  TEXT CHECK (ended_as IN ('COMPLETED', 'FAILED', 'CANCELLED'))
) STRICT, WITHOUT ROWID;
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
INSERT INTO run VALUES(1,1,1,1,0,0,0,1796081013626);
INSERT INTO run VALUES(2,1,1,3,0,1,0,1796081013610);
INSERT INTO run VALUES(3,2,2,5,1,0,0,NULL);
INSERT INTO run VALUES(4,3,3,6,1,0,0,NULL);
INSERT INTO run VALUES(5,3,3,7,1,0,0,NULL);
INSERT INTO run VALUES(6,4,4,8,0,0,0,1796081026992);
INSERT INTO run VALUES(7,4,4,9,0,0,0,1796081027012);
INSERT INTO run VALUES(8,5,4,10,1,0,0,NULL);
INSERT INTO run VALUES(9,5,4,11,1,0,0,NULL);
INSERT INTO run VALUES(10,6,4,12,0,0,0,1796081043815);
INSERT INTO run VALUES(11,7,4,13,1,0,0,NULL);
CREATE TABLE item(
  run_id  INTEGER PRIMARY KEY REFERENCES run(id),
  item    TEXT    NOT NULL
) STRICT;
INSERT INTO item VALUES(1,'done');
INSERT INTO item VALUES(2,'bad');
INSERT INTO item VALUES(3,'x');
INSERT INTO item VALUES(4,'k1');
INSERT INTO item VALUES(5,'k2');
INSERT INTO item VALUES(6,'p1');
INSERT INTO item VALUES(7,'p2');
INSERT INTO item VALUES(8,'q1');
INSERT INTO item VALUES(9,'q2');
INSERT INTO item VALUES(10,'ready1');
INSERT INTO item VALUES(11,'later');
CREATE TABLE step(
  id         INTEGER PRIMARY KEY,
  run_id     INTEGER NOT NULL,
  group_id   INTEGER NOT NULL,
  no         INTEGER NOT NULL,
  type_id    INTEGER NOT NULL,
  state      INTEGER NOT NULL CHECK (state IN (0, 1, 2, 3, 4, 5, 6, 7)),
  priority   INTEGER NOT NULL,
  due        INTEGER NOT NULL,
  unmet      INTEGER NOT NULL CHECK (unmet >= 0),   -- counted down only where a step has two needs or more
  key_id     INTEGER,
  scope      INTEGER NOT NULL DEFAULT 0,
  attempts   INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  failures   INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
  crashes    INTEGER NOT NULL DEFAULT 0 CHECK (crashes >= 0),
  suspect    INTEGER NOT NULL DEFAULT 0,            -- in flight when an engine died: runs alone in a child next time
  redone     INTEGER NOT NULL DEFAULT 0,            -- how often it ran again because a file that it had made was damaged
  token      INTEGER,
  worker     INTEGER,
  started    INTEGER,
  ended      INTEGER,
  outcome    INTEGER,
  output_id  INTEGER,
  CHECK ((state >= 5) = (ended IS NOT NULL)),
  CHECK (state <> 5 OR outcome IS NOT NULL)
) STRICT;
INSERT INTO step VALUES(1,1,1,0,3,5,0,1796081013448,0,NULL,0,1,0,0,0,0,1,2,1796081013558,1796081013591,1,2);
INSERT INTO step VALUES(2,1,1,1,4,5,0,1796081013448,1,NULL,0,1,0,0,0,0,4,2,1796081013591,1796081013626,1,3);
INSERT INTO step VALUES(3,2,1,0,3,5,0,1796081013448,0,NULL,0,1,0,0,0,0,2,2,1796081013558,1796081013579,1,1);
INSERT INTO step VALUES(4,2,1,1,4,6,0,1796081013448,1,NULL,0,1,1,0,0,0,3,2,1796081013579,1796081013610,2,NULL);
INSERT INTO step VALUES(5,3,2,0,5,1,0,1796083724515,0,NULL,0,1,1,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO step VALUES(6,4,3,0,6,0,0,1796081013931,0,1,0,0,0,0,1,0,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO step VALUES(7,5,3,0,6,2,0,1796081013931,0,1,0,0,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO step VALUES(8,6,4,0,7,5,0,1796081026890,0,NULL,0,1,0,0,0,0,7,3,1796081026976,1796081026992,1,4);
INSERT INTO step VALUES(9,7,4,0,7,5,0,1796081026890,0,NULL,0,1,0,0,0,0,8,3,1796081026992,1796081027012,1,5);
INSERT INTO step VALUES(10,8,5,0,7,3,0,1796081030023,0,NULL,0,0,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO step VALUES(11,9,5,0,7,3,0,1796081030023,0,NULL,0,0,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO step VALUES(12,10,6,0,7,5,0,1796081030215,0,NULL,0,1,0,0,0,0,10,4,1796081043771,1796081043815,1,6);
INSERT INTO step VALUES(13,11,7,0,7,0,0,1796081049791,0,NULL,0,0,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE ready(
  lane      INTEGER NOT NULL,
  priority  INTEGER NOT NULL,
  due       INTEGER NOT NULL,
  step_id   INTEGER NOT NULL,
  type_id   INTEGER NOT NULL,
  run_id    INTEGER NOT NULL,
  group_id  INTEGER NOT NULL,
  scope     INTEGER NOT NULL,
  key_id    INTEGER,
  attempts  INTEGER NOT NULL,
  PRIMARY KEY (lane, priority DESC, due, step_id)
) STRICT, WITHOUT ROWID;
INSERT INTO ready VALUES(0,0,1796081049791,13,7,11,7,0,NULL,0);
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
INSERT INTO lease VALUES(6,11,4,1796081043781,6,4,3,1796081013931,1,0);
CREATE TABLE attempt(
  step_id  INTEGER NOT NULL,
  n        INTEGER NOT NULL,      -- counts spent attempts from 1; one that was given back keeps its number
  token    INTEGER NOT NULL,
  worker   INTEGER NOT NULL,
  started  INTEGER NOT NULL,
  ended    INTEGER NOT NULL,
  outcome  INTEGER NOT NULL CHECK (outcome BETWEEN 1 AND 9),
  detail   TEXT    NOT NULL CHECK (json_valid(detail)),
  PRIMARY KEY (step_id, token)
) STRICT, WITHOUT ROWID;
INSERT INTO attempt VALUES(1,1,1,2,1796081013558,1796081013591,1,'{"outcome":{"outcome":"succeeded"},"message":"succeeded","certificate":{"exit":{"code":0},"peak_rss":12288,"cpu":"1ms"}}');
INSERT INTO attempt VALUES(2,1,4,2,1796081013591,1796081013626,1,'{"outcome":{"outcome":"succeeded"},"message":"succeeded","certificate":{"exit":{"code":0},"peak_rss":3358720,"cpu":"2ms"}}');
INSERT INTO attempt VALUES(3,1,2,2,1796081013558,1796081013579,1,'{"outcome":{"outcome":"succeeded"},"message":"succeeded","certificate":{"exit":{"code":0},"peak_rss":12288,"cpu":"0ms"}}');
INSERT INTO attempt VALUES(4,1,3,2,1796081013579,1796081013610,2,'{"outcome":{"outcome":"failed","retryable":true,"kind":"exit","message":"exit code 1: cat: go-bad: No such file or directory"},"message":"exit code 1: cat: go-bad: No such file or directory","certificate":{"exit":{"code":1},"peak_rss":12288,"cpu":"1ms","last_lines":"cat: go-bad: No such file or directory\n"},"reason":"exit code 1: cat: go-bad: No such file or directory"}');
INSERT INTO attempt VALUES(5,1,5,3,1796081014051,1796081014119,2,'{"outcome":{"outcome":"failed","retryable":true,"kind":"exit","message":"exit code 1"},"message":"exit code 1","certificate":{"exit":{"code":1},"peak_rss":16384,"cpu":"0ms"}}');
INSERT INTO attempt VALUES(6,1,6,3,1796081014051,1796081043781,7,'{"outcome":{"outcome":"interrupted","reason":"its worker died"},"certificate":{}}');
INSERT INTO attempt VALUES(8,1,7,3,1796081026976,1796081026992,1,'{"outcome":{"outcome":"succeeded"},"message":"succeeded","certificate":{"exit":{"code":0},"peak_rss":16384,"cpu":"1ms"}}');
INSERT INTO attempt VALUES(9,1,8,3,1796081026992,1796081027012,1,'{"outcome":{"outcome":"succeeded"},"message":"succeeded","certificate":{"exit":{"code":0},"cpu":"1ms"}}');
INSERT INTO attempt VALUES(12,1,10,4,1796081043771,1796081043815,1,'{"outcome":{"outcome":"succeeded"},"message":"succeeded","certificate":{"exit":{"code":0},"peak_rss":20480,"cpu":"1ms"}}');
CREATE TABLE attempt_log(
  step_id  INTEGER NOT NULL,
  token    INTEGER NOT NULL,
  stream   INTEGER NOT NULL CHECK (stream IN (1, 2)),   -- 1 stdout, 2 stderr
  total    INTEGER NOT NULL,
  body     BLOB    NOT NULL,
  PRIMARY KEY (step_id, token, stream)
) STRICT, WITHOUT ROWID;
INSERT INTO attempt_log VALUES(1,1,1,5,X'28b52ffd2005290000646f6e650a');
INSERT INTO attempt_log VALUES(2,4,1,13,X'28b52ffd200d690000310a646f6e6520616761696e0a');
INSERT INTO attempt_log VALUES(3,2,1,4,X'28b52ffd20042100006261640a');
INSERT INTO attempt_log VALUES(4,3,2,39,X'28b52ffd20273901006361743a20676f2d6261643a204e6f20737563682066696c65206f72206469726563746f72790a');
INSERT INTO attempt_log VALUES(8,7,1,3,X'28b52ffd200319000070310a');
INSERT INTO attempt_log VALUES(9,8,1,3,X'28b52ffd200319000070320a');
INSERT INTO attempt_log VALUES(12,10,1,7,X'28b52ffd20073900007265616479310a');
CREATE TABLE cancel_request(
  step_id  INTEGER PRIMARY KEY,
  token    INTEGER NOT NULL,      -- of the lease that is meant
  at       INTEGER NOT NULL
) STRICT;
CREATE TABLE artifact(
  id       INTEGER PRIMARY KEY,
  hash     BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
  size     INTEGER NOT NULL,
  stored   INTEGER NOT NULL,
  created  INTEGER NOT NULL
) STRICT;
CREATE TABLE output(
  id     INTEGER PRIMARY KEY,
  value  TEXT CHECK (value IS NULL OR json_valid(value)),
  users  INTEGER NOT NULL DEFAULT 1 CHECK (users >= 0),
  links  TEXT CHECK (links IS NULL OR json_valid(links))
) STRICT;
INSERT INTO output VALUES(1,'"bad"',1,NULL);
INSERT INTO output VALUES(2,'"done"',1,NULL);
INSERT INTO output VALUES(3,'"1\ndone again"',1,NULL);
INSERT INTO output VALUES(4,'"p1"',1,NULL);
INSERT INTO output VALUES(5,'"p2"',1,NULL);
INSERT INTO output VALUES(6,'"ready1"',1,NULL);
CREATE TABLE output_file(
  output_id    INTEGER NOT NULL REFERENCES output(id),
  name         TEXT    NOT NULL,
  executable   INTEGER NOT NULL DEFAULT 0 CHECK (executable IN (0, 1)),   -- whether it could be run where it was made
  artifact_id  INTEGER NOT NULL REFERENCES artifact(id),
  PRIMARY KEY (output_id, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE step_cache(
  key        BLOB    PRIMARY KEY CHECK (length(key) = 32),
  output_id  INTEGER NOT NULL REFERENCES output(id),
  used       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
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
INSERT INTO worker VALUES(4,'{"pid":16786,"start_time":482327,"boot_id":"62b97aaf-996c-4794-8a9b-14b3653449d1","pid_namespace":4026531836,"time_namespace":4026531834}','62b97aaf-996c-4794-8a9b-14b3653449d1','0.1.0',4,'{"*":2}',0,1796081043760,'[]');
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
INSERT INTO resource_lock VALUES(1,1,6,11,'{"pid":16786,"start_time":482327,"boot_id":"62b97aaf-996c-4794-8a9b-14b3653449d1","pid_namespace":4026531836,"time_namespace":4026531834}',1796081043781,'62b97aaf-996c-4794-8a9b-14b3653449d1',4883361);
CREATE TABLE event_batch(
  seq   INTEGER PRIMARY KEY AUTOINCREMENT,
  at    INTEGER NOT NULL,
  body  TEXT    NOT NULL
) STRICT;
INSERT INTO event_batch VALUES(1,1796081013448,'[["GROUP_START",1,0,0,""],["ITEM_START",1,1,0,""],["ITEM_START",1,2,0,""]]');
INSERT INTO event_batch VALUES(2,1796081013558,'[["STEP_START",1,1,1,""],["STEP_START",1,2,3,""]]');
INSERT INTO event_batch VALUES(3,1796081013579,'[["STEP_END",1,2,3,""],["STEP_START",1,2,4,""]]');
INSERT INTO event_batch VALUES(4,1796081013591,'[["STEP_END",1,1,1,""],["STEP_START",1,1,2,""]]');
INSERT INTO event_batch VALUES(5,1796081013610,'[["STEP_FAILED",1,2,4,""],["ITEM_FAILED",1,2,0,""]]');
INSERT INTO event_batch VALUES(6,1796081013626,'[["STEP_END",1,1,2,""],["ITEM_END",1,1,0,""],["GROUP_END",1,0,0,""]]');
INSERT INTO event_batch VALUES(7,1796081013851,'[["GROUP_START",2,0,0,""],["ITEM_START",2,3,0,""]]');
INSERT INTO event_batch VALUES(8,1796081013931,'[["GROUP_START",3,0,0,""],["ITEM_START",3,4,0,""],["ITEM_START",3,5,0,""]]');
INSERT INTO event_batch VALUES(9,1796081014051,'[["STEP_START",2,3,5,""],["STEP_START",3,4,6,""]]');
INSERT INTO event_batch VALUES(10,1796081014119,'[["STEP_ERROR",2,3,5,""]]');
INSERT INTO event_batch VALUES(11,1796081026890,'[["GROUP_START",4,0,0,""],["ITEM_START",4,6,0,""],["ITEM_START",4,7,0,""]]');
INSERT INTO event_batch VALUES(12,1796081026976,'[["STEP_START",4,6,8,""]]');
INSERT INTO event_batch VALUES(13,1796081026992,'[["STEP_END",4,6,8,""],["ITEM_END",4,6,0,""],["STEP_START",4,7,9,""]]');
INSERT INTO event_batch VALUES(14,1796081027012,'[["STEP_END",4,7,9,""],["ITEM_END",4,7,0,""],["GROUP_END",4,0,0,""]]');
INSERT INTO event_batch VALUES(15,1796081027050,'[["HOOK_END",4,0,0,"note"]]');
INSERT INTO event_batch VALUES(16,1796081030023,'[["GROUP_START",5,0,0,""],["ITEM_START",5,8,0,""],["ITEM_START",5,9,0,""]]');
INSERT INTO event_batch VALUES(17,1796081030082,'[["PAUSE",5,0,0,""]]');
INSERT INTO event_batch VALUES(18,1796081030215,'[["GROUP_START",6,0,0,""],["ITEM_START",6,10,0,""]]');
INSERT INTO event_batch VALUES(19,1796081043771,'[["STEP_START",6,10,12,""]]');
INSERT INTO event_batch VALUES(20,1796081043781,'[["STEP_REAPED",3,4,6,"its worker died"],["STEP_START",3,4,6,""]]');
INSERT INTO event_batch VALUES(21,1796081043815,'[["STEP_END",6,10,12,""],["ITEM_END",6,10,0,""],["GROUP_END",6,0,0,""]]');
INSERT INTO event_batch VALUES(22,1796081043895,'[["HOOK_END",6,0,0,"note"]]');
INSERT INTO event_batch VALUES(23,1796081049791,'[["GROUP_START",7,0,0,""],["ITEM_START",7,11,0,""]]');
CREATE TABLE hook(
  id        INTEGER PRIMARY KEY,
  event     TEXT    NOT NULL,
  name      TEXT    NOT NULL,
  no        INTEGER NOT NULL,       -- its place in the definition's list for this event
  group_id  INTEGER NOT NULL,
  run_id    INTEGER NOT NULL DEFAULT 0,
  step_id   INTEGER NOT NULL DEFAULT 0,
  epoch     INTEGER NOT NULL,
  subject   INTEGER NOT NULL DEFAULT 0,   -- token of the attempt that it tells of, for step events
  state     INTEGER NOT NULL DEFAULT 0 CHECK (state IN (0, 1, 5, 6)),
  due       INTEGER NOT NULL,
  attempts  INTEGER NOT NULL DEFAULT 0,
  token     INTEGER,
  worker    INTEGER,
  started   INTEGER,
  ended     INTEGER,
  detail    TEXT    NOT NULL DEFAULT '',
  UNIQUE (group_id, event, no, run_id, step_id, epoch, subject),
  CHECK ((state >= 5) = (ended IS NOT NULL)),
  CHECK ((state = 1) = (token IS NOT NULL))
) STRICT;
INSERT INTO hook VALUES(1,'group_end','note',0,4,0,0,1,0,5,1796081027012,1,NULL,NULL,1796081027019,1796081027050,'');
INSERT INTO hook VALUES(2,'group_end','note',0,6,0,0,1,0,5,1796081043815,1,NULL,NULL,1796081043816,1796081043895,'');
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
CREATE TABLE run_document(
  run_id     INTEGER PRIMARY KEY REFERENCES run(id) ON DELETE CASCADE,
  database   TEXT    NOT NULL,
  source     TEXT    NOT NULL,
  documents  TEXT    NOT NULL CHECK (json_valid(documents))
) STRICT;
CREATE TABLE document_batch(
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  source   TEXT    NOT NULL,
  name     TEXT    NOT NULL,
  params   TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(params)),
  created  INTEGER NOT NULL,
  changed  INTEGER NOT NULL
) STRICT;
CREATE TABLE content(
  sha256       BLOB    PRIMARY KEY CHECK (length(sha256) = 32),
  artifact_id  INTEGER NOT NULL REFERENCES artifact(id),
  size         INTEGER NOT NULL,
  media_type   TEXT    NOT NULL,
  created      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
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
CREATE TABLE uri_history(
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  uri_id   INTEGER NOT NULL REFERENCES document_uri(id) ON DELETE CASCADE,
  version  INTEGER NOT NULL,
  sha256   BLOB    NOT NULL CHECK (length(sha256) = 32),
  action   TEXT    NOT NULL CHECK (action IN ('create', 'update')),
  batch_id INTEGER,
  at       INTEGER NOT NULL
) STRICT;
CREATE TABLE document_removal(
  database  TEXT    NOT NULL,
  source    TEXT    NOT NULL,
  uri       TEXT    NOT NULL,
  at        INTEGER NOT NULL,
  version   INTEGER NOT NULL DEFAULT 0,
  done      INTEGER NOT NULL DEFAULT 0 CHECK (done IN (0, 1)),
  PRIMARY KEY (database, source, uri)
) STRICT, WITHOUT ROWID;
CREATE TABLE sync_state(
  source      TEXT    PRIMARY KEY,
  commit_sha  TEXT    NOT NULL,
  branch      TEXT    NOT NULL,
  metadata    TEXT    NOT NULL CHECK (json_valid(metadata)),
  synced      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE batch_group(
  group_id  INTEGER PRIMARY KEY REFERENCES run_group(id) ON DELETE CASCADE,
  batch_id  INTEGER NOT NULL REFERENCES document_batch(id),
  params    TEXT    NOT NULL
) STRICT;
CREATE TABLE content_run(
  sha256  BLOB    NOT NULL CHECK (length(sha256) = 32),
  run_id  INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  PRIMARY KEY (sha256, run_id)
) STRICT, WITHOUT ROWID;
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('worker',4);
INSERT INTO sqlite_sequence VALUES('event_batch',23);
CREATE INDEX definition_name ON definition(name, id);
CREATE INDEX run_group_open  ON run_group(id) WHERE ended IS NULL;
CREATE INDEX run_group_phase ON run_group(id) WHERE phase > 0;
CREATE INDEX run_group_flagged ON run_group(id) WHERE paused + cancelling > 0;
CREATE INDEX run_group_ended ON run_group(ended) WHERE ended IS NOT NULL;
CREATE INDEX group_unopened ON group_detail(group_id) WHERE opened < open_until;
CREATE INDEX group_runs ON group_detail(group_id, runs);
CREATE INDEX submit_key_group ON submit_key(group_id);
CREATE INDEX run_of_group ON run(group_id, id);
CREATE INDEX run_lost     ON run(group_id, id) WHERE failed + cancelled > 0;
CREATE INDEX step_delayed ON step(due) WHERE state = 1;
CREATE INDEX step_line    ON step(key_id, type_id, scope, priority DESC, due) WHERE state = 2;
CREATE INDEX step_parked  ON step(group_id) WHERE state = 3;
CREATE INDEX step_error   ON step(group_id, run_id) WHERE failures + crashes > 0 AND state < 5;
CREATE INDEX step_lost    ON step(group_id, state, run_id) WHERE state >= 6;
CREATE INDEX step_redoing ON step(id) WHERE redone > 0 AND state < 5;
CREATE UNIQUE INDEX ready_head   ON ready(key_id, type_id, scope) WHERE key_id IS NOT NULL;
CREATE INDEX ready_scoped ON ready(scope, lane, priority DESC, due, step_id) WHERE scope > 0;
CREATE INDEX output_file_artifact ON output_file(artifact_id);
CREATE INDEX step_cache_output ON step_cache(output_id);
CREATE INDEX kept_output_output ON kept_output(output_id);
CREATE INDEX kept_output_step   ON kept_output(step_id) WHERE step_id > 0;
CREATE INDEX hook_due     ON hook(due) WHERE state = 0;
CREATE INDEX hook_running ON hook(worker) WHERE state = 1;
CREATE INDEX hook_failed  ON hook(group_id) WHERE state = 6;
CREATE INDEX document_run ON document(run_id);
CREATE INDEX document_waiting ON document(database, id) WHERE state = 0;
CREATE INDEX document_place ON document(source, uri);
CREATE INDEX document_content ON document(sha256);
CREATE INDEX content_artifact ON content(artifact_id);
CREATE INDEX document_uri_batch   ON document_uri(batch_id, sha256);
CREATE INDEX document_uri_content ON document_uri(sha256);
CREATE INDEX uri_history_uri     ON uri_history(uri_id);
CREATE INDEX uri_history_content ON uri_history(sha256);
CREATE INDEX document_removal_pending ON document_removal(database) WHERE done = 0;
CREATE INDEX batch_group_batch ON batch_group(batch_id, group_id);
CREATE INDEX content_run_run ON content_run(run_id);
CREATE VIEW step_status AS
SELECT s.id, s.run_id, s.group_id, s.no, s.type_id,
       CASE WHEN l.step_id IS NOT NULL THEN 'RUNNING'
            WHEN s.state = 5 THEN 'COMPLETED' WHEN s.state = 6 THEN 'FAILED' WHEN s.state = 7 THEN 'CANCELLED'
            WHEN s.failures > 0 OR s.crashes > 0 THEN 'ERROR' ELSE 'PENDING' END AS status
  FROM step s LEFT JOIN lease l ON l.step_id = s.id;
CREATE VIEW attempt_all AS
SELECT step_id, n, token, worker, started, ended, outcome, detail FROM attempt
UNION ALL
SELECT s.id, s.attempts, s.token, s.worker, s.started, s.ended, s.outcome, NULL FROM step s
 WHERE s.state = 5 AND s.token IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.step_id = s.id AND a.token = s.token)
UNION ALL
SELECT step_id, attempts + 1, token, worker, started, NULL, NULL, NULL FROM lease;
COMMIT;
PRAGMA application_id = 2003070067;
PRAGMA user_version = 4;

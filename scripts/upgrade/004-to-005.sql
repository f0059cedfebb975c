-- From schema version 4 to 5: columns and indexes have the names of what they hold.
-- windlass does this by itself. By hand, while nothing uses the home: sqlite3 engine.db < 004-to-005.sql
BEGIN IMMEDIATE;
ALTER TABLE step_type RENAME COLUMN lane TO queue;
ALTER TABLE ready RENAME COLUMN lane TO queue;
ALTER TABLE step RENAME COLUMN redone TO recomputed;
DROP INDEX step_line;
DROP INDEX step_parked;
DROP INDEX step_redoing;
CREATE INDEX step_blocked ON step(key_id, type_id, scope, priority DESC, due) WHERE state = 2;
CREATE INDEX step_paused ON step(group_id) WHERE state = 3;
CREATE INDEX step_recomputing ON step(id) WHERE recomputed > 0 AND state < 5;
PRAGMA user_version = 5;
COMMIT;

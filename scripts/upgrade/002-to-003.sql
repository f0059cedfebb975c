-- From schema version 2 to 3: why a group is paused.
-- windlass does this by itself. By hand, while nothing uses the home: sqlite3 engine.db < 002-to-003.sql
BEGIN IMMEDIATE;
ALTER TABLE group_detail ADD COLUMN paused_for TEXT NOT NULL DEFAULT '';
PRAGMA user_version = 3;
COMMIT;

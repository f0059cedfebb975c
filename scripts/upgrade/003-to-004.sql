-- From schema version 3 to 4: outputs keep symbolic links.
-- windlass does this by itself. By hand, while nothing uses the home: sqlite3 engine.db < 003-to-004.sql
BEGIN IMMEDIATE;
ALTER TABLE output ADD COLUMN links TEXT CHECK (links IS NULL OR json_valid(links));
PRAGMA user_version = 4;
COMMIT;

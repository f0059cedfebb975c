-- A vector database. `application_id` and `user_version` (the schema version) are set beside it.

-- One row: what the whole file agrees on.
CREATE TABLE meta (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    embedder     TEXT    NOT NULL,                        -- such as `static:v1`; vectors of two embedders never mix
    dimension    INTEGER NOT NULL CHECK (dimension > 0),
    -- Where a served model was asked last, as {url, model, dimensions, key}; of the API key only its name. NULL: built in.
    server       TEXT    CHECK (server IS NULL OR json_valid(server)),
    chunk_params TEXT    NOT NULL CHECK (json_valid(chunk_params)),
    epoch        INTEGER NOT NULL CHECK (epoch >= 0)      -- fences writers that lost the file lock
) STRICT;

-- (source, uri) says which document, sha256 says which content.
CREATE TABLE document (
    id         INTEGER PRIMARY KEY,
    source     TEXT    NOT NULL,
    uri        TEXT    NOT NULL,
    title      TEXT,
    sha256     BLOB    NOT NULL CHECK (length(sha256) = 32),
    media_type TEXT    NOT NULL,
    created    INTEGER NOT NULL,                          -- ms since the Unix epoch
    updated    INTEGER NOT NULL,
    metadata   TEXT    NOT NULL CHECK (json_valid(metadata)),
    chunks     INTEGER NOT NULL CHECK (chunks >= 0),
    UNIQUE (source, uri)
) STRICT;

-- AUTOINCREMENT: an id is never given twice, so a reader that fetches late finds the chunk it ranked, or none.
CREATE TABLE chunk (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    document    INTEGER NOT NULL REFERENCES document (id),
    no          INTEGER NOT NULL CHECK (no >= 0),         -- counted from 0 within its document
    text        TEXT    NOT NULL,
    headings    TEXT    NOT NULL CHECK (json_valid(headings)), -- a JSON list, outermost first
    page        INTEGER CHECK (page >= 1),
    range_start INTEGER NOT NULL CHECK (range_start >= 0),     -- bytes in the parsed Markdown
    range_end   INTEGER NOT NULL CHECK (range_end >= range_start),
    tokens      INTEGER NOT NULL CHECK (tokens >= 0),
    text_hash   BLOB    NOT NULL CHECK (length(text_hash) = 16), -- of the text that was embedded
    UNIQUE (document, no)
) STRICT;

-- The embedding cache: a chunk whose text was embedded before takes over the vector.
CREATE INDEX chunk_by_text_hash ON chunk (text_hash);

-- In a table of its own, so that a scan reads vectors and nothing else. Little-endian f32, `dimension` of them.
CREATE TABLE vector (
    chunk INTEGER PRIMARY KEY REFERENCES chunk (id),
    value BLOB NOT NULL
) STRICT;

-- Contentless: the words are indexed, the text itself stands in `chunk` only. Scripts without spaces between words are
-- indexed letter by letter, so what goes in here is not always the text as it stands.
CREATE VIRTUAL TABLE chunk_text USING fts5 (
    title, headings, text,
    content = '', contentless_delete = 1,
    tokenize = 'porter unicode61 remove_diacritics 2'
);

-- Which run of which engine stored a document last. An older run of the same engine, which a pause or a crash held back, does
-- not replace what a newer one stored, and a deletion does not take away what was stored after it.
CREATE TABLE version (
    document INTEGER PRIMARY KEY REFERENCES document (id),
    engine   TEXT    NOT NULL,
    run      INTEGER NOT NULL
) STRICT;

-- Only of chunks that are mostly links: how many of 100 letters are words of links. Such a chunk leads to others, and says
-- little itself.
CREATE TABLE linked (
    chunk INTEGER PRIMARY KEY REFERENCES chunk (id),
    share INTEGER NOT NULL CHECK (share BETWEEN 1 AND 100)
) STRICT;

-- Versions of documents, and folders that collections are kept in step with.

-- The first version's id, on every version of a document that has more than one.
ALTER TABLE documents ADD COLUMN series TEXT;
-- state superseded: not found any more, still opened by the runs that cited it. Null where nothing took its place.
ALTER TABLE documents ADD COLUMN superseded_by TEXT;
ALTER TABLE documents ADD COLUMN superseded_at BIGINT;
DROP INDEX documents_original;
CREATE UNIQUE INDEX documents_original ON documents(collection_id, original) WHERE state <> 'superseded';
CREATE INDEX documents_series ON documents(series);

-- connected_by: whose rights the documents are added with. state: waiting, scanning, ready, failed.
CREATE TABLE watched_folders (
  collection_id TEXT PRIMARY KEY REFERENCES collections(id),
  path TEXT NOT NULL,
  connected_by TEXT NOT NULL REFERENCES people(id),
  state TEXT NOT NULL,
  error TEXT,
  -- JSON: files seen, added, changed, moved, removed, skipped in the last look.
  summary TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  looked_at BIGINT
);

-- path: relative to the folder. document_id is null for a file that is not taken in; reason says why.
CREATE TABLE watched_files (
  collection_id TEXT NOT NULL REFERENCES watched_folders(collection_id),
  path TEXT NOT NULL,
  bytes BIGINT NOT NULL,
  modified BIGINT NOT NULL,
  original TEXT,
  document_id TEXT,
  reason TEXT,
  PRIMARY KEY (collection_id, path)
);

-- Lists of words that the admin edits: `synonyms`.
CREATE TABLE word_lists (name TEXT PRIMARY KEY, text TEXT NOT NULL, changed_by TEXT NOT NULL REFERENCES people(id), updated_at BIGINT NOT NULL);

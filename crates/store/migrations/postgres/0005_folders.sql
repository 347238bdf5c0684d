-- What keeps followed folders and versions of documents from harming each other.

-- Brought in by a followed folder, which may withdraw it; 0: uploaded by somebody.
ALTER TABLE documents ADD COLUMN by_folder BIGINT NOT NULL DEFAULT 0;
UPDATE documents SET by_folder = 1 WHERE id IN (SELECT document_id FROM watched_files);
CREATE INDEX documents_replaces ON documents(replaces);
CREATE INDEX documents_superseded_by ON documents(superseded_by);
CREATE INDEX watched_files_document ON watched_files(document_id);

-- Older versions whose successor was deleted point at the version that is found now.
UPDATE documents SET superseded_by =
    (SELECT MAX(o.id) FROM documents o WHERE o.series = documents.series AND o.state = 'ready')
  WHERE superseded_by IS NOT NULL AND superseded_by NOT IN (SELECT id FROM documents);

-- The department in whose share the folder lies: another owner of the collection connects anew.
ALTER TABLE watched_folders ADD COLUMN department_id TEXT;
UPDATE watched_folders SET department_id = (SELECT c.owner_department FROM collections c WHERE c.id = watched_folders.collection_id);
-- So many files that are gone were said to be gone on purpose.
ALTER TABLE watched_folders ADD COLUMN removal_allowed BIGINT NOT NULL DEFAULT 0;

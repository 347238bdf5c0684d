-- Identifiers are UUID text, times are Unix milliseconds, booleans 0/1, JSON is text: one set of queries serves
-- SQLite and PostgreSQL. The twin of this file is migrations/sqlite/0001_house.sql.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE departments (
  id TEXT PRIMARY KEY,
  parent_id TEXT REFERENCES departments(id),
  name TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  deleted_at BIGINT
);
CREATE UNIQUE INDEX departments_name ON departments(name) WHERE deleted_at IS NULL;

CREATE TABLE posts (
  id TEXT PRIMARY KEY,
  department_id TEXT NOT NULL REFERENCES departments(id),
  title TEXT NOT NULL,
  roles TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  deleted_at BIGINT
);
CREATE INDEX posts_department ON posts(department_id);

CREATE TABLE people (
  id TEXT PRIMARY KEY,
  login TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  active BIGINT NOT NULL,
  failures BIGINT NOT NULL,
  locked_until BIGINT,
  created_at BIGINT NOT NULL
);

CREATE TABLE post_holders (
  post_id TEXT NOT NULL REFERENCES posts(id),
  person_id TEXT NOT NULL REFERENCES people(id),
  since BIGINT NOT NULL,
  PRIMARY KEY (post_id, person_id)
);
CREATE INDEX post_holders_person ON post_holders(person_id);

CREATE TABLE sessions (
  id TEXT PRIMARY KEY,
  secret_hash TEXT NOT NULL UNIQUE,
  person_id TEXT NOT NULL REFERENCES people(id),
  csrf TEXT NOT NULL,
  address TEXT NOT NULL,
  user_agent TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  last_seen BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_person ON sessions(person_id);

CREATE TABLE tokens (
  id TEXT PRIMARY KEY,
  person_id TEXT NOT NULL REFERENCES people(id),
  name TEXT NOT NULL,
  secret_hash TEXT NOT NULL UNIQUE,
  scope TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  last_used BIGINT,
  revoked_at BIGINT
);
CREATE INDEX tokens_person ON tokens(person_id);

-- An owner is a person or a department, never both.
CREATE TABLE collections (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  owner_department TEXT REFERENCES departments(id),
  owner_person TEXT REFERENCES people(id),
  grade TEXT NOT NULL,
  everyone BIGINT NOT NULL,
  created_by TEXT NOT NULL REFERENCES people(id),
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_at BIGINT,
  CHECK ((owner_department IS NULL) <> (owner_person IS NULL))
);

CREATE TABLE collection_readers (
  collection_id TEXT NOT NULL REFERENCES collections(id),
  department_id TEXT NOT NULL REFERENCES departments(id),
  PRIMARY KEY (collection_id, department_id)
);
CREATE INDEX collection_readers_department ON collection_readers(department_id);

-- state: waiting, processing, ready, failed, cancelled. The same bytes enter a collection once.
CREATE TABLE documents (
  id TEXT PRIMARY KEY,
  collection_id TEXT NOT NULL REFERENCES collections(id),
  title TEXT NOT NULL,
  file_name TEXT NOT NULL,
  original TEXT NOT NULL,
  bytes BIGINT NOT NULL,
  format TEXT NOT NULL,
  state TEXT NOT NULL,
  stage TEXT NOT NULL,
  error TEXT,
  warnings TEXT NOT NULL,
  pages BIGINT,
  pages_estimated BIGINT NOT NULL,
  characters BIGINT NOT NULL,
  passages BIGINT NOT NULL,
  attempts BIGINT NOT NULL,
  -- Deleted when this one is ready.
  replaces TEXT,
  created_by TEXT NOT NULL REFERENCES people(id),
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX documents_original ON documents(collection_id, original);
CREATE INDEX documents_state ON documents(state, created_at);

CREATE TABLE document_texts (
  document_id TEXT PRIMARY KEY REFERENCES documents(id),
  text TEXT NOT NULL
);

CREATE TABLE passages (
  id TEXT PRIMARY KEY,
  document_id TEXT NOT NULL REFERENCES documents(id),
  collection_id TEXT NOT NULL REFERENCES collections(id),
  ordinal BIGINT NOT NULL,
  heading_path TEXT NOT NULL,
  page BIGINT,
  page_estimated BIGINT NOT NULL,
  span_start BIGINT NOT NULL,
  span_end BIGINT NOT NULL,
  text TEXT NOT NULL
);
CREATE INDEX passages_document ON passages(document_id, ordinal);

-- Deleted documents whose passages may still stand in the index; drained by the server.
CREATE TABLE index_removals (document_id TEXT PRIMARY KEY, created_at BIGINT NOT NULL);

-- slug: a bundled app. Personal until a version is published.
CREATE TABLE apps (
  id TEXT PRIMARY KEY,
  slug TEXT UNIQUE,
  icon TEXT NOT NULL,
  owner_department TEXT REFERENCES departments(id),
  owner_post TEXT REFERENCES posts(id),
  created_by TEXT REFERENCES people(id),
  published_version TEXT,
  forked_from TEXT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  published_at BIGINT,
  deleted_at BIGINT
);
CREATE INDEX apps_department ON apps(owner_department);

-- Immutable: the application never updates a row here.
CREATE TABLE app_versions (
  id TEXT PRIMARY KEY,
  app_id TEXT NOT NULL REFERENCES apps(id),
  number BIGINT NOT NULL,
  title TEXT NOT NULL,
  purpose TEXT NOT NULL,
  task TEXT NOT NULL,
  sheet TEXT NOT NULL,
  digest TEXT NOT NULL,
  note TEXT NOT NULL,
  created_by TEXT REFERENCES people(id),
  created_at BIGINT NOT NULL,
  UNIQUE (app_id, number)
);

CREATE TABLE drafts (
  id TEXT PRIMARY KEY,
  app_id TEXT REFERENCES apps(id),
  owner_department TEXT REFERENCES departments(id),
  author TEXT NOT NULL REFERENCES people(id),
  edited_by TEXT NOT NULL REFERENCES people(id),
  prompt TEXT NOT NULL,
  composition TEXT NOT NULL,
  sheet TEXT NOT NULL,
  revision BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX drafts_author ON drafts(author);
CREATE UNIQUE INDEX drafts_app ON drafts(app_id) WHERE app_id IS NOT NULL;

-- state: waiting, approved, returned, withdrawn.
CREATE TABLE submissions (
  id TEXT PRIMARY KEY,
  app_id TEXT NOT NULL REFERENCES apps(id),
  version_id TEXT NOT NULL REFERENCES app_versions(id),
  department_id TEXT NOT NULL REFERENCES departments(id),
  submitted_by TEXT NOT NULL REFERENCES people(id),
  note TEXT NOT NULL,
  state TEXT NOT NULL,
  decided_by TEXT REFERENCES people(id),
  reason TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  decided_at BIGINT
);
CREATE UNIQUE INDEX submissions_waiting ON submissions(app_id) WHERE state = 'waiting';

CREATE TABLE ratings (
  app_id TEXT NOT NULL REFERENCES apps(id),
  person_id TEXT NOT NULL REFERENCES people(id),
  stars BIGINT NOT NULL,
  comment TEXT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (app_id, person_id)
);

-- state: running, done, stopped, failed. A trial has a draft and no version.
CREATE TABLE runs (
  id TEXT PRIMARY KEY,
  app_id TEXT REFERENCES apps(id),
  version_id TEXT REFERENCES app_versions(id),
  draft_id TEXT,
  title TEXT NOT NULL,
  person_id TEXT NOT NULL REFERENCES people(id),
  department_id TEXT,
  inputs TEXT NOT NULL,
  state TEXT NOT NULL,
  answer TEXT NOT NULL,
  answered BIGINT NOT NULL,
  unfilled TEXT NOT NULL,
  engine TEXT NOT NULL,
  grade TEXT NOT NULL,
  error TEXT,
  report TEXT,
  started_at BIGINT NOT NULL,
  ended_at BIGINT
);
CREATE INDEX runs_person ON runs(person_id, started_at);
CREATE INDEX runs_app ON runs(app_id, started_at);

CREATE TABLE run_citations (
  run_id TEXT NOT NULL REFERENCES runs(id),
  number BIGINT NOT NULL,
  passage_id TEXT NOT NULL,
  document_id TEXT NOT NULL,
  citation TEXT NOT NULL,
  PRIMARY KEY (run_id, number)
);

CREATE TABLE providers (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  base_url TEXT NOT NULL,
  model TEXT NOT NULL,
  sealed_key TEXT NOT NULL,
  enabled BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_at BIGINT
);

-- state: waiting, returned, approved, sending, sent, failed, unknown, cancelled, expired.
CREATE TABLE external_calls (
  id TEXT PRIMARY KEY,
  run_id TEXT NOT NULL REFERENCES runs(id),
  app_id TEXT NOT NULL REFERENCES apps(id),
  version_id TEXT NOT NULL REFERENCES app_versions(id),
  person_id TEXT NOT NULL REFERENCES people(id),
  department_id TEXT NOT NULL,
  provider_id TEXT NOT NULL REFERENCES providers(id),
  host TEXT NOT NULL,
  model TEXT NOT NULL,
  purpose TEXT NOT NULL,
  legal_basis TEXT NOT NULL,
  grade TEXT NOT NULL,
  state TEXT NOT NULL,
  findings TEXT NOT NULL,
  sources TEXT NOT NULL,
  local_answer TEXT NOT NULL,
  body_bytes BIGINT NOT NULL,
  body_hmac TEXT NOT NULL,
  sealed_body TEXT NOT NULL,
  sealed_tokens TEXT NOT NULL,
  binding TEXT,
  expires_at BIGINT,
  approver TEXT REFERENCES people(id),
  reason TEXT NOT NULL,
  sealed_reply TEXT,
  status BIGINT,
  provider_request_id TEXT,
  tokens_in BIGINT,
  tokens_out BIGINT,
  error TEXT,
  created_at BIGINT NOT NULL,
  decided_at BIGINT,
  sent_at BIGINT,
  ended_at BIGINT
);
CREATE INDEX external_calls_state ON external_calls(state, created_at);
CREATE INDEX external_calls_person ON external_calls(person_id, created_at);

-- Append-only: the application never updates or deletes a row here.
CREATE TABLE ledger (
  seq BIGINT PRIMARY KEY,
  time TEXT NOT NULL,
  payload TEXT NOT NULL,
  prev_hash TEXT NOT NULL,
  hash TEXT NOT NULL
);
CREATE FUNCTION madang_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% rows are never changed', TG_TABLE_NAME; END $$;
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION madang_refuse();
CREATE TRIGGER app_versions_immutable BEFORE UPDATE ON app_versions FOR EACH ROW EXECUTE FUNCTION madang_refuse();

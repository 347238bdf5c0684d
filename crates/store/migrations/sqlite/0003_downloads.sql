-- Where files of models may be fetched from, and each request that went there.

-- `host`, or `host:port` where the port is not 443. Empty: nothing may be fetched.
CREATE TABLE download_hosts (host TEXT PRIMARY KEY, created_at BIGINT NOT NULL);

-- state: fetching, fetched, redirected, refused, stopped, failed, unknown. A redirect followed is a row of its own.
CREATE TABLE downloads (
  id TEXT PRIMARY KEY,
  model TEXT NOT NULL,
  host TEXT NOT NULL,
  path TEXT NOT NULL,
  address TEXT NOT NULL,
  hop BIGINT NOT NULL,
  os_user TEXT NOT NULL,
  state TEXT NOT NULL,
  status BIGINT,
  bytes BIGINT NOT NULL,
  sha256 TEXT,
  error TEXT,
  started_at BIGINT NOT NULL,
  ended_at BIGINT
);
CREATE INDEX downloads_state ON downloads(state);

-- The reviewer's desk: monthly samples and their sign-off, anomalies that were looked at, retention, holds, deletions.

-- A month's sample as it was drawn. seed: root of a signed checkpoint; strata: JSON.
CREATE TABLE monthly_reviews (
  month TEXT PRIMARY KEY,
  seed TEXT NOT NULL,
  checkpoint BIGINT NOT NULL,
  calls BIGINT NOT NULL,
  strata TEXT NOT NULL,
  drawn_by TEXT NOT NULL REFERENCES people(id),
  drawn_at BIGINT NOT NULL,
  signed_by TEXT REFERENCES people(id),
  signed_at BIGINT,
  summary TEXT NOT NULL
);

-- Calls of a sample. verdict: sound, question or fault; null until somebody looked at it.
CREATE TABLE review_picks (
  month TEXT NOT NULL REFERENCES monthly_reviews(month),
  call_id TEXT NOT NULL REFERENCES external_calls(id),
  why TEXT NOT NULL,
  verdict TEXT,
  note TEXT NOT NULL,
  reviewer TEXT REFERENCES people(id),
  reviewed_at BIGINT,
  PRIMARY KEY (month, call_id)
);

-- Anomalies that an officer looked at; anomaly: a hash over its kind and its calls.
CREATE TABLE anomalies_seen (
  anomaly TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  note TEXT NOT NULL,
  person_id TEXT NOT NULL REFERENCES people(id),
  seen_at BIGINT NOT NULL
);

-- Days that texts of a kind are kept; the default where there is no row.
CREATE TABLE retention_rules (
  kind TEXT PRIMARY KEY,
  days BIGINT NOT NULL,
  changed_by TEXT NOT NULL REFERENCES people(id),
  changed_at BIGINT NOT NULL
);

-- What may not be deleted. target: call, app, person or period; subject: an id, empty for a period.
CREATE TABLE legal_holds (
  id TEXT PRIMARY KEY,
  target TEXT NOT NULL,
  subject TEXT NOT NULL,
  from_at BIGINT,
  until_at BIGINT,
  reason TEXT NOT NULL,
  placed_by TEXT NOT NULL REFERENCES people(id),
  placed_at BIGINT NOT NULL,
  lifted_by TEXT REFERENCES people(id),
  lifted_at BIGINT,
  lift_reason TEXT NOT NULL
);
CREATE INDEX legal_holds_open ON legal_holds(lifted_at, target, subject);

-- Deletions and what proves them. digest: over the deleted calls' ids and HMACs; seq: their record.
CREATE TABLE erasures (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  erased_at BIGINT NOT NULL,
  items BIGINT NOT NULL,
  from_at BIGINT NOT NULL,
  until_at BIGINT NOT NULL,
  digest TEXT NOT NULL,
  seq BIGINT NOT NULL
);
ALTER TABLE external_calls ADD COLUMN erasure TEXT;
CREATE INDEX external_calls_erasure ON external_calls(erasure);

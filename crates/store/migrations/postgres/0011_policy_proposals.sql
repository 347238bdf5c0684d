-- Policies that would let more pass and wait for a second person.

-- changes: JSON, Korean sentences. state: waiting, confirmed, declined, withdrawn, overtaken (another policy went into
-- force meanwhile).
CREATE TABLE policy_proposals (
  id TEXT PRIMARY KEY,
  base_revision BIGINT NOT NULL,
  revision BIGINT NOT NULL,
  hash TEXT NOT NULL,
  text TEXT NOT NULL,
  changes TEXT NOT NULL,
  reason TEXT NOT NULL,
  proposer TEXT NOT NULL REFERENCES people(id),
  created_at BIGINT NOT NULL,
  state TEXT NOT NULL,
  decided_by TEXT REFERENCES people(id),
  decided_reason TEXT NOT NULL,
  decided_at BIGINT
);
CREATE INDEX policy_proposals_state ON policy_proposals(state, created_at);

-- What a review of the door asked for: indexes, reads that are records, and what a record speaks of.

CREATE INDEX external_calls_run ON external_calls(run_id);
CREATE INDEX external_calls_provider ON external_calls(provider_id, sent_at, reply_from, state);
CREATE INDEX external_calls_app ON external_calls(app_id, version_id);
CREATE INDEX external_calls_decided ON external_calls(decided_at);
CREATE INDEX runs_started ON runs(started_at);

-- Texts of a call that somebody other than its asker opened. day: since 1970 in Korea; one record for each row.
CREATE TABLE call_reads (
  call_id TEXT NOT NULL REFERENCES external_calls(id),
  person_id TEXT NOT NULL REFERENCES people(id),
  day BIGINT NOT NULL,
  PRIMARY KEY (call_id, person_id, day)
);

-- What each record is and which call it speaks of, to find it without reading the whole ledger. It proves nothing.
CREATE TABLE ledger_subjects (
  seq BIGINT PRIMARY KEY,
  action TEXT NOT NULL,
  call_id TEXT
);
INSERT INTO ledger_subjects (seq, action, call_id)
  SELECT seq, substr(payload, instr(payload, '"action":"') + 10, instr(substr(payload, instr(payload, '"action":"') + 10), '"') - 1),
    CASE WHEN instr(payload, '"call":"') > 0 THEN substr(payload, instr(payload, '"call":"') + 8, 36) END
  FROM ledger;
CREATE INDEX ledger_subjects_action ON ledger_subjects(action, seq);
CREATE INDEX ledger_subjects_call ON ledger_subjects(call_id, seq);

-- What looked for personal data: the detector's version and the dictionary's revision; null for older calls.
ALTER TABLE external_calls ADD COLUMN detector TEXT;

-- What would let texts be deleted earlier, until a second person decides. what: shorten (subject: a kind of texts) or lift
-- (subject: a hold). state: waiting, confirmed, declined, withdrawn.
CREATE TABLE keeping_proposals (
  id TEXT PRIMARY KEY,
  what TEXT NOT NULL,
  subject TEXT NOT NULL,
  days BIGINT,
  reason TEXT NOT NULL,
  proposer TEXT NOT NULL REFERENCES people(id),
  proposed_at BIGINT NOT NULL,
  state TEXT NOT NULL,
  decided_by TEXT REFERENCES people(id),
  decided_at BIGINT
);
CREATE INDEX keeping_proposals_state ON keeping_proposals(state, proposed_at);

-- The body's own dictionary of words that may not leave: every revision, the highest in force. Append-only.
-- sealed: the dictionary, encrypted with the master key, since its words are secret themselves; hash: keyed.
CREATE TABLE pii_dictionaries (
  revision BIGINT PRIMARY KEY,
  sealed TEXT NOT NULL,
  hash TEXT NOT NULL,
  rules BIGINT NOT NULL,
  terms BIGINT NOT NULL,
  patterns BIGINT NOT NULL,
  reason TEXT NOT NULL,
  person_id TEXT NOT NULL REFERENCES people(id),
  created_at BIGINT NOT NULL
);
CREATE TRIGGER pii_dictionaries_no_update BEFORE UPDATE ON pii_dictionaries BEGIN SELECT RAISE(ABORT, 'dictionaries are append-only'); END;
CREATE TRIGGER pii_dictionaries_no_delete BEFORE DELETE ON pii_dictionaries BEGIN SELECT RAISE(ABORT, 'dictionaries are append-only'); END;

-- How providers are spoken to and reached, and the switch that stops everything outside at once.

-- wire: openai, anthropic, azure, clova. pins: JSON list of base64 SHA-256 of public keys. authority: PEM of the only
-- authority that is trusted, empty for the machine's. sealed_identity: client certificate and key, sealed like the key.
ALTER TABLE providers ADD COLUMN wire TEXT NOT NULL DEFAULT 'openai';
ALTER TABLE providers ADD COLUMN api_version TEXT NOT NULL DEFAULT '';
ALTER TABLE providers ADD COLUMN max_output_tokens BIGINT NOT NULL DEFAULT 2048;
ALTER TABLE providers ADD COLUMN stream BIGINT NOT NULL DEFAULT 0;
ALTER TABLE providers ADD COLUMN pins TEXT NOT NULL DEFAULT '[]';
ALTER TABLE providers ADD COLUMN authority TEXT NOT NULL DEFAULT '';
ALTER TABLE providers ADD COLUMN sealed_identity TEXT NOT NULL DEFAULT '';
ALTER TABLE providers ADD COLUMN connect_ms BIGINT NOT NULL DEFAULT 10000;
ALTER TABLE providers ADD COLUMN first_byte_ms BIGINT NOT NULL DEFAULT 90000;
ALTER TABLE providers ADD COLUMN total_ms BIGINT NOT NULL DEFAULT 120000;

-- One row. While it is stopped no intent to send can be committed.
CREATE TABLE outside_switch (
  id BIGINT PRIMARY KEY,
  stopped BIGINT NOT NULL,
  reason TEXT NOT NULL,
  person_id TEXT REFERENCES people(id),
  changed_at BIGINT NOT NULL
);
INSERT INTO outside_switch (id, stopped, reason, person_id, changed_at) VALUES (1, 0, '', NULL, 0);

-- The Merkle tree over the ledger (RFC 6962), the keys that sign it and what they signed.

-- The tree as it stands: head is the hash of the last record in it, frontier the hex of its complete subtrees.
CREATE TABLE ledger_tree (
  id BIGINT PRIMARY KEY,
  size BIGINT NOT NULL,
  head TEXT NOT NULL,
  frontier TEXT NOT NULL
);
INSERT INTO ledger_tree (id, size, head, frontier)
  VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000', '0000000000000000');

-- Complete nodes of every eighth level, level 0 the leaves: base64. Append-only.
CREATE TABLE ledger_hashes (
  level BIGINT NOT NULL,
  place BIGINT NOT NULL,
  hash TEXT NOT NULL,
  PRIMARY KEY (level, place)
);

-- public: the verifier key as text; its name is the log's origin. sealed: the private key, null once it was replaced.
CREATE TABLE ledger_keys (
  number BIGINT PRIMARY KEY,
  public TEXT NOT NULL UNIQUE,
  sealed TEXT,
  created_at BIGINT NOT NULL,
  retired_at BIGINT
);

-- note: the checkpoint with the log's signatures and the witnesses'. hands_over: names the log's next key.
CREATE TABLE ledger_checkpoints (
  number BIGINT PRIMARY KEY,
  size BIGINT NOT NULL,
  root TEXT NOT NULL,
  note TEXT NOT NULL,
  hands_over BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  witnessed_at BIGINT
);
CREATE INDEX ledger_checkpoints_size ON ledger_checkpoints(size, number);
CREATE INDEX ledger_checkpoints_witnessed ON ledger_checkpoints(witnessed_at, number);

CREATE TRIGGER ledger_hashes_append_only BEFORE UPDATE OR DELETE ON ledger_hashes FOR EACH ROW EXECUTE FUNCTION madang_refuse();
CREATE TRIGGER ledger_checkpoints_append_only BEFORE DELETE ON ledger_checkpoints FOR EACH ROW EXECUTE FUNCTION madang_refuse();

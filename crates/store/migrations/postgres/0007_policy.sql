-- Rules for outside calls: policies, what they decided on each call, the approvals given, and what was spent.

-- Every policy that was ever in force, as it was written; the highest revision is in force. Append-only.
CREATE TABLE policies (
  revision BIGINT PRIMARY KEY,
  hash TEXT NOT NULL,
  text TEXT NOT NULL,
  reason TEXT NOT NULL,
  person_id TEXT REFERENCES people(id),
  created_at BIGINT NOT NULL
);
CREATE TRIGGER policies_append_only BEFORE UPDATE OR DELETE ON policies FOR EACH ROW EXECUTE FUNCTION madang_refuse();

-- state has two more: denied (the policy refused it; nobody could approve it), lapsed (no decision within the deadline).
-- verdict: what the policy said when it was asked for; decision, needs, facts: JSON, of `madang-policy`.
ALTER TABLE external_calls ADD COLUMN policy_revision BIGINT;
ALTER TABLE external_calls ADD COLUMN policy_hash TEXT;
ALTER TABLE external_calls ADD COLUMN verdict TEXT;
ALTER TABLE external_calls ADD COLUMN decision TEXT;
ALTER TABLE external_calls ADD COLUMN needs TEXT;
ALTER TABLE external_calls ADD COLUMN facts TEXT;
ALTER TABLE external_calls ADD COLUMN masked BIGINT NOT NULL DEFAULT 0;
-- Last moment for a decision.
ALTER TABLE external_calls ADD COLUMN deadline_at BIGINT;
-- Highest grade that a source had before a named officer lowered it.
ALTER TABLE external_calls ADD COLUMN regraded_from TEXT;
-- What an officer has to read; a keyed sketch of it (hex of 64 bits) finds near copies.
ALTER TABLE external_calls ADD COLUMN characters BIGINT NOT NULL DEFAULT 0;
ALTER TABLE external_calls ADD COLUMN sketch TEXT;
-- The engine inside had found an answer.
ALTER TABLE external_calls ADD COLUMN answered_inside BIGINT NOT NULL DEFAULT 0;
-- The most it may cost (tokens, micro-won), and what it did cost; price_version names the prices.
ALTER TABLE external_calls ADD COLUMN tokens_most BIGINT NOT NULL DEFAULT 0;
ALTER TABLE external_calls ADD COLUMN won_most BIGINT;
ALTER TABLE external_calls ADD COLUMN won_spent BIGINT;
ALTER TABLE external_calls ADD COLUMN price_version TEXT;
-- Milliseconds from the intent to the outcome.
ALTER TABLE external_calls ADD COLUMN latency_ms BIGINT;
-- The sent call whose reply answers this one: nothing left.
ALTER TABLE external_calls ADD COLUMN reply_from TEXT;
-- Sealed texts were deleted at the end of their retention.
ALTER TABLE external_calls ADD COLUMN erased_at BIGINT;
CREATE INDEX external_calls_body ON external_calls(body_hmac);
CREATE INDEX external_calls_created ON external_calls(created_at);

-- Who opened an envelope to decide on it, and what they decided. need: its place in the call's needs; posts: JSON.
CREATE TABLE call_approvals (
  call_id TEXT NOT NULL REFERENCES external_calls(id),
  person_id TEXT NOT NULL REFERENCES people(id),
  posts TEXT NOT NULL,
  opened_at BIGINT,
  decided_at BIGINT,
  approved BIGINT,
  -- The bytes it was given for; an approval of other bytes counts for nothing.
  body_hmac TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (call_id, person_id)
);

-- Officers who are away, from and until as Unix milliseconds.
CREATE TABLE officer_absences (
  id TEXT PRIMARY KEY,
  person_id TEXT NOT NULL REFERENCES people(id),
  from_at BIGINT NOT NULL,
  until_at BIGINT NOT NULL
);

-- Budgets: accounts of a subject over a period, and what is held back for calls under way. won: micro-won.
CREATE TABLE budget_accounts (
  per TEXT NOT NULL,
  subject TEXT NOT NULL,
  period TEXT NOT NULL,
  starts TEXT NOT NULL,
  used_won BIGINT NOT NULL,
  used_tokens BIGINT NOT NULL,
  used_calls BIGINT NOT NULL,
  held_won BIGINT NOT NULL,
  held_tokens BIGINT NOT NULL,
  held_calls BIGINT NOT NULL,
  PRIMARY KEY (per, subject, period, starts)
);
CREATE TABLE budget_reservations (
  call_id TEXT PRIMARY KEY REFERENCES external_calls(id),
  reservation TEXT NOT NULL
);

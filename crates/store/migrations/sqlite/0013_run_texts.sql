-- The texts of runs go after a time, as those of outside calls do; the row stays.

-- erasure: the deletion in which they went; text_hmac: over the deleted texts; trial_of: the app of a deleted draft
-- whose trial is kept by a hold.
ALTER TABLE runs ADD COLUMN erased_at BIGINT;
ALTER TABLE runs ADD COLUMN erasure TEXT;
ALTER TABLE runs ADD COLUMN text_hmac TEXT;
ALTER TABLE runs ADD COLUMN trial_of TEXT;
CREATE INDEX runs_erasure ON runs(erasure);
CREATE INDEX runs_with_texts ON runs(started_at) WHERE erased_at IS NULL;

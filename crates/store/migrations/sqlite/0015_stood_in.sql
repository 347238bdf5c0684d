-- For which of the call's needs (JSON, their places) an approval stood in for officers who were not there, and for how
-- many hours it was given.
ALTER TABLE call_approvals ADD COLUMN stood_in TEXT NOT NULL DEFAULT '[]';
ALTER TABLE call_approvals ADD COLUMN hours BIGINT;

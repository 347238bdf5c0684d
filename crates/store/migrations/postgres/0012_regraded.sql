-- Highest grade that a collection had before a named officer lowered it.
ALTER TABLE collections ADD COLUMN regraded_from TEXT;
UPDATE collections SET regraded_from = (
  SELECT CASE WHEN SUM(CASE WHEN l.payload LIKE '%"grade":{"from":"C"%' THEN 1 ELSE 0 END) > 0 THEN 'C' WHEN COUNT(*) > 0 THEN 'S' END
  FROM ledger l WHERE l.payload LIKE '%"action":"grade_lowered"%' AND l.payload LIKE '%"collection":"' || collections.id || '"%');

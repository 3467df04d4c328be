-- name: claim_archive
-- Write down whose index this is, unless that is written already.
INSERT INTO archive (id)
VALUES (%s::uuid)
ON CONFLICT (only_one) DO NOTHING;

-- name: find_archive
-- Whose index this is.
SELECT id::text
  FROM archive;

-- name: count_contents
-- What the archive holds: for people, so a walk over the state of every study is good enough.
SELECT (SELECT count(*) FROM patient),
       count(*),
       coalesce(sum(series), 0),
       coalesce(sum(instances), 0),
       coalesce(sum(size), 0),
       (SELECT count(*) FROM instance WHERE NOT current),
       pg_database_size(current_database())
  FROM study_state
 WHERE instances > 0;

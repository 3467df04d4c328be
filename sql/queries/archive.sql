-- name: claim_archive
-- Write down whose index this is, unless that is written already.
INSERT INTO archive (id)
VALUES (%s::uuid)
ON CONFLICT (only_one) DO NOTHING;

-- name: find_archive
-- Whose index this is.
SELECT id::text
  FROM archive;

-- name: progress
SELECT begun_at, reached, checked, ended_at, whole_at FROM scrub;

-- name: begin
-- Begin the first walk, or another one where the last has ended.
INSERT INTO scrub DEFAULT VALUES
ON CONFLICT ON CONSTRAINT scrub_pkey DO UPDATE SET
    begun_at = now(), reached = '', checked = 0, ended_at = NULL, whole_at = scrub.ended_at
WHERE scrub.ended_at IS NOT NULL;

-- name: following
-- The blobs that come next, other versions included; not those that were written just now.
SELECT blob_id, size FROM instance
WHERE blob_id > %(after)s AND blob_id < %(before)s
ORDER BY blob_id
LIMIT %(most)s;

-- name: advance
-- Nothing when another process has walked on from there meanwhile.
UPDATE scrub SET reached = %(reached)s, checked = checked + %(count)s
WHERE reached = %(after)s AND ended_at IS NULL;

-- name: end
UPDATE scrub SET ended_at = now() WHERE reached = %(after)s AND ended_at IS NULL;

-- name: note_damage
-- Note that a blob cannot be read, if the catalogue has it still; says where it is missed when that
-- was not known before.
WITH noted AS (
    INSERT INTO damage (blob_id, why)
    SELECT i.blob_id, %(why)s FROM instance i WHERE i.blob_id = %(blob)s
    ON CONFLICT ON CONSTRAINT damage_pkey DO UPDATE SET looked_at = now(), why = excluded.why
    RETURNING blob_id, xmax = 0 AS is_new
)
SELECT s.study_uid, e.series_uid, i.sop_instance_uid
FROM noted n
JOIN instance i USING (blob_id)
JOIN series e USING (series_pk)
JOIN study s USING (study_pk)
WHERE n.is_new;

-- name: mended
-- Forget those that are whole again; says which of them had been noted.
DELETE FROM damage d USING instance i JOIN series e USING (series_pk) JOIN study s USING (study_pk)
WHERE d.blob_id = ANY (%(blobs)s) AND i.blob_id = d.blob_id
RETURNING d.blob_id, s.study_uid, e.series_uid, i.sop_instance_uid;

-- name: forget_purged
DELETE FROM damage d WHERE NOT EXISTS (SELECT FROM instance i WHERE i.blob_id = d.blob_id);

-- name: due_again
-- Those that were not looked at for a while, the longest ago first; not what was deleted meanwhile,
-- which nobody notes as looked at, so that it would come first for ever.
SELECT d.blob_id, i.size FROM damage d JOIN instance i USING (blob_id)
WHERE d.looked_at < now() - make_interval(secs => %(after_s)s)
ORDER BY d.looked_at, d.blob_id
LIMIT %(most)s;

-- name: damaged
SELECT d.blob_id, d.why, d.found_at, s.study_uid, e.series_uid, i.sop_instance_uid
FROM damage d
JOIN instance i USING (blob_id)
JOIN series e USING (series_pk)
JOIN study s USING (study_pk)
ORDER BY d.found_at, d.blob_id
LIMIT %(most)s;

-- name: count_damaged
SELECT count(*) FROM damage d JOIN instance i USING (blob_id);

-- name: list_searchable
-- Every attribute made searchable, and whether all instances are in.
SELECT path, vr, level, ready_at IS NOT NULL
FROM searchable
ORDER BY path;

-- name: add_searchable
-- Make an attribute searchable.
INSERT INTO searchable (path, vr, level)
VALUES (%s, %s, %s)
ON CONFLICT DO NOTHING;

-- name: remove_searchable
-- Forget an attribute.
DELETE FROM searchable WHERE path = %s;

-- name: begin_fill
-- Begin the walk, or begin it anew.
INSERT INTO searchable_fill (newest)
SELECT COALESCE(max(instance_pk), 0) FROM instance
ON CONFLICT (only_one) DO UPDATE
SET reached = 0, newest = excluded.newest, begun_at = now(), ready_at = NULL, unreadable = 0;

-- name: find_fill
-- How far the walk has come.
SELECT reached, newest, ready_at IS NOT NULL, unreadable,
       extract(epoch FROM now() - begun_at)::double precision
FROM searchable_fill;

-- name: lock_fill
-- The walk, held while one batch is done; no row when there is none or somebody else is at it.
SELECT reached, newest, ready_at IS NOT NULL, unreadable,
       extract(epoch FROM now() - begun_at)::double precision
FROM searchable_fill
FOR UPDATE SKIP LOCKED;

-- name: next_instances
-- The next instances of the walk, every version, with their sealed JSON.
SELECT i.instance_pk, i.blob_id, i.key_id, i.key_version, j.sealed
FROM instance i
LEFT JOIN instance_json j USING (instance_pk)
WHERE i.instance_pk > %s
ORDER BY i.instance_pk
LIMIT %s;

-- name: put_extras
-- Write what instances say of added attributes in the place of what they said before.
WITH given AS (
    SELECT i.instance_pk, i.series_pk, e.study_pk, u.study_hash, u.study_terms, u.series_hash,
           u.series_terms, u.own_terms
    FROM unnest(%s, %s, %s, %s, %s, %s)
        AS u (blob_id, study_hash, study_terms, series_hash, series_terms, own_terms)
    JOIN instance i USING (blob_id)
    JOIN series e USING (series_pk)
), of_studies AS (
    INSERT INTO study_extra (study_pk, hash, terms)
    SELECT DISTINCT ON (study_pk, study_hash) study_pk, study_hash, study_terms::jsonb
    FROM given
    WHERE study_hash IS NOT NULL
    ORDER BY study_pk, study_hash
    ON CONFLICT DO NOTHING
), of_series AS (
    INSERT INTO series_extra (series_pk, hash, terms)
    SELECT DISTINCT ON (series_pk, series_hash) series_pk, series_hash, series_terms::jsonb
    FROM given
    WHERE series_hash IS NOT NULL
    ORDER BY series_pk, series_hash
    ON CONFLICT DO NOTHING
), of_nothing AS (
    DELETE FROM instance_extra x
    USING given
    WHERE x.instance_pk = given.instance_pk AND given.study_hash IS NULL
        AND given.series_hash IS NULL AND given.own_terms IS NULL
)
INSERT INTO instance_extra (instance_pk, study_hash, series_hash, terms)
SELECT instance_pk, study_hash, series_hash, own_terms::jsonb
FROM given
WHERE study_hash IS NOT NULL OR series_hash IS NOT NULL OR own_terms IS NOT NULL
ORDER BY instance_pk
ON CONFLICT (instance_pk) DO UPDATE
SET study_hash = excluded.study_hash, series_hash = excluded.series_hash, terms = excluded.terms;

-- name: note_reached
-- Remember how far the walk has come.
UPDATE searchable_fill SET reached = %s, unreadable = unreadable + %s;

-- name: note_ready
-- Every instance there was is in: what was added before the walk can be matched on. The walk then
-- looks again at what came in while it went on, from a little before the newest of then.
UPDATE searchable_fill
SET ready_at = now(), reached = greatest(newest - 10000, 0);

-- name: note_searchable_ready
-- The attributes added before the walk began can be matched on.
UPDATE searchable s
SET ready_at = now()
FROM searchable_fill f
WHERE s.ready_at IS NULL AND s.added_at <= f.begun_at;

-- name: end_fill
-- The walk is over.
DELETE FROM searchable_fill;

-- name: drop_stale_of_studies
-- Of the studies of some instances, remove terms that no instance carries any more.
DELETE FROM study_extra x
USING (
    SELECT DISTINCT e.study_pk FROM instance i JOIN series e USING (series_pk)
    WHERE i.instance_pk = ANY (%s)) AS touched
WHERE x.study_pk = touched.study_pk AND NOT EXISTS (
    SELECT FROM series e
    JOIN instance i USING (series_pk)
    JOIN instance_extra y USING (instance_pk)
    WHERE e.study_pk = x.study_pk AND y.study_hash = x.hash);

-- name: drop_stale_of_series
-- Of the series of some instances, remove terms that no instance carries any more.
DELETE FROM series_extra x
USING (SELECT DISTINCT i.series_pk FROM instance i WHERE i.instance_pk = ANY (%s)) AS touched
WHERE x.series_pk = touched.series_pk AND NOT EXISTS (
    SELECT FROM instance i
    JOIN instance_extra y USING (instance_pk)
    WHERE i.series_pk = x.series_pk AND y.series_hash = x.hash);

-- name: clear_extras
-- Nothing is searchable any more: forget every value.
TRUNCATE study_extra, series_extra, instance_extra;

-- name: held_instances
-- The current versions of some SOP Instance UIDs, wherever they are at home.
SELECT
    s.study_uid, e.series_uid, i.sop_instance_uid, i.sop_class_uid, i.blob_id, b.header,
    b.payload_len, i.digest
FROM instance i
JOIN series e USING (series_pk)
JOIN study s USING (study_pk)
JOIN instance_blob b USING (instance_pk)
WHERE i.sop_instance_uid = ANY (%s) AND i.current;

-- name: targets
-- Every version of what a study, one of its series or one instance holds, with its study key.
SELECT e.series_uid, i.sop_instance_uid, i.blob_id, i.key_id, i.size
FROM study s
JOIN series e USING (study_pk)
JOIN instance i USING (series_pk)
WHERE s.study_uid = %(study)s
    AND (%(series)s::text IS NULL OR e.series_uid = %(series)s)
    AND (%(instance)s::text IS NULL OR i.sop_instance_uid = %(instance)s)
ORDER BY e.series_uid, i.sop_instance_uid, i.blob_id;

-- name: places_of
-- Where a UID stands that is told without its level: as a study, a series, an instance.
SELECT s.study_uid, NULL, NULL
FROM study s JOIN study_state t USING (study_pk)
WHERE s.study_uid = %(uid)s AND t.instances > 0
UNION ALL
SELECT s.study_uid, e.series_uid, NULL
FROM series e JOIN study s USING (study_pk) JOIN series_state r USING (series_pk)
WHERE e.series_uid = %(uid)s AND r.instances > 0
UNION ALL
SELECT s.study_uid, e.series_uid, i.sop_instance_uid
FROM instance i JOIN series e USING (series_pk) JOIN study s USING (study_pk)
WHERE i.sop_instance_uid = %(uid)s AND i.current;

-- name: deleted_places_of
-- The same among what was deleted and can be brought back.
SELECT DISTINCT
    d.study_uid,
    CASE WHEN d.study_uid <> %(uid)s THEN d.series_uid END,
    CASE WHEN %(uid)s NOT IN (d.study_uid, d.series_uid) THEN d.sop_instance_uid END
FROM deleted_instance d
JOIN deletion o USING (deletion_id)
WHERE %(uid)s IN (d.study_uid, d.series_uid, d.sop_instance_uid)
    AND o.purging_at IS NULL
    AND (o.due_at > now() OR o.study_uid IN (SELECT h.study_uid FROM held_study h));

-- name: mark_applied
-- Note that journal entries have taken effect; says which had not before.
INSERT INTO journal_entry (entry_id, op)
SELECT u, %(op)s FROM unnest(%(entries)s::bytea[]) AS u
ORDER BY u
ON CONFLICT DO NOTHING
RETURNING entry_id;

-- name: find_applied
-- Which of these journal entries have taken effect.
SELECT entry_id FROM journal_entry WHERE entry_id = ANY (%s);

-- name: lock_study
-- Keep a study and its series as they are; nobody adds to them until this transaction ends.
SELECT study_pk FROM study WHERE study_uid = %s FOR UPDATE;

-- name: lock_series
-- The series that hold these blobs, and their studies.
SELECT e.series_pk, e.study_pk
FROM series e
WHERE e.series_pk IN (SELECT i.series_pk FROM instance i WHERE i.blob_id = ANY (%s))
ORDER BY e.series_pk
FOR UPDATE;

-- name: lock_all_versions
-- Keep every version of the SOP Instance UIDs of these blobs as it is.
SELECT instance_pk FROM instance
WHERE (current OR NOT current)  -- see find_versions
    AND sop_instance_uid = ANY (ARRAY(
        SELECT i.sop_instance_uid FROM instance i WHERE i.blob_id = ANY (%s)))
ORDER BY instance_pk
FOR UPDATE;

-- name: forget_instances
-- Take blobs out of the catalogue; see the function's comment.
SELECT of_series, sop_uid FROM forget_instances(%s);

-- name: identities_of
-- The identities that studies point to, also by attributes they do not show.
SELECT patient_pk FROM study WHERE study_pk = ANY (%(studies)s)
UNION
SELECT patient_pk FROM study_difference WHERE study_pk = ANY (%(studies)s);

-- name: clear_series
-- Remove series that hold nothing any more.
DELETE FROM series e
WHERE e.series_pk = ANY (%s)
    AND NOT EXISTS (SELECT FROM instance i WHERE i.series_pk = e.series_pk);

-- name: clear_series_differences
-- Remove attributes of series that no instance carries any more.
DELETE FROM series_difference d
WHERE d.series_pk = ANY (%s)
    AND NOT EXISTS (
        SELECT FROM instance i
        WHERE i.series_pk = d.series_pk AND i.series_variant = d.variant);

-- name: clear_studies
-- Remove studies that have no series any more.
DELETE FROM study s
WHERE s.study_pk = ANY (%s)
    AND NOT EXISTS (SELECT FROM series e WHERE e.study_pk = s.study_pk);

-- name: clear_study_differences
-- Remove attributes of studies that no instance carries any more.
DELETE FROM study_difference d
WHERE d.study_pk = ANY (%s)
    AND NOT EXISTS (
        SELECT FROM series e JOIN instance i USING (series_pk)
        WHERE e.study_pk = d.study_pk AND i.study_variant = d.variant);

-- name: clear_extras
-- Remove values of added attributes that no instance of a study or series carries any more.
WITH of_series AS (
    DELETE FROM series_extra x
    WHERE x.series_pk = ANY (%(series)s)
        AND NOT EXISTS (
            SELECT FROM instance i JOIN instance_extra y USING (instance_pk)
            WHERE i.series_pk = x.series_pk AND y.series_hash = x.hash)
)
DELETE FROM study_extra x
WHERE x.study_pk = ANY (%(studies)s)
    AND NOT EXISTS (
        SELECT FROM series e JOIN instance i USING (series_pk) JOIN instance_extra y USING (instance_pk)
        WHERE e.study_pk = x.study_pk AND y.study_hash = x.hash);

-- name: clear_patients
-- Remove identities that no study points to any more.
DELETE FROM patient p
WHERE p.patient_pk = ANY (%s)
    AND NOT EXISTS (SELECT FROM study s WHERE s.patient_pk = p.patient_pk)
    AND NOT EXISTS (SELECT FROM study_difference d WHERE d.patient_pk = p.patient_pk);

-- name: add_deletion
-- Write down an act of deletion.
INSERT INTO deletion
    (deletion_id, deleted_at, due_at, actor, study_uid, series_uid, sop_instance_uid)
VALUES
    (%(deletion)s, %(at)s, %(due)s, %(actor)s, %(study)s, %(series)s, %(instance)s)
ON CONFLICT DO NOTHING;

-- name: add_deleted
-- Write down the blobs it names.
INSERT INTO deleted_instance
    (deletion_id, blob_id, key_id, size, study_uid, series_uid, sop_instance_uid)
SELECT %s, u.blob_id, u.key_id, u.size, %s, u.series_uid, u.sop_instance_uid
FROM unnest(%s, %s, %s, %s, %s) AS u (blob_id, key_id, size, series_uid, sop_instance_uid)
ON CONFLICT DO NOTHING;

-- name: find_dead
-- Which of these blobs were deleted.
SELECT DISTINCT blob_id FROM deleted_instance WHERE blob_id = ANY (%s);

-- name: is_gone
-- Whether something was deleted and nothing has come in its place.
SELECT EXISTS (
        SELECT FROM deleted_instance d
        WHERE d.study_uid = %(study)s
            AND (%(series)s::text IS NULL OR d.series_uid = %(series)s)
            AND (%(instance)s::text IS NULL OR d.sop_instance_uid = %(instance)s))
    AND NOT EXISTS (
        SELECT FROM study s
        JOIN series e USING (study_pk)
        JOIN instance i USING (series_pk)
        WHERE s.study_uid = %(study)s AND i.current
            AND (%(series)s::text IS NULL OR e.series_uid = %(series)s)
            AND (%(instance)s::text IS NULL OR i.sop_instance_uid = %(instance)s));

-- name: hold_deletions
-- Keep deletions from being purged while they are undone, which may take its time.
UPDATE deletion o
SET due_at = greatest(o.due_at, now() + interval '1 day')
WHERE o.purging_at IS NULL
    AND (o.due_at > now() OR o.study_uid IN (SELECT h.study_uid FROM held_study h))
    AND o.study_uid = %(study)s
    AND o.deletion_id IN (  -- by the study: acts of deletion are never forgotten
        SELECT d.deletion_id FROM deleted_instance d
        WHERE d.study_uid = %(study)s
            AND (%(series)s::text IS NULL OR d.series_uid = %(series)s)
            AND (%(instance)s::text IS NULL OR d.sop_instance_uid = %(instance)s))
RETURNING o.deletion_id;

-- name: restorable
-- The blobs below a reference that deletions name, with every deletion that names them.
SELECT d.deletion_id, d.blob_id
FROM deleted_instance d
JOIN deletion o USING (deletion_id)
WHERE d.study_uid = %(study)s
    AND (%(series)s::text IS NULL OR d.series_uid = %(series)s)
    AND (%(instance)s::text IS NULL OR d.sop_instance_uid = %(instance)s)
    AND o.purging_at IS NULL
    AND NOT EXISTS (
        SELECT FROM deleted_instance x JOIN deletion p USING (deletion_id)
        WHERE x.blob_id = d.blob_id AND p.purging_at IS NOT NULL)
ORDER BY d.blob_id, d.deletion_id;

-- name: remove_deleted
-- Forget that blobs were deleted.
DELETE FROM deleted_instance d
USING unnest(%s, %s) AS u (deletion_id, blob_id)
WHERE d.deletion_id = u.deletion_id AND d.blob_id = u.blob_id
RETURNING d.blob_id;

-- name: clear_deletions
-- Remove acts of deletion that name nothing any more.
DELETE FROM deletion o
WHERE o.deletion_id = ANY (%s)
    AND NOT EXISTS (SELECT FROM deleted_instance d WHERE d.deletion_id = o.deletion_id);

-- name: list_deletions
-- What can still be brought back, the latest first.
SELECT o.deletion_id, o.study_uid, o.series_uid, o.sop_instance_uid, o.deleted_at, o.due_at,
       o.actor, count(*), sum(d.size)::bigint
FROM deletion o
JOIN deleted_instance d USING (deletion_id)
WHERE o.purging_at IS NULL
    AND (o.due_at > now() OR o.study_uid IN (SELECT h.study_uid FROM held_study h))
    AND o.purged_at IS NULL  -- as its index has it
GROUP BY o.deletion_id
ORDER BY o.deleted_at DESC, o.deletion_id
LIMIT %s;

-- name: count_deletions
-- What is deleted and not purged: acts, blobs, bytes.
SELECT count(DISTINCT o.deletion_id), count(d.blob_id), coalesce(sum(d.size), 0)::bigint
FROM deletion o
JOIN deleted_instance d USING (deletion_id)
WHERE o.purged_at IS NULL;

-- name: begin_purge
-- From now on these deletions cannot be undone: their time has come, or was begun before a crash.
-- Not of a study that is held.
UPDATE deletion
SET purging_at = coalesce(purging_at, now())
WHERE deletion_id IN (
    SELECT deletion_id FROM deletion
    WHERE purged_at IS NULL
        AND (purging_at IS NOT NULL
            OR due_at <= now() AND study_uid NOT IN (SELECT h.study_uid FROM held_study h))
    ORDER BY due_at, deletion_id
    LIMIT %s
    FOR UPDATE SKIP LOCKED)
RETURNING deletion_id, study_uid, series_uid, sop_instance_uid;

-- name: graves_of
-- The blobs of a deletion that no deletion still to be undone names as well.
SELECT d.blob_id, d.key_id
FROM deleted_instance d
WHERE d.deletion_id = %s
    AND NOT EXISTS (
        SELECT FROM deleted_instance x JOIN deletion p USING (deletion_id)
        WHERE x.blob_id = d.blob_id AND p.purging_at IS NULL);

-- name: end_purge
-- Note that the blobs of a deletion are gone.
UPDATE deletion SET purged_at = now() WHERE deletion_id = %s AND purged_at IS NULL;

-- name: keys_in_use
-- Which of a study's keys an instance that can be found, or brought back, is sealed under.
SELECT i.key_id
FROM study s
JOIN series e USING (study_pk)
JOIN instance i USING (series_pk)
WHERE s.study_uid = %(study)s AND i.key_id = ANY (%(keys)s)
UNION
SELECT d.key_id
FROM deleted_instance d
JOIN deletion o USING (deletion_id)
WHERE d.key_id = ANY (%(keys)s) AND o.purging_at IS NULL;

-- name: add_dying_keys
-- Write down keys that are to be destroyed as soon as that is safe.
INSERT INTO dying_key (key_id, study_uid)
SELECT u, %s FROM unnest(%s) AS u
ON CONFLICT DO NOTHING;

-- name: list_dying_keys
-- The keys that wait to be destroyed.
SELECT study_uid, array_agg(key_id ORDER BY key_id) FROM dying_key GROUP BY study_uid;

-- name: remove_dying_keys
-- Keys that were destroyed, or are needed again.
DELETE FROM dying_key WHERE key_id = ANY (%s);

-- name: begin_feed
-- Begin the change feed anew: nobody who followed the old one may go on as if nothing had happened.
UPDATE feed
SET feed_id = gen_random_uuid(),
    settled_id = (SELECT coalesce(max(id), 0) FROM audit),
    pending_id = 0,
    pending_xid = '0';

-- name: clear_changes
-- Forget the order of the old feed.
TRUNCATE change;

-- name: add_commitment
-- Write a request for commitment down, unless its transaction UID is in use.
INSERT INTO commitment
    (transaction_uid, principal, actor_kind, scope, request, claims, reasons, finished_at)
VALUES
    (%(transaction)s, %(principal)s, %(kind)s, %(scope)s::jsonb, %(request)s::jsonb, %(claims)s,
     %(reasons)s, CASE WHEN %(is_done)s THEN now() END)
ON CONFLICT DO NOTHING;

-- name: find_commitment
-- A request for commitment, and how far it is.
SELECT principal, actor_kind, request, claims, reasons, finished_at IS NOT NULL,
       expired_at IS NOT NULL
FROM commitment
WHERE transaction_uid = %s;

-- name: has_commitment
-- Whether a transaction UID is in use.
SELECT EXISTS (SELECT FROM commitment WHERE transaction_uid = %s);

-- name: claim_commitment
-- Take the oldest request that is not finished and that nobody is at work on.
UPDATE commitment
SET worker = %(worker)s, leased_until = now() + make_interval(secs => %(lease_s)s)
WHERE transaction_uid = (
    SELECT transaction_uid FROM commitment
    WHERE finished_at IS NULL AND (leased_until IS NULL OR leased_until < now())
    ORDER BY requested_at, transaction_uid
    LIMIT 1
    FOR UPDATE SKIP LOCKED)
RETURNING transaction_uid, principal, actor_kind, scope, request, reasons;

-- name: add_reasons
-- Write down the next answers, and go on; nothing when another worker has taken the request over.
UPDATE commitment
SET reasons = reasons || %(reasons)s,
    leased_until = now() + make_interval(secs => %(lease_s)s),
    finished_at = CASE WHEN cardinality(reasons) + cardinality(%(reasons)s::integer[]) = claims
        THEN now() END
WHERE transaction_uid = %(transaction)s AND worker = %(worker)s
    AND cardinality(reasons) = %(at)s AND finished_at IS NULL
RETURNING finished_at IS NOT NULL;

-- name: release_commitment
-- Let another worker take a request over at once.
UPDATE commitment SET leased_until = NULL
WHERE transaction_uid = %(transaction)s AND worker = %(worker)s;

-- name: expire_commitments
-- Drop results that were kept long enough; their transaction UIDs stay known.
UPDATE commitment
SET expired_at = now(), request = NULL, reasons = '{}'
WHERE expired_at IS NULL AND finished_at < now() - make_interval(secs => %s);

-- name: forget_commitments
-- Forget transaction UIDs whose results expired long ago.
DELETE FROM commitment WHERE expired_at < now() - make_interval(secs => %s);

-- name: feed_behind
-- Whether changes wait to be put in order, or so much else was written that it is time to look on.
-- The first one in order: asked for any, PostgreSQL reads the trail from its beginning.
SELECT (
        SELECT a.id FROM audit a
        WHERE a.id > (SELECT f.settled_id FROM feed f)
            AND a.kind = ANY (%(kinds)s) AND a.outcome = ANY (%(outcomes)s)
            AND NOT EXISTS (SELECT FROM change c WHERE c.audit_id = a.id)
        ORDER BY a.id
        LIMIT 1) IS NOT NULL
    OR (SELECT coalesce(max(a.id), 0) FROM audit a) > (SELECT f.settled_id + %(most)s FROM feed f);

-- name: last_audit_id
-- The last id given to an audit row, whether or not it is committed.
SELECT last_value FROM audit_id_seq;

-- name: lock_feed
-- Put changes in order alone. The number of this transaction is drawn here.
SELECT settled_id, pending_id, pending_xid::text::bigint FROM feed FOR UPDATE;

-- name: horizon
-- The oldest transaction that is still open, and this one. (The end of a snapshot is no horizon:
-- a transaction that is open may have a higher number, for it is the last one completed that counts.)
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
       pg_current_xact_id()::text::bigint;

-- name: order_changes
-- Put committed changes that have no place yet behind those that have, and say how far that went.
WITH fresh AS (
    SELECT a.id
    FROM audit a
    WHERE a.id > %(settled)s AND a.kind = ANY (%(kinds)s) AND a.outcome = ANY (%(outcomes)s)
        AND NOT EXISTS (SELECT FROM change c WHERE c.audit_id = a.id)
    ORDER BY a.id
    LIMIT %(most)s
), added AS (
    INSERT INTO change (sequence, audit_id)
    SELECT (SELECT coalesce(max(sequence), 0) FROM change) + row_number() OVER (ORDER BY id), id
    FROM fresh
)
SELECT count(*), max(id) FROM fresh;

-- name: settle_feed
-- Note how far all is in order, and from where the next look will tell more.
UPDATE feed
SET settled_id = %(settled)s, pending_id = %(pending)s, pending_xid = %(xid)s::text::xid8;

-- name: feed_state
-- Which feed this is, and its last change.
SELECT feed_id::text, (SELECT coalesce(max(sequence), 0) FROM change) FROM feed;

-- name: changes_after
-- The changes behind a place, in order; those of shares with all studies of the share.
SELECT c.sequence, a.at, a.kind, a.study, a.series, a.instance, a.detail -> 'current',
       s.share_id, CASE WHEN s.share_id IS NOT NULL THEN (a.detail ->> 'grant')::bigint END,
       s.studies
FROM change c
JOIN audit a ON a.id = c.audit_id
LEFT JOIN share s
    ON s.share_id = CASE WHEN a.kind ~ '^(share|grant)[.]' THEN (a.detail ->> 'share')::bigint END
WHERE c.sequence > %s
ORDER BY c.sequence
LIMIT %s;

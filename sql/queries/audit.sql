-- name: insert_audit
-- Write down any number of acts in one statement. Rows without a time of their own take that of
-- the transaction they belong to.
INSERT INTO audit
    (at, kind, outcome, principal, actor_kind, address, study, series, instance, detail)
SELECT coalesce(act.at, now()), act.kind, act.outcome, act.principal, act.actor_kind, act.address,
       act.study, act.series, act.instance, act.detail::jsonb
  FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
              %s::text[], %s::text[], %s::text[], %s::text[])
       WITH ORDINALITY
    AS act (at, kind, outcome, principal, actor_kind, address, study, series, instance, detail,
            number)
 ORDER BY act.number;

-- name: newest_row
-- The newest row, by its id and time.
SELECT id, at FROM audit ORDER BY id DESC LIMIT 1;

-- name: ends
-- The first and the last id, or nothing.
SELECT min(id), max(id) FROM audit HAVING max(id) IS NOT NULL;

-- name: has_row
-- Whether a row stands where one stood.
SELECT EXISTS (SELECT FROM audit WHERE id = %s AND at = %s);

-- name: search_audit
-- Rows between two places, in order of their ids, each with its link when it is sealed.
SELECT a.id, a.at, a.kind, a.outcome, a.principal, a.actor_kind, a.address, a.study, a.series,
       a.instance, a.detail, audit_as_json(a)::text, s.seal_seq, s.prev_hash, s.hash
  FROM audit a
  LEFT JOIN audit_seal s ON s.audit_id = a.id
 WHERE a.id > %(after)s AND a.id <= %(upto)s
   AND (%(studies)s::text[] IS NULL OR a.study = ANY (%(studies)s)
        OR (a.study IS NULL AND a.kind = 'sent' AND a.detail -> 'studies' ?| %(studies)s))
   AND (%(principal)s::text IS NULL OR a.principal = %(principal)s
        OR starts_with(a.principal, %(principal)s || '#for-'))
   AND (%(address)s::text IS NULL OR a.address = %(address)s)
   AND (%(kinds)s::text[] IS NULL OR a.kind = ANY (%(kinds)s)
        OR EXISTS (SELECT FROM unnest(%(kinds)s) kind WHERE starts_with(a.kind, kind || '.')))
   AND (%(since)s::timestamptz IS NULL OR a.at >= %(since)s)
   AND (%(until)s::timestamptz IS NULL OR a.at < %(until)s)
 ORDER BY a.id
 LIMIT %(most)s;

-- name: studies_of
-- The studies held of a patient of an issuer, or of any with none named, or the one study of that
-- UID; with whose they are, where the patient was asked for.
-- Two questions: one with both conditions reads all studies.
SELECT s.study_uid, p.issuer
  FROM study s JOIN patient p USING (patient_pk)
 WHERE p.patient_id = %(of)s AND (%(issuer)s::text IS NULL OR p.issuer = %(issuer)s)
 UNION
SELECT s.study_uid, CASE WHEN p.patient_id = %(of)s THEN p.issuer END
  FROM study s JOIN patient p USING (patient_pk)
 WHERE s.study_uid = %(of)s
 ORDER BY 1;

-- name: patients_of
-- Whose the studies are, as far as they are still held.
SELECT s.study_uid, p.patient_id, p.issuer FROM study s JOIN patient p USING (patient_pk)
 WHERE s.study_uid = ANY (%s) AND p.patient_id <> '';

-- name: list_openings
-- What was seen of some studies, given on or sent, the latest first, before a place.
WITH found AS MATERIALIZED (
    SELECT a.id, a.at, a.kind, a.principal, a.actor_kind, a.study, a.detail
      FROM audit a
     WHERE a.study = ANY (%(studies)s) AND a.kind IN ('read', 'sent', 'export', 'share.offered')
       AND a.id < %(before)s
    UNION ALL
    SELECT a.id, a.at, a.kind, a.principal, a.actor_kind, a.study, a.detail
      FROM audit a
     WHERE a.study IS NULL AND a.kind = 'sent' AND a.detail -> 'studies' ?| %(studies)s
       AND a.id < %(before)s)
SELECT id, at, kind, principal, actor_kind, study, detail
  FROM found
 ORDER BY id DESC
 LIMIT %(most)s;

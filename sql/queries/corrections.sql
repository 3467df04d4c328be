-- name: lock_corrections
-- Corrections of a study come one after the other.
SELECT pg_advisory_xact_lock(hashtextextended('correct ' || current_schema() || ' ' || %s, 0));

-- name: hold_corrections
-- Let nobody correct these studies until this transaction ends, as lock_corrections does.
SELECT pg_advisory_xact_lock_shared(
    hashtextextended('correct ' || current_schema() || ' ' || u.study_uid, 0))
FROM (SELECT DISTINCT study_uid FROM unnest(%s) AS study_uid ORDER BY study_uid) AS u;

-- name: add_correction
-- Write down an act of correction; nothing when it is known.
INSERT INTO correction (correction_id, study_uid, at, actor, reason, changes)
VALUES (%s, %s, %s, %s, %s, %s::jsonb)
    ON CONFLICT DO NOTHING;

-- name: take_undone
-- An undoing that was read before its correction takes effect with it.
WITH gone AS (
    DELETE FROM undone_correction WHERE correction_id = %s RETURNING correction_id, at, actor, reason)
UPDATE correction c
   SET undone_at = gone.at, undone_by = gone.actor, undone_why = gone.reason
  FROM gone
 WHERE c.correction_id = gone.correction_id;

-- name: undo_correction
-- Undo a correction that stands; gives it when it is there.
UPDATE correction
   SET undone_at = coalesce(undone_at, %(at)s), undone_by = coalesce(undone_by, %(actor)s),
       undone_why = coalesce(undone_why, %(reason)s)
 WHERE correction_id = %(correction)s
RETURNING correction_id;

-- name: add_undone
-- Remember an undoing whose correction was not read yet.
INSERT INTO undone_correction (correction_id, at, actor, reason)
VALUES (%(correction)s, %(at)s, %(actor)s, %(reason)s)
    ON CONFLICT DO NOTHING;

-- name: find_correction
-- One act of correction.
SELECT correction_id, study_uid, at, actor, reason, changes, undone_at, undone_by, undone_why
  FROM correction
 WHERE correction_id = %s;

-- name: list_corrections
-- The corrections of a study in order of time; of all studies the latest first.
SELECT correction_id, study_uid, at, actor, reason, changes, undone_at, undone_by, undone_why
  FROM correction
 WHERE study_uid = %s
 ORDER BY correction_id;

-- name: list_corrected
-- Studies that show a correction, the latest first.
SELECT study_uid, corrected_at, changes
  FROM study_overlay
 ORDER BY version DESC
 LIMIT %s;

-- name: put_overlay
-- Keep what stands of all corrections of a study.
INSERT INTO study_overlay (
       study_uid, version, corrected_at, changes, elements, of_issuer, of_id, issuer, patient_id,
       patient_name, patient_codes, birth_date, sex, accession, description)
VALUES (%(study_uid)s, %(version)s, %(corrected_at)s, %(changes)s::jsonb, %(elements)s::jsonb,
       %(of_issuer)s, %(of_id)s, %(issuer)s, %(patient_id)s, %(patient_name)s, %(patient_codes)s,
       %(birth_date)s, %(sex)s, %(accession)s, %(description)s)
    ON CONFLICT (study_uid) DO UPDATE
   SET version = excluded.version, corrected_at = excluded.corrected_at,
       changes = excluded.changes, elements = excluded.elements, of_issuer = excluded.of_issuer,
       of_id = excluded.of_id, issuer = excluded.issuer, patient_id = excluded.patient_id,
       patient_name = excluded.patient_name, patient_codes = excluded.patient_codes,
       birth_date = excluded.birth_date, sex = excluded.sex, accession = excluded.accession,
       description = excluded.description;

-- name: remove_overlay
-- Nothing stands of the corrections of a study any more.
DELETE FROM study_overlay
 WHERE study_uid = %s;

-- name: keep_received
-- Keep what a study was received with, before it is corrected for the first time.
INSERT INTO study_received (
       study_uid, variant, of_issuer, of_id, issuer, patient_id, patient_name, patient_codes,
       birth_date, sex, accession, description, answer)
SELECT u.study_uid, u.variant, p.issuer, p.patient_id, u.issuer, u.patient_id, u.patient_name,
       u.patient_codes, u.birth_date, u.sex, u.accession, u.description, u.answer
  FROM (SELECT s.study_uid, s.variant, s.patient_pk, s.issuer, s.patient_id, s.patient_name,
               s.patient_codes, s.birth_date, s.sex, s.accession, s.description, s.answer
          FROM study s
         WHERE s.study_uid = %(study)s
         UNION ALL
        SELECT s.study_uid, d.variant, d.patient_pk, d.issuer, d.patient_id, d.patient_name,
               d.patient_codes, d.birth_date, d.sex, d.accession, d.description, d.answer
          FROM study_difference d
          JOIN study s USING (study_pk)
         WHERE s.study_uid = %(study)s) AS u
  JOIN patient p USING (patient_pk)
 WHERE NOT EXISTS (SELECT FROM study_overlay o WHERE o.study_uid = u.study_uid)
    ON CONFLICT DO NOTHING;

-- name: correct_study
-- Show a study as its overlay says.
SELECT correct_study(%s);

-- name: has_study
-- Whether there is such a study, with something to see in it.
SELECT true
  FROM study s
  JOIN study_state t USING (study_pk)
 WHERE s.study_uid = %s AND t.instances > 0;

-- name: latest_of_identity
-- What the latest study of an identity says of the patient.
SELECT s.answer
  FROM study s
  JOIN patient p USING (patient_pk)
 WHERE p.issuer = %s AND p.patient_id = %s
 ORDER BY s.study_date DESC, s.study_pk DESC
 LIMIT 1;

-- name: find_overlay
-- What is laid over a study.
SELECT version, corrected_at, changes
  FROM study_overlay
 WHERE study_uid = %s;

-- name: has_overlays
-- Whether any study is corrected.
SELECT EXISTS (SELECT FROM study_overlay);

-- name: forget_corrections
-- Forget corrections of studies that were purged: a deleted patient's name must not stay behind.
WITH gone AS (
    SELECT c.study_uid FROM correction c WHERE c.study_uid = %(study)s
       AND NOT EXISTS (SELECT FROM study s WHERE s.study_uid = c.study_uid)
       AND NOT EXISTS (
           SELECT FROM deletion d WHERE d.study_uid = c.study_uid AND d.purged_at IS NULL)),
    overlays AS (DELETE FROM study_overlay o USING gone WHERE o.study_uid = gone.study_uid)
DELETE FROM correction c USING gone WHERE c.study_uid = gone.study_uid;

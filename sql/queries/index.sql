-- name: register_instances
-- Insert one batch of instances into known series and count them; see the function's comment.
SELECT known, refused, differing
FROM register_instances(%s, %s, %s);

-- name: add_modalities
-- Remember values of Modality.
INSERT INTO modality (modality)
SELECT u FROM unnest(%s) AS u
WHERE NOT EXISTS (SELECT FROM modality m WHERE m.modality = u)
ORDER BY u
ON CONFLICT DO NOTHING;

-- name: add_patients
-- Make the identities that are not there.
INSERT INTO patient (issuer, patient_id, study_uid)
SELECT u.issuer, u.patient_id, u.study_uid
FROM unnest(%s, %s, %s) AS u (issuer, patient_id, study_uid)
WHERE NOT EXISTS (
    SELECT FROM patient p
    WHERE p.issuer = u.issuer AND p.patient_id = u.patient_id AND p.study_uid = u.study_uid)
ORDER BY 1, 2, 3
ON CONFLICT DO NOTHING;

-- name: add_study
-- Make a study with the attributes it shows.
WITH added AS (
    INSERT INTO study (
        study_uid, patient_pk, variant, issuer, patient_id, patient_name, patient_codes,
        birth_date, sex, study_date, study_time, accession, study_id, referring, referring_codes,
        description, fold_version, terms, answer)
    SELECT
        %(study_uid)s, p.patient_pk, %(variant)s, %(issuer)s, %(patient_id)s, %(patient_name)s,
        %(patient_codes)s, %(birth_date)s, %(sex)s, COALESCE(%(study_date)s, '-infinity'::date),
        %(study_time)s, %(accession)s, %(study_id)s, %(referring)s, %(referring_codes)s,
        %(description)s, %(fold_version)s, %(terms)s::jsonb, %(answer)s
    FROM patient p
    WHERE p.issuer = %(of_issuer)s AND p.patient_id = %(of_id)s AND p.study_uid = %(of_study)s
    ON CONFLICT DO NOTHING
    RETURNING study_pk
)
INSERT INTO study_state (study_pk)
SELECT study_pk FROM added;

-- name: add_study_difference
-- Record attributes of a study that differ from those it shows.
INSERT INTO study_difference (
    study_pk, variant, patient_pk, issuer, patient_id, patient_name, patient_codes,
    birth_date, sex, study_date, study_time, accession, study_id, referring, referring_codes,
    description, fold_version, terms, answer)
SELECT
    s.study_pk, %(variant)s, p.patient_pk, %(issuer)s, %(patient_id)s, %(patient_name)s,
    %(patient_codes)s, %(birth_date)s, %(sex)s, COALESCE(%(study_date)s, '-infinity'::date),
    %(study_time)s, %(accession)s, %(study_id)s, %(referring)s, %(referring_codes)s,
    %(description)s, %(fold_version)s, %(terms)s::jsonb, %(answer)s
FROM study s, patient p
WHERE s.study_uid = %(study_uid)s AND s.variant <> %(variant)s
    AND p.issuer = %(of_issuer)s AND p.patient_id = %(of_id)s AND p.study_uid = %(of_study)s
ON CONFLICT DO NOTHING;

-- name: add_series
-- Make a series with the attributes it shows.
WITH added AS (
    INSERT INTO series (
        study_pk, series_uid, variant, modality, series_number, description, body_part, laterality,
        step_date, step_time, fold_version, terms, answer)
    SELECT
        s.study_pk, %(series_uid)s, %(variant)s, %(modality)s, %(series_number)s, %(description)s,
        %(body_part)s, %(laterality)s, %(step_date)s, %(step_time)s, %(fold_version)s,
        %(terms)s::jsonb, %(answer)s
    FROM study s
    WHERE s.study_uid = %(study_uid)s
    ON CONFLICT DO NOTHING
    RETURNING series_pk
)
INSERT INTO series_state (series_pk)
SELECT series_pk FROM added;

-- name: add_series_difference
-- Record attributes of a series that differ from those it shows.
INSERT INTO series_difference (
    series_pk, variant, modality, series_number, description, body_part, laterality,
    step_date, step_time, fold_version, terms, answer)
SELECT
    e.series_pk, %(variant)s, %(modality)s, %(series_number)s, %(description)s,
    %(body_part)s, %(laterality)s, %(step_date)s, %(step_time)s, %(fold_version)s,
    %(terms)s::jsonb, %(answer)s
FROM study s
JOIN series e USING (study_pk)
WHERE s.study_uid = %(study_uid)s AND e.series_uid = %(series_uid)s AND e.variant <> %(variant)s
ON CONFLICT DO NOTHING;

-- name: find_versions
-- Every version of some SOP Instance UIDs, oldest first. One index holds the current ones, another
-- the others: without both conditions neither would be used, and the whole catalogue read.
SELECT
    i.instance_pk, i.series_pk, s.study_uid, e.series_uid, i.sop_instance_uid, i.current, i.reason,
    i.created_us, i.blob_id, i.digest, i.key_id, i.key_version, i.transfer_syntax_uid,
    b.header, b.payload_len
FROM instance i
JOIN series e USING (series_pk)
JOIN study s USING (study_pk)
JOIN instance_blob b USING (instance_pk)
WHERE i.sop_instance_uid = ANY (%s) AND (i.current OR NOT i.current)
ORDER BY i.created_us, i.blob_id;

-- name: lock_versions
-- Keep the versions of a SOP Instance UID as they are until this transaction ends.
SELECT instance_pk FROM instance
WHERE sop_instance_uid = %s AND (current OR NOT current)  -- see find_versions
ORDER BY instance_pk
FOR UPDATE;

-- name: explain_versions
-- Write down why versions stand where they stand.
UPDATE instance i
SET reason = u.reason
FROM unnest(%s, %s) AS u (blob_id, reason)
WHERE i.blob_id = u.blob_id AND i.reason <> u.reason;

-- name: retire_versions
-- Make versions not current; before others are made so, since one UID has one current version.
UPDATE instance SET current = false, changed_at = now() WHERE blob_id = ANY (%s);

-- name: promote_versions
-- Make versions current.
UPDATE instance SET current = true, changed_at = now() WHERE blob_id = ANY (%s);

-- name: recount
-- Count some series and their studies from their instances.
SELECT recount(%s);

-- name: without_instances
-- Of some series, those that have no current instance.
SELECT series_pk FROM series_state WHERE series_pk = ANY (%s) AND instances = 0;

-- name: find_blobs
-- Which of these blobs have a row.
SELECT blob_id FROM instance WHERE blob_id = ANY (%s);

-- name: find_digests
-- Which pairs of SOP Instance UID and digest stand in a version.
SELECT i.sop_instance_uid, i.digest
FROM instance i
JOIN unnest(%(uids)s, %(digests)s) AS u (sop_uid, digest)
    ON i.sop_instance_uid = u.sop_uid AND i.digest = u.digest
WHERE i.sop_instance_uid = ANY (%(uids)s) AND (i.current OR NOT i.current);  -- see find_versions

-- name: clear
-- Empty the catalogue before it is rebuilt from the blobs.
TRUNCATE
    patient, study, study_difference, series, series_difference, modality, instance,
    instance_blob, instance_json, study_state, series_state, study_extra, series_extra,
    instance_extra, deletion, deleted_instance, journal_entry, correction, undone_correction,
    study_overlay, study_received, identity, identity_pair, identity_act, study_identity,
    identity_due;

-- name: locate_study
-- The current instances of a study and their blobs, in order.
SELECT
    e.series_uid,
    i.sop_instance_uid, i.sop_class_uid, i.transfer_syntax_uid,
    i.blob_id, b.header, b.payload_len, i.digest, i.size, i.key_id, i.key_version,
    i.instance_number, b.frame_count, b.pixel_tag, b.pixel_vr, b.pixel_offset, b.pixel_length,
    b.bulk, b.group2, b.preamble, i.changed_at
FROM study s
JOIN series e USING (study_pk)
JOIN instance i USING (series_pk)
JOIN instance_blob b USING (instance_pk)
WHERE s.study_uid = %(study)s AND i.current
ORDER BY
    COALESCE(e.series_number, 9223372036854775807), e.series_pk,
    COALESCE(i.instance_number, 9223372036854775807), i.instance_pk;

-- name: locate_series
-- The current instances of a series and their blobs, in order.
SELECT
    NULL,
    i.sop_instance_uid, i.sop_class_uid, i.transfer_syntax_uid,
    i.blob_id, b.header, b.payload_len, i.digest, i.size, i.key_id, i.key_version,
    i.instance_number, b.frame_count, b.pixel_tag, b.pixel_vr, b.pixel_offset, b.pixel_length,
    b.bulk, b.group2, b.preamble, i.changed_at
FROM instance i
JOIN instance_blob b USING (instance_pk)
WHERE i.series_pk = (
    SELECT e.series_pk FROM study s JOIN series e USING (study_pk)
    WHERE s.study_uid = %(study)s AND e.series_uid = %(series)s) AND i.current
ORDER BY COALESCE(i.instance_number, 9223372036854775807), i.instance_pk;

-- name: locate_instance
-- The current version of an instance, its blob and its frame table; see the function's comment.
SELECT
    NULL,
    sop_instance_uid, sop_class_uid, transfer_syntax_uid, blob_id, header, payload_len, digest,
    size, key_id, key_version, instance_number, frame_count, pixel_tag, pixel_vr, pixel_offset,
    pixel_length, bulk, group2, preamble, changed_at, frame_table
FROM locate_instance(%(study)s, %(series)s, %(instance)s);

-- name: locate_shown
-- The same with the sealed JSON: all that is needed to show an instance.
SELECT l.*, j.sealed, j.deriver
FROM (
    SELECT
        NULL,
        sop_instance_uid, sop_class_uid, transfer_syntax_uid, blob_id, header, payload_len, digest,
        size, key_id, key_version, instance_number, frame_count, pixel_tag, pixel_vr, pixel_offset,
        pixel_length, bulk, group2, preamble, changed_at, frame_table
    FROM locate_instance(%(study)s, %(series)s, %(instance)s)) l
JOIN instance i USING (blob_id)
LEFT JOIN instance_json j USING (instance_pk);

-- name: locate_version
-- One version of an instance, current or not.
SELECT
    e.series_uid,
    i.sop_instance_uid, i.sop_class_uid, i.transfer_syntax_uid,
    i.blob_id, b.header, b.payload_len, i.digest, i.size, i.key_id, i.key_version,
    i.instance_number, b.frame_count, b.pixel_tag, b.pixel_vr, b.pixel_offset, b.pixel_length,
    b.bulk, b.group2, b.preamble, i.changed_at
FROM instance i
JOIN series e USING (series_pk)
JOIN study s USING (study_pk)
JOIN instance_blob b USING (instance_pk)
WHERE i.blob_id = %(blob_id)s AND i.sop_instance_uid = %(instance)s
    AND s.study_uid = %(study)s AND e.series_uid = %(series)s;

-- name: list_retrieval
-- What a retrieval sends, in order; `key` is the condition of its level (vna/index/select.py).
SELECT
    s.study_uid, e.series_uid, i.sop_instance_uid, s.patient_id, i.sop_class_uid,
    i.transfer_syntax_uid, i.instance_pk, i.size
FROM study s
JOIN series e USING (study_pk)
JOIN instance i USING (series_pk)
WHERE {key} AND i.current
ORDER BY
    s.study_pk, COALESCE(e.series_number, 9223372036854775807), e.series_pk,
    COALESCE(i.instance_number, 9223372036854775807), i.instance_pk
LIMIT %(most)s;

-- name: locate_all
-- The blobs of these instances; one that is no longer current is not among them.
SELECT
    s.study_uid, e.series_uid,
    i.sop_instance_uid, i.sop_class_uid, i.transfer_syntax_uid,
    i.blob_id, b.header, b.payload_len, i.digest, i.size, i.key_id, i.key_version,
    i.instance_number, b.frame_count, b.pixel_tag, b.pixel_vr, b.pixel_offset, b.pixel_length,
    b.bulk, b.group2, b.preamble, i.changed_at, i.instance_pk
FROM instance i
JOIN instance_blob b USING (instance_pk)
JOIN series e USING (series_pk)
JOIN study s USING (study_pk)
WHERE i.instance_pk = ANY(%(instances)s) AND i.current;

-- name: sealed_study
-- The sealed JSON of a study's current instances, in order.
SELECT
    e.series_uid, i.sop_instance_uid, i.blob_id, i.key_id, i.key_version, j.sealed, j.deriver
FROM study s
JOIN series e USING (study_pk)
JOIN instance i USING (series_pk)
LEFT JOIN instance_json j USING (instance_pk)
WHERE s.study_uid = %(study)s AND i.current
ORDER BY
    COALESCE(e.series_number, 9223372036854775807), e.series_pk,
    COALESCE(i.instance_number, 9223372036854775807), i.instance_pk;

-- name: sealed_series
-- The sealed JSON of a series' current instances, in order.
SELECT NULL, i.sop_instance_uid, i.blob_id, i.key_id, i.key_version, j.sealed, j.deriver
FROM instance i
LEFT JOIN instance_json j USING (instance_pk)
WHERE i.series_pk = (
    SELECT e.series_pk FROM study s JOIN series e USING (study_pk)
    WHERE s.study_uid = %(study)s AND e.series_uid = %(series)s) AND i.current
ORDER BY COALESCE(i.instance_number, 9223372036854775807), i.instance_pk;

-- name: sealed_instance
-- The sealed JSON of one instance.
SELECT NULL, i.sop_instance_uid, i.blob_id, i.key_id, i.key_version, j.sealed, j.deriver
FROM instance i
LEFT JOIN instance_json j USING (instance_pk)
WHERE i.sop_instance_uid = %(instance)s AND i.current AND i.series_pk = (
    SELECT e.series_pk FROM study s JOIN series e USING (study_pk)
    WHERE s.study_uid = %(study)s AND e.series_uid = %(series)s);

-- name: revision_study
-- What changes whenever an answer about the study would.
SELECT t.study_pk, t.revision, t.changed_at
FROM study s
JOIN study_state t USING (study_pk)
WHERE s.study_uid = %(study)s AND t.instances > 0;

-- name: revision_series
-- What changes whenever an answer about the series would.
SELECT r.series_pk, r.revision, r.changed_at
FROM study s
JOIN series e USING (study_pk)
JOIN series_state r USING (series_pk)
WHERE s.study_uid = %(study)s AND e.series_uid = %(series)s AND r.instances > 0;

-- name: revision_instance
-- What changes whenever an answer about the instance would.
SELECT i.instance_pk, COALESCE(j.deriver, 0), i.changed_at
FROM instance i
JOIN series e USING (series_pk)
JOIN study s USING (study_pk)
LEFT JOIN instance_json j USING (instance_pk)
WHERE i.sop_instance_uid = %(instance)s AND i.current
    AND s.study_uid = %(study)s AND e.series_uid = %(series)s;

-- name: put_sealed
-- Replace the sealed JSON of a blob's row with what was derived anew.
INSERT INTO instance_json (instance_pk, deriver, sealed)
SELECT instance_pk, %(deriver)s, %(sealed)s FROM instance WHERE blob_id = %(blob_id)s
ON CONFLICT (instance_pk) DO UPDATE SET deriver = excluded.deriver, sealed = excluded.sealed;

-- name: touch_series
-- Raise the revision of a blob's series; before that of its study, the order of locks.
UPDATE series_state r
SET revision = r.revision + 1, changed_at = now()
FROM instance i
WHERE i.blob_id = %s AND r.series_pk = i.series_pk;

-- name: touch_instance
-- Note that an instance's answer changed.
UPDATE instance SET changed_at = now() WHERE blob_id = %s;

-- name: touch_study
-- Raise the revision of a blob's study.
UPDATE study_state t
SET revision = t.revision + 1, changed_at = now()
FROM instance i
JOIN series e USING (series_pk)
WHERE i.blob_id = %s AND t.study_pk = e.study_pk;

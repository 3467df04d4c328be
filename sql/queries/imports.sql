-- name: holding
-- Which of these blobs are in quarantine.
SELECT blob_id FROM import_file WHERE blob_id = ANY (%s) AND result IN ('kept', 'document');

-- name: found_batch
-- Make an import known that is known from its blobs alone; nothing when it is there.
INSERT INTO import_batch (batch_id, source, state, made_by, ends_at)
VALUES (%(batch)s, %(source)s, 'needs_identity', %(made_by)s, now() + make_interval(secs => %(keep_s)s))
ON CONFLICT DO NOTHING;

-- name: batch_state
-- The number and state of an import; it stays so until the transaction ends.
SELECT import_pk, state FROM import_batch WHERE batch_id = %s FOR SHARE;

-- name: take_batch
-- Take an import in hand that the journal names.
SELECT import_pk, state FROM import_batch WHERE batch_id = %s FOR UPDATE;

-- name: waiting
-- Imports nobody has decided on.
SELECT batch_id FROM import_batch WHERE state IN ('receiving', 'needs_identity');

-- name: keep_file
-- Note an object in quarantine; nothing when the same is there.
INSERT INTO import_file (
    import_pk, mark, name, size, result, kind, blob_id, key_id, digest, study_uid, series_uid,
    sop_instance_uid, sop_class_uid, person, patient_name, patient_id, birth_date, sex, study_date,
    study_description, series_description, modality)
VALUES (
    %(import_pk)s, %(mark)s, %(name)s, %(size)s, 'kept', %(kind)s, %(blob_id)s, %(key_id)s,
    %(digest)s, %(study_uid)s, %(series_uid)s, %(sop_instance_uid)s, %(sop_class_uid)s, %(person)s,
    %(patient_name)s, %(patient_id)s, %(birth_date)s, %(sex)s, %(study_date)s,
    %(study_description)s, %(series_description)s, %(modality)s)
ON CONFLICT DO NOTHING
RETURNING file_pk;

-- name: keep_document
-- Note a document that is kept beside images; nothing when the same is there.
INSERT INTO import_file (import_pk, mark, name, size, result, media, blob_id, key_id, digest)
VALUES (%(import_pk)s, %(mark)s, %(name)s, %(size)s, 'document', %(media)s, %(blob_id)s, %(key_id)s,
    %(digest)s)
ON CONFLICT DO NOTHING
RETURNING file_pk;

-- name: add_file
-- Note a file of which nothing is kept.
INSERT INTO import_file (import_pk, mark, name, size, result, reason)
VALUES (%(import_pk)s, %(mark)s, %(name)s, %(size)s, %(result)s, %(reason)s)
ON CONFLICT DO NOTHING;

-- name: begin
-- Begin an import.
INSERT INTO import_batch (batch_id, source, made_by, note, ends_at)
VALUES (%(batch)s, %(source)s, %(made_by)s, %(note)s, now() + make_interval(secs => %(keep_s)s))
RETURNING import_pk;

-- name: batches
-- Imports, the newest first, with what was found in them.
SELECT
    b.import_pk, b.batch_id, b.source, b.state, b.made_by, b.note, b.made_at, b.changed_at,
    b.ends_at, b.expected, b.decided_by, b.reason, b.filed, b.removed, f.files, f.bytes, f.images,
    f.reports, f.objects, f.bad, f.others, f.documents, f.twice, f.persons, f.marked
FROM import_batch b
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE i.result <> 'opened') AS files,
        coalesce(sum(i.size) FILTER (WHERE i.result <> 'opened'), 0)::bigint AS bytes,
        count(*) FILTER (WHERE i.kind = 'image' AND i.result IN ('kept', 'filed')) AS images,
        count(*) FILTER (WHERE i.kind = 'report' AND i.result IN ('kept', 'filed')) AS reports,
        count(*) FILTER (WHERE i.kind = 'object' AND i.result IN ('kept', 'filed')) AS objects,
        count(*) FILTER (WHERE i.result = 'bad') AS bad,
        count(*) FILTER (WHERE i.result = 'other') AS others,
        count(*) FILTER (WHERE i.result = 'document') AS documents,
        count(*) FILTER (WHERE i.result = 'twice') AS twice,
        count(DISTINCT i.person) FILTER (WHERE i.result IN ('kept', 'filed')) AS persons,
        count(i.mark) AS marked
    FROM import_file i
    WHERE i.import_pk = b.import_pk
) f
WHERE (%(import_pk)s::bigint IS NULL OR b.import_pk = %(import_pk)s)
    AND (%(before)s::bigint IS NULL OR b.import_pk < %(before)s)
    AND (%(waiting)s::boolean IS NULL
         OR %(waiting)s = (b.state IN ('receiving', 'needs_identity', 'confirmed')))
ORDER BY b.import_pk DESC
LIMIT %(most)s;

-- name: lock_batch
-- Take an import in hand: nobody adds to it or decides on it meanwhile.
SELECT batch_id, state, made_by FROM import_batch WHERE import_pk = %s FOR UPDATE;

-- name: hold_batch
-- Keep the state of an import as it is while something is added.
SELECT batch_id, state FROM import_batch WHERE import_pk = %s FOR SHARE;

-- name: fill_batch
-- Keep it so, and let nobody else fill it meanwhile.
SELECT batch_id, state FROM import_batch WHERE import_pk = %s FOR NO KEY UPDATE;

-- name: marks
-- Which files of an import have come, by the marks of their sender.
SELECT mark FROM import_file WHERE import_pk = %s AND mark = ANY (%s);

-- name: has_mark
-- Whether a file has come.
SELECT result, reason FROM import_file WHERE import_pk = %s AND mark = %s;

-- name: expect
-- Note how many files are to come, beside those of lists before this one.
UPDATE import_batch b SET changed_at = now(), expected = %(expected)s + (
    SELECT count(*) FROM import_file f
    WHERE f.import_pk = b.import_pk AND f.mark IS NOT NULL AND f.mark <> ALL (%(marks)s))
WHERE import_pk = %(import_pk)s AND state = 'receiving';

-- name: how_much
-- How many files an import has, how much of it is kept, and how much came of which nothing is.
SELECT
    count(*), coalesce(sum(size) FILTER (WHERE blob_id IS NOT NULL), 0)::bigint,
    coalesce(sum(size) FILTER (WHERE blob_id IS NULL AND result <> 'opened'), 0)::bigint
FROM import_file WHERE import_pk = %s;

-- name: how_much_since
-- The same of what is noted behind a file, and the last file there is.
SELECT
    count(*), coalesce(sum(size) FILTER (WHERE blob_id IS NOT NULL), 0)::bigint,
    coalesce(max(file_pk), %(since)s)
FROM import_file WHERE import_pk = %(import_pk)s AND file_pk > %(since)s;

-- name: findings
-- What an import holds, series by series.
SELECT
    person, min(patient_name), min(patient_id), min(birth_date), min(sex), study_uid,
    min(study_date), min(study_description), series_uid, min(modality), min(series_description),
    count(*) FILTER (WHERE kind = 'image'), count(*) FILTER (WHERE kind = 'report'), count(*),
    sum(size)::bigint, bool_or(result = 'filed'),
    EXISTS (SELECT FROM study s JOIN study_state t USING (study_pk)
            WHERE s.study_uid = f.study_uid AND t.instances > 0)
FROM import_file f
WHERE import_pk = %(import_pk)s AND result IN ('kept', 'filed')
GROUP BY person, study_uid, series_uid
ORDER BY person, min(study_date) DESC NULLS LAST, study_uid, series_uid
LIMIT %(most)s;

-- name: count_series
-- How many series an import holds, those included that are not listed.
SELECT count(*) FROM (
    SELECT DISTINCT person, study_uid, series_uid FROM import_file
    WHERE import_pk = %s AND result IN ('kept', 'filed')) s;

-- name: troubles
-- Files that were not taken, and why.
SELECT name, size, result, reason FROM import_file
WHERE import_pk = %(import_pk)s AND result IN ('bad', 'other', 'document', 'twice')
ORDER BY array_position(ARRAY['bad', 'document', 'twice', 'other'], result), file_pk
LIMIT %(most)s;

-- name: choose
-- Say what of an import is to be filed.
UPDATE import_file SET is_chosen = (study_uid = ANY (%(studies)s) AND person = ANY (%(persons)s))
WHERE import_pk = %(import_pk)s AND result = 'kept';

-- name: choose_file
-- Say so of one object that was found again.
UPDATE import_file SET is_chosen = %(is_chosen)s WHERE blob_id = %(blob_id)s;

-- name: persons_of
-- Whose objects an import holds in these studies.
SELECT DISTINCT person FROM import_file
WHERE import_pk = %(import_pk)s AND result = 'kept' AND study_uid = ANY (%(studies)s);

-- name: decide
-- Move an import on.
UPDATE import_batch SET
    state = %(state)s, changed_at = now(), decided_by = coalesce(%(by)s, decided_by),
    reason = coalesce(%(reason)s, reason)
WHERE import_pk = %(import_pk)s;

-- name: next_to_file
-- Objects that wait to be filed.
SELECT blob_id FROM import_file
WHERE import_pk = %s AND result = 'kept' AND is_chosen
ORDER BY file_pk LIMIT %s;

-- name: set_filed
-- Let objects out; says which were not yet.
UPDATE import_file SET result = 'filed'
WHERE import_pk = %s AND blob_id = ANY (%s) AND result = 'kept'
RETURNING blob_id;

-- name: next_to_remove
-- Objects that are to go, and their keys.
SELECT blob_id, key_id FROM import_file
WHERE import_pk = %s AND result IN ('kept', 'document') AND blob_id IS NOT NULL
ORDER BY file_pk LIMIT %s;

-- name: keys_of
-- The keys under which nothing but what is to go was sealed.
SELECT DISTINCT key_id FROM import_file f
WHERE import_pk = %(import_pk)s AND result IN ('kept', 'document') AND blob_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM import_file o
                    WHERE o.import_pk = %(import_pk)s AND o.key_id = f.key_id AND o.result = 'filed');

-- name: set_removed
-- Forget objects that are gone, and whose they were.
UPDATE import_file SET
    result = 'removed', blob_id = NULL, name = '', person = NULL, patient_name = NULL,
    patient_id = NULL, birth_date = NULL, sex = NULL, study_description = NULL,
    series_description = NULL
WHERE import_pk = %s AND blob_id = ANY (%s);

-- name: end_batch
-- An import is over: counts stay, and the list of what was not taken if something was filed. Nothing
-- comes back when another worker ended it.
UPDATE import_batch b SET
    state = %(state)s, changed_at = now(),
    filed = (SELECT count(*) FROM import_file f WHERE f.import_pk = b.import_pk AND f.result = 'filed'),
    removed = (SELECT count(*) FROM import_file f WHERE f.import_pk = b.import_pk AND f.result = 'removed')
WHERE import_pk = %(import_pk)s AND state = %(was)s
RETURNING filed, removed;

-- name: forget_file
-- Forget an object that did not arrive as it was sent.
DELETE FROM import_file WHERE blob_id = %s;

-- name: forget_files
-- Forget what a rejected import held.
DELETE FROM import_file WHERE import_pk = %s;

-- name: filed_studies
-- What was filed, study by study.
SELECT study_uid, count(*) FROM import_file
WHERE import_pk = %s AND result = 'filed' GROUP BY study_uid ORDER BY study_uid;

-- name: set_end
-- Say until when an import waits.
UPDATE import_batch SET ends_at = %s WHERE import_pk = %s;

-- name: over_their_time
-- Imports nobody decided on in time.
SELECT import_pk FROM import_batch
WHERE state IN ('receiving', 'needs_identity') AND ends_at <= now()
ORDER BY import_pk LIMIT %s;

-- name: lock_late
-- Take such an import in hand: whoever sent or decided meanwhile gave it another end.
SELECT import_pk FROM import_batch
WHERE import_pk = %s AND state IN ('receiving', 'needs_identity') AND ends_at <= now()
FOR UPDATE;

-- name: set_damaged
-- Note that what was kept cannot be read any more.
UPDATE import_file SET result = 'bad', blob_id = NULL, reason = %s
WHERE import_pk = %s AND blob_id = ANY (%s);

-- name: add_request
-- Ask for images.
INSERT INTO upload_request (
    number, import_pk, locator, passcode, organisation, wanted, masked, made_by, until_at)
VALUES (
    %(number)s, %(import_pk)s, %(locator)s, %(passcode)s, %(organisation)s, %(wanted)s, %(masked)s,
    %(made_by)s, %(until)s)
RETURNING request_pk;

-- name: set_request_message
-- Note which message carries the link.
UPDATE upload_request SET message_id = %s WHERE request_pk = %s;

-- name: requests
-- Images asked for, the newest first, with how far each is.
SELECT
    r.request_pk, r.number, r.import_pk, r.organisation, r.wanted, r.masked, r.made_by, r.made_at,
    r.until_at, r.opened_at, r.delivered_at, r.stopped_at, r.wrong, b.state,
    (SELECT count(*) FROM import_file f WHERE f.import_pk = r.import_pk AND f.result <> 'opened'),
    m.state, m.cause
FROM upload_request r
JOIN import_batch b USING (import_pk)
LEFT JOIN message m USING (message_id)
WHERE (%(request_pk)s::bigint IS NULL OR r.request_pk = %(request_pk)s)
ORDER BY r.request_pk DESC
LIMIT %(most)s;

-- name: request_by_locator
-- What a link's secret finds.
SELECT r.request_pk, r.passcode FROM upload_request r WHERE r.locator = %s;

-- name: charge_request
-- Count a try before it is made, so that many at once cannot pass the limit together.
UPDATE upload_request SET wrong = wrong + 1
WHERE request_pk = %s AND wrong < %s AND stopped_at IS NULL AND until_at > now()
    AND delivered_at IS NULL
RETURNING wrong;

-- name: forgive_request
-- The try was right: it does not count.
UPDATE upload_request SET wrong = wrong - 1, opened_at = coalesce(opened_at, now())
WHERE request_pk = %s;

-- name: add_upload_session
-- Let a browser in.
INSERT INTO upload_session (session, request_pk, until_at)
VALUES (%s, %s, now() + make_interval(secs => %s));

-- name: upload_session
-- Whose a session is, as long as the request stands.
SELECT r.request_pk FROM upload_session s JOIN upload_request r USING (request_pk)
WHERE s.session = %s AND s.until_at > now() AND r.until_at > now() AND r.stopped_at IS NULL
    AND r.wrong < %s;

-- name: leave_upload
-- End a session.
DELETE FROM upload_session WHERE session = %s;

-- name: deliver_request
-- Note that everything asked for has come.
UPDATE upload_request SET delivered_at = now() WHERE request_pk = %s AND delivered_at IS NULL;

-- name: stop_request
-- End a request; says whether it still stood.
UPDATE upload_request SET stopped_at = now()
WHERE request_pk = %s AND stopped_at IS NULL
RETURNING number;

-- name: sweep_uploads
-- Forget sessions that are over.
DELETE FROM upload_session WHERE until_at <= now();

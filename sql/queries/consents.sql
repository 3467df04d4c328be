-- name: next_text
-- The number the next text of a purpose has; the caller holds nobody back but another editor.
SELECT COALESCE(max(revision), 0) + 1 FROM consent_text WHERE purpose = %s;

-- name: hold_texts
SELECT pg_advisory_xact_lock(hashtext('consent_text'));

-- name: add_text
INSERT INTO consent_text (purpose, revision, language, title, body, made_by, made_at)
VALUES (%(purpose)s, %(revision)s, %(language)s, %(title)s, %(body)s, %(made_by)s, %(made_at)s)
ON CONFLICT DO NOTHING;

-- name: latest_texts
-- The latest text of a purpose, in each language it has.
SELECT purpose, revision, language, title, body, made_by, made_at
  FROM consent_text
 WHERE purpose = %(purpose)s
   AND revision = (SELECT max(revision) FROM consent_text WHERE purpose = %(purpose)s)
 ORDER BY language;

-- name: texts_of
-- Every text of a purpose, the latest first.
SELECT purpose, revision, language, title, body, made_by, made_at
  FROM consent_text
 WHERE purpose = %s
 ORDER BY revision DESC, language
 LIMIT 200;

-- name: one_text
SELECT purpose, revision, language, title, body, made_by, made_at
  FROM consent_text
 WHERE purpose = %s AND revision = %s
 ORDER BY language;

-- name: add_plan
INSERT INTO consent_plan (consent_id, lane, sealed)
VALUES (%(consent_id)s, %(lane)s, %(sealed)s)
ON CONFLICT DO NOTHING;

-- name: plans_of
-- Which of a person's consents let images go out by themselves, in which lane.
SELECT p.consent_id, p.lane
  FROM consent_plan p
  JOIN consent c USING (consent_id)
 WHERE c.issuer = %s AND c.patient_id = %s;

-- name: begin_kiosk
INSERT INTO kiosk (secret_hash, sealed, number, begun_by, ends_at)
VALUES (%s, %s, %s, %s, now() + make_interval(secs => %s));

-- name: find_kiosk
SELECT sealed, number, begun_by, ends_at, answered_at IS NOT NULL
  FROM kiosk
 WHERE secret_hash = %s AND ends_at > now();

-- name: hold_kiosk
-- The same, held: it is answered once.
SELECT sealed, number, begun_by, ends_at, answered_at IS NOT NULL
  FROM kiosk
 WHERE secret_hash = %s AND ends_at > now()
   FOR UPDATE;

-- name: answer_kiosk
UPDATE kiosk SET answered_at = now(), consent_id = %s WHERE secret_hash = %s;

-- name: end_kiosk
DELETE FROM kiosk WHERE secret_hash = %s;

-- name: sweep_kiosks
DELETE FROM kiosk WHERE ends_at < now() - interval '1 day';

-- name: due
-- Studies that came to rest and whose sharing is due, with what stands behind each.
SELECT a.consent_id, a.study_uid, a.lane, a.made_at, a.share_id, t.revision, c.purpose,
       c.state = 'active' AND (c.valid_to IS NULL OR c.valid_to > now()),
       c.accession IS NULL AND to_timestamp(t.first_us / 1e6) <= c.valid_from - interval '1 day',
       s.birth_date, s.answer, p.sealed,
       (c.accession IS NULL OR c.accession IS NOT DISTINCT FROM s.accession)
           AND i.issuer = c.issuer AND i.patient_id = c.patient_id,
       (SELECT COALESCE(array_agg(l.label ORDER BY l.label), '{}') FROM study_label l
         WHERE l.study_uid = a.study_uid AND (l.until IS NULL OR l.until > now()))
  FROM auto_share a
  JOIN consent c USING (consent_id)
  JOIN consent_plan p USING (consent_id)
  JOIN study s USING (study_uid)
  JOIN patient i USING (patient_pk)
  JOIN study_state t USING (study_pk)
 WHERE a.state = 'waiting' AND a.due_at <= now()
   AND t.changed_at <= now() - make_interval(
       secs => CASE a.lane WHEN 'urgent' THEN %(urgent_s)s::float8 ELSE %(settle_s)s::float8 END)
 ORDER BY a.due_at
 LIMIT %(most)s;

-- name: is_known
-- The share of a consent that holds all of a study: one that came back from the journal, too.
SELECT h.share_id
  FROM share h
 WHERE h.consent_id = %(consent_id)s AND h.studies @> ARRAY[%(study)s]
   AND NOT EXISTS (
       SELECT FROM study s
         JOIN series e USING (study_pk)
         JOIN instance i USING (series_pk)
        WHERE s.study_uid = %(study)s AND i.current AND NOT i.sop_class_uid = ANY (%(reports)s)
          AND NOT EXISTS (
              SELECT FROM share_item x
               WHERE x.share_id = h.share_id AND x.instance_uid = i.sop_instance_uid))
 ORDER BY h.share_id DESC
 LIMIT 1;

-- name: opens_of
SELECT opens FROM share WHERE share_id = %s;

-- name: hold_auto
-- Held: one process shares a study of a consent.
SELECT state FROM auto_share WHERE consent_id = %s AND study_uid = %s FOR UPDATE;

-- name: note_auto
UPDATE auto_share
   SET state = %(state)s, cause = %(cause)s, share_id = COALESCE(%(share_id)s, share_id),
       revision = %(revision)s, due_at = COALESCE(%(due_at)s, due_at), changed_at = now()
 WHERE consent_id = %(consent_id)s AND study_uid = %(study)s AND state = 'waiting'
RETURNING consent_id;

-- name: reopen_auto
-- What came to a study since: it is looked at once more.
UPDATE auto_share a
   SET state = 'waiting', due_at = now(), changed_at = now()
  FROM study s
  JOIN study_state t USING (study_pk)
 WHERE s.study_uid = a.study_uid AND a.state IN ('shared', 'blocked')
   AND a.changed_at > now() - make_interval(days => %(days)s::int) AND t.revision <> a.revision
RETURNING a.consent_id;

-- name: retry_auto
-- Somebody saw to what was in the way.
UPDATE auto_share
   SET state = 'waiting', due_at = now(), changed_at = now(),
       lane = CASE WHEN %(urgent)s::boolean THEN 'urgent' ELSE lane END
 WHERE consent_id = %(consent_id)s AND study_uid = %(study)s AND state IN ('waiting', 'blocked')
RETURNING consent_id;

-- name: leave_auto
-- It does not go out: somebody said so.
UPDATE auto_share
   SET state = 'left', cause = %(cause)s, changed_at = now()
 WHERE consent_id = %(consent_id)s AND study_uid = %(study)s AND state IN ('waiting', 'blocked')
RETURNING consent_id;

-- name: list_auto
-- What goes out by itself: what is in the way first, then what waits, then what went.
SELECT a.consent_id, a.study_uid, a.lane, a.state, a.due_at, a.cause, a.share_id, h.number,
       a.made_at, a.changed_at, p.sealed
  FROM auto_share a
  JOIN consent_plan p USING (consent_id)
  LEFT JOIN share h USING (share_id)
 WHERE a.changed_at > now() - interval '30 days' OR a.state IN ('waiting', 'blocked')
 ORDER BY array_position(ARRAY['blocked', 'waiting', 'shared', 'left'], a.state), a.changed_at DESC
 LIMIT %s;

-- name: count_blocked
SELECT count(*) FROM auto_share WHERE state = 'blocked';

-- name: unopened
-- Links nobody opened for days, whose holder was not reminded.
SELECT g.grant_id, g.issued_at, g.to_channel, g.language, g.ends_at, s.number, g.share_id
  FROM share_grant g
  JOIN share s USING (share_id)
 CROSS JOIN LATERAL grant_standing(g.grant_id) st
 WHERE g.state = 'invited' AND g.to_channel IS NOT NULL AND st.why IS NULL
   AND g.issued_at < now() - make_interval(secs => %(after_s)s)
   AND g.issued_at > now() - make_interval(secs => %(after_s)s) - interval '7 days'
   AND NOT EXISTS (
       SELECT FROM share_notice n
        WHERE n.grant_id = g.grant_id AND n.kind = 'unopened' AND n.issued_at = g.issued_at)
 ORDER BY g.grant_id
 LIMIT %(most)s;

-- name: add_notice
INSERT INTO share_notice (grant_id, kind, issued_at)
VALUES (%s, %s, %s)
ON CONFLICT DO NOTHING
RETURNING grant_id;

-- name: person_of_consent
-- Whose consent it is.
SELECT issuer, patient_id FROM consent WHERE consent_id = %s;

-- name: studies_of_patient
-- The studies that are a patient's, as they are shown now.
SELECT s.study_uid
  FROM patient p
  JOIN study s USING (patient_pk)
 WHERE p.issuer = %s AND p.patient_id = %s;

-- name: hold_morning
-- One at a time: whoever comes second finds the message of the first.
SELECT pg_advisory_xact_lock(hashtextextended('tell of a night of ' || current_schema(), 0));

-- name: told_of_night
-- Whether a morning's message was left since a night began; its word stands here for its index.
SELECT EXISTS (SELECT FROM message m WHERE m.template = 'morning' AND m.created_at >= %s);

-- name: count_night
-- What became of what was to go out in a night that is over: what waits for the next is not counted.
SELECT count(*) FILTER (WHERE a.state = 'shared'),
       count(*) FILTER (WHERE a.state = 'waiting'),
       count(*) FILTER (WHERE a.state = 'blocked'),
       count(*) FILTER (WHERE a.state = 'left'),
       count(*) FILTER (WHERE a.state = 'shared' AND EXISTS (
           SELECT FROM message m
            WHERE m.share_id = a.share_id AND m.state IN ('failed', 'dead', 'bounced')))
  FROM auto_share a
 WHERE a.lane = 'tonight' AND a.changed_at >= %(since)s
   AND (a.state <> 'waiting' OR a.due_at < %(until)s);

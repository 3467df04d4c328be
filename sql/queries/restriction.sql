-- name: label_revision
-- Whether labels changed, and when the next embargo ends.
SELECT revision, (SELECT min(until) FROM study_label WHERE until > now())
  FROM label_revision;

-- name: list_withheld
-- Every label that withholds its study now.
SELECT study_uid, label
  FROM study_label
 WHERE until IS NULL OR until > now();

-- name: list_withheld_since
-- The studies a label withholds now that was set after a moment.
SELECT study_uid
  FROM study_label
 WHERE set_at > %s AND (until IS NULL OR until > now());

-- name: list_labels
-- The labels of one study, or of all with none named.
SELECT study_uid, label, until, reason, set_by, set_at
  FROM study_label
 WHERE %(study)s::text IS NULL OR study_uid = %(study)s
 ORDER BY set_at DESC, study_uid, label
 LIMIT %(most)s;

-- name: put_label
-- Label a study; what the same label said before is replaced.
INSERT INTO study_label (study_uid, label, until, reason, set_by, set_at)
VALUES (%(study)s, %(label)s, %(until)s, %(reason)s, %(by)s, %(at)s)
ON CONFLICT (study_uid, label) DO UPDATE
   SET until = EXCLUDED.until, reason = EXCLUDED.reason, set_by = EXCLUDED.set_by,
       set_at = EXCLUDED.set_at;

-- name: drop_label
-- Take a label away; nothing comes back when there was none.
DELETE FROM study_label
 WHERE study_uid = %s AND label = %s
RETURNING study_uid;

-- name: hold_labels
-- Nobody changes a label until this transaction is over.
LOCK TABLE study_label IN SHARE ROW EXCLUSIVE MODE;

-- name: clear_labels
-- Forget all labels, before they are read back from the journal.
DELETE FROM study_label;

-- name: add_care
-- Say that an account treats a patient, or is to see a study.
INSERT INTO care_relation (account_id, study_uid, issuer, patient_id, ground, given_by, ends_at)
VALUES (%(account)s, %(study)s, %(issuer)s, %(patient)s, %(ground)s, %(by)s,
        now() + make_interval(secs => %(lasts_s)s))
RETURNING relation_id;

-- name: end_care
-- It is over; nothing comes back when it was before.
UPDATE care_relation c
   SET ended_at = now()
  FROM account a
 WHERE a.account_id = c.account_id AND c.relation_id = %s AND c.ended_at IS NULL
RETURNING a.login, c.study_uid;

-- name: list_care
-- The relations that stand, of one account, or of all with none named.
SELECT c.relation_id, a.login, c.study_uid, c.issuer, c.patient_id, c.ground, c.given_by,
       c.begins_at, c.ends_at
  FROM care_relation c
  JOIN account a USING (account_id)
 WHERE c.ended_at IS NULL AND c.ends_at > now()
   AND (%(login)s::text IS NULL OR a.login = %(login)s)
 ORDER BY a.login, c.relation_id
 LIMIT %(most)s;

-- name: list_reach
-- The studies an account of granted reach may see.
SELECT study_uid
  FROM care_reach
 WHERE account_id = %s
 LIMIT %s;

-- name: list_own
-- The studies that are about the person an account is bound to.
SELECT study_uid
  FROM own_reach
 WHERE account_id = %s
 LIMIT %s;

-- name: list_lent
-- The studies lent to a session in an emergency.
SELECT study_uid
  FROM emergency_reach
 WHERE session_id = %s
 LIMIT %s;

-- name: find_identities
-- Whose identifier this is: of one issuer, or of all with none named.
SELECT issuer
  FROM identity_known
 WHERE patient_id = %(patient)s AND (%(issuer)s::text IS NULL OR issuer = %(issuer)s)
 ORDER BY issuer
 LIMIT 2;

-- name: begin_emergency
-- Lend one person's studies to a session that proved itself just now.
INSERT INTO emergency (account_id, login, session_id, issuer, patient_id, reason, note, ends_at)
SELECT s.account_id, %(login)s, s.session_id, %(issuer)s, %(patient)s, %(reason)s, %(note)s,
       now() + make_interval(secs => %(lasts_s)s)
  FROM session s
 WHERE s.session_id = %(session)s AND s.account_id = %(account)s AND s.level = 2
   AND s.ends_at > now() AND s.proven_at > now() - make_interval(secs => %(fresh_s)s)
RETURNING emergency_id, ends_at;

-- name: count_locked
-- How many studies an emergency of this session sees only once a second person agrees.
SELECT count(*) FROM emergency_locked WHERE session_id = %s;

-- name: list_asking
-- The emergencies of others that ask for a second person, the oldest first.
SELECT e.emergency_id, e.login, e.issuer, e.patient_id, e.reason, e.note, e.began_at, e.ends_at
  FROM emergency e
 WHERE e.login <> %(by)s
   AND EXISTS (SELECT FROM emergency_locked l WHERE l.emergency_id = e.emergency_id)
 ORDER BY e.began_at, e.emergency_id
 LIMIT %(most)s;

-- name: agree_to_emergency
-- Agree as a second person who proved themself just now; nothing comes back when it is over, one's
-- own, or agreed to before.
INSERT INTO emergency_second (emergency_id, login, agreed_by)
SELECT e.emergency_id, e.login, %(by)s
  FROM emergency e
  JOIN session s ON s.session_id = %(session)s
 WHERE e.emergency_id = %(emergency)s AND e.ended_at IS NULL AND e.ends_at > now()
   AND e.login <> %(by)s
   AND s.account_id = %(account)s AND s.level = 2 AND s.ends_at > now()
   AND s.proven_at > now() - make_interval(secs => %(fresh_s)s)
    ON CONFLICT DO NOTHING
RETURNING emergency_id, login;

-- name: end_emergencies_of
-- The emergencies of an account are over.
UPDATE emergency
   SET ended_at = least(now(), ends_at)
 WHERE account_id = %s AND ended_at IS NULL
RETURNING emergency_id, login;

-- name: end_emergency
-- One emergency is over; nothing comes back when it was before.
UPDATE emergency
   SET ended_at = least(now(), ends_at)
 WHERE emergency_id = %s AND ended_at IS NULL
RETURNING emergency_id, login;

-- name: end_late_emergencies
-- Those whose time or session is over.
UPDATE emergency e
   SET ended_at = least(now(), ends_at)
 WHERE ended_at IS NULL
   AND (ends_at <= now()
        OR NOT EXISTS (SELECT FROM session s WHERE s.session_id = e.session_id))
RETURNING emergency_id, login;

-- name: list_emergencies
-- Emergencies, the latest first: all, or those nobody has reviewed.
SELECT e.emergency_id, e.login, e.issuer, e.patient_id, e.reason, e.note, e.began_at,
       least(e.ended_at, e.ends_at), e.ended_at IS NULL AND e.ends_at > now(), e.reviewed_at,
       e.reviewed_by, e.verdict, e.remark, a.agreed_by
  FROM emergency e
  LEFT JOIN emergency_second a USING (emergency_id)
 WHERE NOT %(unreviewed)s OR e.reviewed_at IS NULL
 ORDER BY e.began_at DESC, e.emergency_id DESC
 LIMIT %(most)s;

-- name: review_emergency
-- Judge an emergency; nothing comes back when that was done, or it is one's own.
UPDATE emergency
   SET reviewed_at = now(), reviewed_by = %(by)s, verdict = %(verdict)s, remark = %(remark)s
 WHERE emergency_id = %(emergency)s AND reviewed_at IS NULL AND login <> %(by)s
RETURNING emergency_id, login;

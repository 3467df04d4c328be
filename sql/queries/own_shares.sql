-- name: list_own
-- The shares somebody made by their own account or a carer made for them, and those staff made of
-- what they see; before another, or one.
SELECT s.share_id, s.number, s.standing, s.owner, s.purpose, s.person, s.studies,
       (SELECT count(*) FROM share_item i WHERE i.share_id = s.share_id),
       g.grants, s.opens, s.created_at, s.ends_at, g.last_open_at, s.consent_id, s.legal_basis,
       s.reports, s.download, s.forward, s.max_opens, s.tested_at, s.reason,
       s.owner = ANY (owners_of(%(owner)s)) AND s.consent_id IS NULL
       AND s.legal_basis = 'patient-request'
  FROM share_standing s
 CROSS JOIN LATERAL (
     SELECT count(*) AS grants, max(last_open_at) AS last_open_at
       FROM share_grant
      WHERE share_id = s.share_id
 ) g
 WHERE s.share_id = ANY (ARRAY(  -- found first: joined, all shares are gone through in order
           SELECT share_id FROM share
            WHERE owner = ANY (owners_of(%(owner)s)) AND consent_id IS NULL
              AND legal_basis = 'patient-request'
           UNION
           SELECT share_id FROM share WHERE studies && %(studies)s))
   AND (%(share_id)s::bigint IS NULL OR s.share_id = %(share_id)s)
   AND (%(before)s::bigint IS NULL OR s.share_id < %(before)s)
 ORDER BY s.share_id DESC
 LIMIT %(most)s;

-- name: is_own
-- Whether somebody made a share by their own account, or a carer made it for them.
SELECT owner = ANY (owners_of(%s)) AND consent_id IS NULL AND legal_basis = 'patient-request'
  FROM share
 WHERE share_id = %s;

-- name: count_lately
-- How many shares somebody made within a day.
SELECT count(*) FROM share WHERE owner = %s AND created_at > now() - interval '1 day';

-- name: hold_sharer
-- One at a time: whoever comes second counts the share of the first.
SELECT pg_advisory_xact_lock(
           hashtextextended('share as ' || current_schema() || ' ' || %s, 0));

-- name: shares_no_more
-- Whether who shared a moment ago may not any more: their account was ended, or their right to act.
SELECT EXISTS (SELECT FROM account a
                 LEFT JOIN person_account b USING (account_id)
                WHERE a.login = split_part(%(owner)s, '#for-', 1)
                  AND (a.disabled_at IS NOT NULL OR b.ended_at IS NOT NULL))
    OR EXISTS (SELECT FROM carer_standing c
                WHERE c.carer_id = substring(%(owner)s FROM '#for-([0-9]{1,19})$')::bigint
                  AND NOT c.holds);

-- name: identities_in
-- Which identities some studies are of, and those of the person an account is bound to or acts for:
-- somebody consents before there is a study.
SELECT p.issuer, p.patient_id
  FROM study s
  JOIN patient p USING (patient_pk)
 WHERE s.study_uid = ANY (%(studies)s) AND p.patient_id <> ''
 UNION
SELECT i.issuer, i.patient_id
  FROM account a
  JOIN person_account b USING (account_id)
  JOIN identity me ON me.identity_id = b.identity_id
  JOIN identity i ON i.person_id = me.person_id
 WHERE a.login = %(owner)s AND b.ended_at IS NULL AND b.confirmed_at IS NOT NULL
   AND NOT i.quarantined
 UNION
SELECT i.issuer, i.patient_id
  FROM carer_standing c
  JOIN identity i ON i.person_id = c.person_id
 WHERE c.carer_id = substring(%(owner)s FROM '#for-([0-9]{1,19})$')::bigint
   AND c.acts_as = %(owner)s AND c.holds AND NOT i.quarantined;

-- name: shares_to_end
-- The shares somebody made that may still be opened.
SELECT share_id
  FROM share
 WHERE owner = %s AND state <> 'revoked' AND ends_at > now()
 ORDER BY share_id;

-- name: shares_to_suspend
-- The shares somebody made by an account of their own that may still be opened, held.
SELECT share_id
  FROM share
 WHERE owner = %s AND consent_id IS NULL AND legal_basis = 'patient-request'
   AND state NOT IN ('suspended', 'revoked') AND ends_at > now()
 ORDER BY share_id
   FOR UPDATE;

-- name: consents_of_some
-- What was allowed or forbidden under some identities, the latest first.
SELECT consent_id, c.issuer, c.patient_id, purpose, allowed, modalities, studied_from, studied_to,
       accession, text_version, way, recorded_by, valid_from, valid_to, state, ended_at, ended_by
  FROM unnest(%s::text[], %s::text[]) AS u (issuer, patient_id)
  JOIN consent c ON c.issuer = u.issuer AND c.patient_id = u.patient_id
 ORDER BY consent_id DESC
 LIMIT 1000;

-- name: begin_draft
INSERT INTO share_draft (draft_id, owner, sealed, ends_at)
VALUES (%s, %s, %s, now() + make_interval(secs => %s));

-- name: prune_drafts
-- Nobody keeps more than a few.
DELETE FROM share_draft
 WHERE draft_id IN (SELECT draft_id FROM share_draft
                     WHERE owner = %s ORDER BY draft_id DESC OFFSET %s);

-- name: find_draft
SELECT sealed, share_id FROM share_draft WHERE draft_id = %s AND owner = %s AND ends_at > now();

-- name: keep_draft
UPDATE share_draft
   SET sealed = %s
 WHERE draft_id = %s AND owner = %s AND ends_at > now() AND share_id IS NULL
RETURNING draft_id;

-- name: use_draft
-- It becomes a share, once.
UPDATE share_draft
   SET share_id = %s, sealed = ''
 WHERE draft_id = %s AND owner = %s AND ends_at > now() AND share_id IS NULL
RETURNING draft_id;

-- name: use_form
-- A form becomes one share; until tomorrow it is known which.
INSERT INTO share_draft (draft_id, owner, sealed, share_id, ends_at)
VALUES (%s, %s, '', %s, now() + interval '1 day')
ON CONFLICT DO NOTHING
RETURNING draft_id;

-- name: sweep_drafts
DELETE FROM share_draft WHERE ends_at <= now();

-- name: add_request
INSERT INTO patient_request
    (request_id, number, owner, kind, studies, share_id, person, words, notify, language, made_at,
     due_at)
VALUES
    (%(request_id)s, %(number)s, %(owner)s, %(kind)s, %(studies)s, %(share_id)s, %(person)s,
     %(words)s, %(notify)s, %(language)s, %(made_at)s, %(due_at)s)
ON CONFLICT DO NOTHING;

-- name: end_request
-- Answer it, or take it back; nothing comes back when that was done before.
UPDATE patient_request
   SET state = %(state)s, refusal = %(refusal)s, answer = %(answer)s, ended_at = %(ended_at)s,
       ended_by = %(ended_by)s
 WHERE request_id = %(request_id)s AND state = 'open'
RETURNING number, notify, language;

-- name: hold_asker
-- One at a time: whoever comes second counts the request of the first.
SELECT pg_advisory_xact_lock(
           hashtextextended('ask as ' || current_schema() || ' ' || %s, 0));

-- name: count_own_open
SELECT count(*) FROM patient_request WHERE owner = %s AND state = 'open';

-- name: list_requests
-- Requests of an account and of its carers, of a state, before another one, or one: what is open by when it is due, the
-- rest with the latest first.
SELECT r.request_id, r.number, r.owner, r.kind, r.studies, r.share_id, r.person, r.words, c.masked,
       r.language, r.made_at, r.due_at, r.state, r.refusal, r.answer, r.ended_at, r.ended_by
  FROM patient_request r
  LEFT JOIN contact_channel c ON c.channel_id = r.notify
 WHERE (%(request_id)s::bigint IS NULL OR r.request_id = %(request_id)s)
   AND (%(owner)s::text IS NULL OR r.owner = ANY (owners_of(%(owner)s)))
   AND (%(open)s::boolean IS NULL OR (r.state = 'open') = %(open)s)
   AND (%(before)s::bigint IS NULL OR r.request_id < %(before)s)
 ORDER BY CASE WHEN r.state = 'open' THEN r.due_at END, r.request_id DESC
 LIMIT %(most)s;

-- name: count_requests
-- What waits for an answer, and what has waited too long.
SELECT count(*), count(*) FILTER (WHERE due_at <= now()) FROM patient_request WHERE state = 'open';

-- name: report_requests
-- Every request without a name or a word: what was asked, how long it took, how it ended.
SELECT number, kind, made_at, due_at, state, refusal, ended_at,
       round((extract(epoch FROM COALESCE(ended_at, now()) - made_at) / 86400)::numeric, 1)
  FROM patient_request
 ORDER BY request_id
 LIMIT %s;

-- name: persons_of
-- Whose studies these are: one person, or an offer is refused.
SELECT DISTINCT p.issuer, p.patient_id, p.study_uid, i.person_id
  FROM study s
  JOIN patient p USING (patient_pk)
  LEFT JOIN study_identity n ON n.study_uid = s.study_uid
  LEFT JOIN identity i USING (identity_id)
 WHERE s.study_uid = ANY (%s);

-- name: in_doubt
-- Whether it must be settled first whose studies these are: one id given to two, a contradiction
-- between numbers that identify, or a study made after its patient died.
SELECT EXISTS (
       SELECT FROM study_identity s
         JOIN identity i USING (identity_id)
        WHERE s.study_uid = ANY (%s)
          AND (i.quarantined OR s.alert IS NOT NULL OR EXISTS (
              SELECT FROM identity_pair p
               WHERE i.identity_id IN (p.first, p.second)
                 AND p.state IN ('open', 'deferred') AND p.rule = 'R4')));

-- name: facts_of
-- What a consent may limit, of each series.
SELECT s.study_uid, NULLIF(s.study_date, '-infinity'), s.accession, e.series_uid, e.modality
  FROM study s
  JOIN series e USING (study_pk)
 WHERE s.study_uid = ANY (%s);

-- name: find_channel
-- A channel by its keyed hash, held.
SELECT channel_id, state
  FROM contact_channel
 WHERE kind = %(kind)s AND value_mac = %(value_mac)s
   FOR UPDATE;

-- name: add_channel
-- Take a channel in that was not known.
INSERT INTO contact_channel (channel_id, kind, sealed, value_mac, masked, created_at)
VALUES (%(channel_id)s, %(kind)s, %(sealed)s, %(value_mac)s, %(masked)s, %(created_at)s)
ON CONFLICT DO NOTHING;

-- name: open_channel
-- A channel to be written to.
SELECT channel_id, kind, sealed, state
  FROM contact_channel
 WHERE channel_id = %s;

-- name: prove_channel
-- A secret that was sent there came back.
UPDATE contact_channel
   SET state = 'verified', verified_at = now(), verified_by = 'code'
 WHERE channel_id = %s AND state IN ('unverified', 'bounced');

-- name: bounce_channel
-- A message to it came back. Not journalled: the next code that arrives proves it again.
UPDATE contact_channel
   SET state = 'bounced'
 WHERE channel_id = %s AND state IN ('unverified', 'verified');

-- name: add_consent
-- Record what somebody allowed or forbade.
INSERT INTO consent
    (consent_id, issuer, patient_id, purpose, allowed, modalities, studied_from, studied_to,
     accession, text_version, signature, way, recorded_by, valid_from, valid_to)
VALUES
    (%(consent_id)s, %(issuer)s, %(patient_id)s, %(purpose)s, %(allowed)s, %(modalities)s,
     %(studied_from)s, %(studied_to)s, %(accession)s, %(text_version)s, %(signature)s, %(way)s,
     %(recorded_by)s, %(valid_from)s, %(valid_to)s)
ON CONFLICT (consent_id) DO NOTHING;

-- name: end_consent
-- Withdraw a consent, or let another take its place; nothing comes back when it was over.
UPDATE consent
   SET state = %(state)s, ended_at = %(ended_at)s, ended_by = %(ended_by)s
 WHERE consent_id = %(consent_id)s AND state = 'active'
RETURNING issuer, patient_id;

-- name: consents_of
-- What a person allowed or forbade, the latest first.
SELECT consent_id, issuer, patient_id, purpose, allowed, modalities, studied_from, studied_to,
       accession, text_version, way, recorded_by, valid_from, valid_to, state, ended_at, ended_by
  FROM consent
 WHERE issuer = %s AND patient_id = %s
 ORDER BY consent_id DESC
 LIMIT 1000;

-- name: hear_person
-- Nobody changes what this person said until the transaction ends; any number may rely on it. What
-- is recorded meanwhile would neither be seen here, nor see what is written here.
SELECT pg_advisory_xact_lock_shared(
    hashtextextended('consents of ' || current_schema() || ' ' || %s || ' ' || %s, 0));

-- name: change_person
-- One at a time records or withdraws what this person said, and waits for who relies on it.
SELECT pg_advisory_xact_lock(
    hashtextextended('consents of ' || current_schema() || ' ' || %s || ' ' || %s, 0));

-- name: hold_consents
-- What of a person's consents counts now, held until an offer that rests on it stands. By the clock:
-- the time of a transaction is that of its beginning, and it may have waited for what counts now.
SELECT consent_id, issuer, patient_id, purpose, allowed, modalities, studied_from, studied_to,
       accession, text_version, way, recorded_by, valid_from, valid_to, state, ended_at, ended_by
  FROM consent
 WHERE issuer = %s AND patient_id = %s AND state = 'active'
   AND valid_from <= clock_timestamp() AND (valid_to IS NULL OR valid_to > clock_timestamp())
 ORDER BY consent_id
   FOR SHARE;

-- name: identities_beside
-- The other identities of the persons some are of: what somebody forbids stands under any of them.
SELECT i.issuer, i.patient_id
  FROM unnest(%(issuers)s::text[], %(ids)s::text[]) AS u (issuer, patient_id)
  JOIN identity me ON me.issuer = u.issuer AND me.patient_id = u.patient_id
  JOIN identity i ON i.person_id = me.person_id
 WHERE NOT me.quarantined AND NOT i.quarantined
EXCEPT
SELECT * FROM unnest(%(issuers)s::text[], %(ids)s::text[])
 ORDER BY issuer, patient_id;

-- name: consents_now
-- What of a person's consents counts now, not held: what is given stands already.
SELECT consent_id, issuer, patient_id, purpose, allowed, modalities, studied_from, studied_to,
       accession, text_version, way, recorded_by, valid_from, valid_to, state, ended_at, ended_by
  FROM consent
 WHERE issuer = %s AND patient_id = %s AND state = 'active'
   AND valid_from <= clock_timestamp() AND (valid_to IS NULL OR valid_to > clock_timestamp())
 ORDER BY consent_id;

-- name: shares_on_consents_of
-- What rests on a consent of some identities and may still be opened, held.
SELECT share_id, number, owner, s.purpose, consent_id, legal_basis, s.issuer, s.patient_id, person,
       studies, reports, download, forward, created_at, ends_at, max_opens, opens, owner_key, s.state
  FROM share s
  JOIN consent c USING (consent_id)
 WHERE (c.issuer, c.patient_id) IN (SELECT * FROM unnest(%(issuers)s::text[], %(ids)s::text[]))
   AND s.state NOT IN ('suspended', 'revoked') AND ends_at > now()
 ORDER BY share_id
   FOR UPDATE OF s;

-- name: facts_of_share
-- What a consent may limit, of each series a share has something of.
SELECT s.study_uid, NULLIF(s.study_date, '-infinity'), s.accession, e.modality
  FROM study s
  JOIN series e USING (study_pk)
 WHERE s.study_uid = ANY (%(studies)s)
   AND EXISTS (SELECT FROM share_item f
                WHERE f.share_id = %(share_id)s AND f.study_uid = s.study_uid
                  AND f.series_uid = e.series_uid);

-- name: shares_on_consent
-- What rests on a consent, or on one of the same question whose place it took, held.
SELECT share_id, number
  FROM share
 WHERE consent_id IN (
           SELECT o.consent_id
             FROM consent c
             JOIN consent o
               ON o.issuer = c.issuer AND o.patient_id = c.patient_id AND o.purpose = c.purpose
              AND o.accession IS NOT DISTINCT FROM c.accession
              AND o.modalities IS NOT DISTINCT FROM c.modalities
              AND o.studied_from IS NOT DISTINCT FROM c.studied_from
              AND o.studied_to IS NOT DISTINCT FROM c.studied_to
            WHERE c.consent_id = %s
              AND (o.consent_id = c.consent_id OR o.state = 'superseded'))
   AND state NOT IN ('suspended', 'revoked')
 ORDER BY share_id
   FOR UPDATE;

-- name: shares_of_study
-- What shows a study, held.
SELECT share_id, number
  FROM share
 WHERE studies @> ARRAY[%s::text] AND state NOT IN ('suspended', 'revoked')
 ORDER BY share_id
   FOR UPDATE;

-- name: suspend_share
-- It holds no more until somebody lets it go on.
UPDATE share
   SET suspended = state, state = 'suspended', reason = %(reason)s
 WHERE share_id = %(share_id)s AND state NOT IN ('suspended', 'revoked')
RETURNING share_id;

-- name: reinstate_share
-- It goes on where it was.
UPDATE share
   SET state = suspended, suspended = NULL, reason = NULL
 WHERE share_id = %(share_id)s AND state = 'suspended'
RETURNING share_id;

-- name: consent_state
-- Whether a consent holds now.
SELECT state = 'active' AND (valid_to IS NULL OR valid_to > now()) FROM consent WHERE consent_id = %s;

-- name: add_share
INSERT INTO share
    (share_id, number, owner, purpose, consent_id, legal_basis, issuer, patient_id, person,
     studies, items_sha256, reports, download, forward, created_at, ends_at, max_opens, owner_key,
     notify, language, state)
VALUES
    (%(share_id)s, %(number)s, %(owner)s, %(purpose)s, %(consent_id)s, %(legal_basis)s,
     %(issuer)s, %(patient_id)s, %(person)s, %(studies)s, %(items_sha256)s, %(reports)s,
     %(download)s, %(forward)s, %(created_at)s, %(ends_at)s, %(max_opens)s, %(owner_key)s,
     %(notify)s, %(language)s, %(state)s)
ON CONFLICT (share_id) DO NOTHING
RETURNING share_id;

-- name: add_items
-- The frozen list.
INSERT INTO share_item
    (share_id, study_uid, series_uid, instance_uid, blob_id, data_key, size)
SELECT %s, u.study_uid, u.series_uid, u.instance_uid, u.blob_id, u.data_key, u.size
  FROM unnest(%s, %s, %s, %s, %s, %s)
       AS u (study_uid, series_uid, instance_uid, blob_id, data_key, size)
ON CONFLICT DO NOTHING;

-- name: add_grant
-- A grant that was not there before. Guests may do this much.
INSERT INTO share_grant
    (grant_id, share_id, parent_id, depth, recipient, locator, link_wrap, printed, printed_salt,
     printed_wrap, passcode_salt, pepper, stretch, proof, to_channel, by_channel, language,
     only_parts, reports, download, forward, created_at, issued_at, ends_at, state)
VALUES
    (%(grant_id)s, %(share_id)s, %(parent_id)s, %(depth)s, %(recipient)s, %(locator)s,
     %(link_wrap)s, %(printed)s, %(printed_salt)s, %(printed_wrap)s, %(passcode_salt)s,
     %(pepper)s, %(stretch)s, %(proof)s, %(to_channel)s, %(by_channel)s, %(language)s,
     %(only_parts)s::jsonb, %(reports)s, %(download)s, %(forward)s, %(created_at)s,
     %(issued_at)s, %(ends_at)s, %(state)s)
ON CONFLICT (grant_id) DO NOTHING
RETURNING grant_id;

-- name: renew_grant
-- An old grant under new secrets, unless it was issued later than that.
UPDATE share_grant
   SET by_channel = %(by_channel)s, locator = %(locator)s, link_wrap = %(link_wrap)s,
       printed = %(printed)s, printed_salt = %(printed_salt)s, printed_wrap = %(printed_wrap)s,
       passcode_salt = %(passcode_salt)s, pepper = %(pepper)s, stretch = %(stretch)s,
       issued_at = %(issued_at)s, ends_at = %(ends_at)s, state = %(state)s,
       wrong = 0, ended_at = NULL, ended_by = NULL, reason = NULL
 WHERE grant_id = %(grant_id)s AND issued_at < %(issued_at)s AND state <> 'revoked'
RETURNING grant_id;

-- name: is_printed_taken
SELECT EXISTS (SELECT FROM share_grant WHERE printed = %s);

-- name: find_share
-- A share, held.
SELECT share_id, number, owner, purpose, consent_id, legal_basis, issuer, patient_id, person,
       studies, reports, download, forward, created_at, ends_at, max_opens, opens, owner_key, state
  FROM share
 WHERE share_id = %s
   FOR UPDATE;

-- name: share_of_grant
SELECT share_id FROM share_grant WHERE grant_id = %s;

-- name: find_grant
-- A grant with what holds of it, held.
SELECT g.grant_id, g.share_id, g.parent_id, g.depth, g.recipient, g.proof, g.to_channel,
       g.by_channel, g.language, g.only_parts, g.reports, g.download, g.forward, g.created_at,
       g.issued_at, g.ends_at, g.state, g.printed IS NOT NULL, st.why, st.ends_at, st.reports, st.download,
       st.forward, st.only_parts
  FROM share_grant g
 CROSS JOIN LATERAL grant_standing(g.grant_id) st
 WHERE g.grant_id = %s
   FOR UPDATE OF g;

-- name: grant_by_locator
-- What a link opens.
SELECT g.grant_id, g.share_id, s.number, st.why,
       COALESCE(s.opens >= s.max_opens, false), g.link_wrap, g.pepper, g.passcode_salt
  FROM share_grant g
  JOIN share s USING (share_id)
 CROSS JOIN LATERAL grant_standing(g.grant_id) st
 WHERE g.locator = %s;

-- name: grant_by_print
-- What a printed code may open.
SELECT g.grant_id, g.share_id, s.number, st.why,
       COALESCE(s.opens >= s.max_opens, false), g.link_wrap, g.pepper, g.passcode_salt,
       g.printed_wrap, g.printed_salt, g.stretch
  FROM share_grant g
  JOIN share s USING (share_id)
 CROSS JOIN LATERAL grant_standing(g.grant_id) st
 WHERE g.printed = %s;

-- name: begin_session
INSERT INTO share_session
    (secret_hash, grant_id, level, proven, half, by_print, address, agent, ends_at)
VALUES
    (%s, %s, 0, '{}', %s, %s, %s, %s, now() + make_interval(secs => %s))
RETURNING session_id;

-- name: note_link_opened
UPDATE share_grant
   SET state = 'link_opened'
 WHERE grant_id = %s AND state IN ('pending', 'invited')
RETURNING to_channel;

-- name: to_channel_of
SELECT to_channel FROM share_grant WHERE grant_id = %s;

-- name: find_guest
-- Who a cookie stands for, while everything its grant rests on holds.
SELECT x.session_id, x.grant_id, g.share_id, x.level, x.proven, g.proof, st.ends_at, st.reports,
       st.download, st.forward, st.only_parts, s.number, s.purpose, s.person, s.studies,
       g.recipient, c.masked, x.seen_at < now() - make_interval(secs => %(touch_s)s), x.address,
       (SELECT string_agg(t.study_pk || ':' || t.revision, ',' ORDER BY t.study_pk)
          FROM study y
          JOIN study_state t USING (study_pk)
         WHERE y.study_uid = ANY (s.studies)),
       x.half, g.depth > 0
  FROM share_session x
  JOIN share_grant g USING (grant_id)
  JOIN share s USING (share_id)
  LEFT JOIN contact_channel c ON c.channel_id = g.by_channel
 CROSS JOIN LATERAL grant_standing(g.grant_id) st
 WHERE x.secret_hash = %(secret_hash)s AND st.why IS NULL
   AND x.ends_at > now() AND x.seen_at > now() - make_interval(secs => %(idle_s)s);

-- name: find_guest_by_capability
-- The same by a path.
SELECT x.session_id, x.grant_id, g.share_id, x.level, x.proven, g.proof, st.ends_at, st.reports,
       st.download, st.forward, st.only_parts, s.number, s.purpose, s.person, s.studies,
       g.recipient, c.masked, x.seen_at < now() - make_interval(secs => %(touch_s)s), x.address,
       (SELECT string_agg(t.study_pk || ':' || t.revision, ',' ORDER BY t.study_pk)
          FROM study y
          JOIN study_state t USING (study_pk)
         WHERE y.study_uid = ANY (s.studies)),
       k.half, g.depth > 0
  FROM capability k
  JOIN share_session x USING (session_id)
  JOIN share_grant g USING (grant_id)
  JOIN share s USING (share_id)
  LEFT JOIN contact_channel c ON c.channel_id = g.by_channel
 CROSS JOIN LATERAL grant_standing(g.grant_id) st
 WHERE k.secret_hash = %(secret_hash)s AND st.why IS NULL AND x.level = 1
   AND x.ends_at > now() AND x.seen_at > now() - make_interval(secs => %(idle_s)s);

-- name: touch_session
UPDATE share_session SET seen_at = now() WHERE session_id = %s;

-- name: end_session
DELETE FROM share_session WHERE secret_hash = %s RETURNING grant_id;

-- name: end_sessions
-- Nobody goes on under these grants.
DELETE FROM share_session WHERE grant_id = ANY (%s) RETURNING session_id;

-- name: end_sessions_of_shares
-- Nobody goes on under these shares.
DELETE FROM share_session x
 USING share_grant g
 WHERE g.grant_id = x.grant_id AND g.share_id = ANY (%s)
RETURNING x.session_id;

-- name: visible_of
-- What of a share's studies is shown now: the frozen list, and reports where they may be added.
SELECT s.study_uid, e.series_uid, count(*),
       array_agg(i.sop_instance_uid)
           FILTER (WHERE f.instance_uid IS NOT NULL OR i.sop_class_uid = ANY (%(reports)s))
  FROM study s
  JOIN series e USING (study_pk)
  JOIN instance i USING (series_pk)
  LEFT JOIN share_item f
         ON f.share_id = %(share_id)s AND f.instance_uid = i.sop_instance_uid
        AND f.study_uid = s.study_uid AND f.series_uid = e.series_uid
 WHERE s.study_uid = ANY (%(studies)s) AND i.current
 GROUP BY s.study_uid, e.series_uid;

-- name: charge_try
-- Count a secret as wrong before it is tried; nothing comes back when there is no try left.
UPDATE share_grant
   SET wrong = wrong + 1
 WHERE grant_id = %s AND wrong < 20 AND state NOT IN ('revoked', 'locked', 'refused')
RETURNING wrong;

-- name: give_try_back
-- It was right.
UPDATE share_grant
   SET wrong = wrong - 1
 WHERE grant_id = %s AND wrong > 0 AND state NOT IN ('revoked', 'locked', 'refused')
RETURNING wrong;

-- name: wrong_of
SELECT share_id, wrong FROM share_grant WHERE grant_id = %s;

-- name: notify_of
-- Who is told what becomes of a share.
SELECT notify FROM share WHERE share_id = %s;

-- name: number_of
SELECT number FROM share WHERE share_id = %s;

-- name: half_of
SELECT half FROM share_session WHERE secret_hash = %s;

-- name: hold_share_of_session
-- The share is held before its grants, here as everywhere.
SELECT s.share_id
  FROM share_session x
  JOIN share_grant g USING (grant_id)
  JOIN share s USING (share_id)
 WHERE x.secret_hash = %s
   FOR UPDATE OF s;

-- name: proof_of
-- What a session must still show, its grant held.
SELECT x.session_id, x.grant_id, g.share_id, x.proven, g.proof, x.half, g.link_wrap, g.pepper,
       g.passcode_salt, g.stretch, g.wrong, g.by_channel, g.language, s.number, x.address,
       s.studies
  FROM share_session x
  JOIN share_grant g USING (grant_id)
  JOIN share s USING (share_id)
 CROSS JOIN LATERAL grant_standing(g.grant_id) st
 WHERE x.secret_hash = %(secret_hash)s AND st.why IS NULL
   AND x.ends_at > now() AND x.seen_at > now() - make_interval(secs => %(idle_s)s)
   FOR UPDATE OF g, x;

-- name: keep_proven
UPDATE share_session
   SET proven = %(proven)s, level = %(level)s, half = %(half)s, seen_at = now()
 WHERE session_id = %(session_id)s;

-- name: count_open
-- Somebody got in; nothing comes back when that was allowed often enough.
UPDATE share
   SET opens = opens + 1,
       state = CASE WHEN state IN ('sent', 'verified') THEN 'active' ELSE state END
 WHERE share_id = %s AND (max_opens IS NULL OR opens < max_opens)
RETURNING opens;

-- name: note_open
UPDATE share_grant
   SET state = 'open', opens = opens + 1, last_open_at = now(),
       first_open_at = COALESCE(first_open_at, now())
 WHERE grant_id = %s
RETURNING opens;

-- name: sent_lately
-- What was sent for a grant, and to a channel: the last one, and how many.
SELECT (SELECT extract(epoch FROM now() - max(created_at))::float8 FROM one_time_code
         WHERE grant_id = %(grant_id)s),
       (SELECT count(*) FROM one_time_code
         WHERE grant_id = %(grant_id)s AND created_at > now() - interval '1 hour'),
       (SELECT count(*) FROM one_time_code
         WHERE grant_id = %(grant_id)s AND created_at > now() - interval '1 day'),
       (SELECT count(*) FROM one_time_code
         WHERE channel_id = %(channel_id)s AND created_at > now() - interval '10 minutes'),
       (SELECT max(ends_at) FROM one_time_code
         WHERE grant_id = %(grant_id)s AND state = 'issued');

-- name: void_codes
UPDATE one_time_code SET state = 'void' WHERE grant_id = %s AND state = 'issued';

-- name: add_code
INSERT INTO one_time_code (grant_id, way, channel_id, mac, ends_at)
VALUES (%s, %s, %s, %s, now() + interval '10 minutes')
RETURNING ends_at;

-- name: find_code
-- The code that is out for a grant, held.
SELECT code_id, mac, tries, channel_id
  FROM one_time_code
 WHERE grant_id = %s AND way = %s AND state = 'issued' AND ends_at > now()
   FOR UPDATE;

-- name: use_code
UPDATE one_time_code SET state = 'used' WHERE code_id = %s;

-- name: note_wrong_code
UPDATE one_time_code
   SET tries = tries + 1, state = CASE WHEN tries >= 4 THEN 'burned' ELSE state END
 WHERE code_id = %s;

-- name: note_code_sent
UPDATE share_grant
   SET state = 'factor_pending'
 WHERE grant_id = %s AND state IN ('pending', 'invited', 'link_opened');

-- name: whom_to_tell
-- Who is told what becomes of a grant: the one it came from, or whom the share names.
SELECT COALESCE(p.to_channel, s.notify), COALESCE(p.language, s.language), s.number, g.opens,
       g.ends_at
  FROM share_grant g
  JOIN share s USING (share_id)
  LEFT JOIN share_grant p ON p.grant_id = g.parent_id
 WHERE g.grant_id = %s;

-- name: proven_of_person
-- Where a person is written to by accounts of their own: every way that is proven, mailboxes first.
SELECT DISTINCT b.account_id, o.channel_id, s.language, o.kind
  FROM identity me
  JOIN identity i ON i.person_id = me.person_id
  JOIN person_account b ON b.identity_id = i.identity_id
  JOIN account a USING (account_id)
 CROSS JOIN LATERAL (SELECT n.channel_id, n.kind
                       FROM own_contact_now n
                      WHERE n.account_id = b.account_id
                     OFFSET 0) o  -- see ways_of_person
  LEFT JOIN own_setting s USING (account_id)
 WHERE me.issuer = %s AND me.patient_id = %s AND NOT me.quarantined AND NOT i.quarantined
   AND b.ended_at IS NULL AND b.confirmed_at IS NOT NULL AND a.disabled_at IS NULL
 ORDER BY b.account_id, o.kind;

-- name: count_instances
-- How much a choice holds, before any of it is read.
SELECT COALESCE((SELECT sum(t.instances)
                   FROM study s JOIN study_state t USING (study_pk)
                  WHERE s.study_uid = ANY (%(studies)s)), 0)
     + COALESCE((SELECT sum(t.instances)
                   FROM unnest(%(of_studies)s, %(series)s) AS u (study_uid, series_uid)
                   JOIN study s USING (study_uid)
                   JOIN series e USING (study_pk, series_uid)
                   JOIN series_state t USING (series_pk)), 0);

-- name: line_below
-- A grant and all that was forwarded from it, held, from the top down.
WITH RECURSIVE below AS (
    SELECT grant_id FROM share_grant WHERE grant_id = %s
    UNION ALL
    SELECT g.grant_id FROM below b JOIN share_grant g ON g.parent_id = b.grant_id
)
SELECT g.grant_id, g.issued_at
  FROM share_grant g
  JOIN below USING (grant_id)
 ORDER BY g.grant_id
   FOR UPDATE OF g;

-- name: end_grants
-- They hold no more; what has ended before stays as it ended, but for a lock.
UPDATE share_grant
   SET state = %(state)s, ended_at = %(ended_at)s, ended_by = %(ended_by)s, reason = %(reason)s
 WHERE grant_id = ANY (%(grants)s) AND issued_at <= %(ended_at)s
   AND (state NOT IN ('revoked', 'refused', 'locked')
        OR state = 'locked' AND %(state)s <> 'locked')
RETURNING grant_id;

-- name: end_share
UPDATE share
   SET state = 'revoked', suspended = NULL, ended_at = %(ended_at)s, ended_by = %(ended_by)s,
       reason = %(reason)s
 WHERE share_id = %(share_id)s AND state <> 'revoked'
RETURNING share_id;

-- name: grants_of
SELECT grant_id FROM share_grant WHERE share_id = %s ORDER BY grant_id FOR UPDATE;

-- name: extend_share
-- It ends later, and so do the grants that were given by its owner.
WITH extended AS (
    UPDATE share
       SET ends_at = GREATEST(ends_at, %(ends_at)s)
     WHERE share_id = %(share_id)s AND state <> 'revoked'
    RETURNING share_id
)
UPDATE share_grant g
   SET ends_at = GREATEST(g.ends_at, %(ends_at)s)
  FROM extended e
 WHERE g.share_id = e.share_id AND g.depth = 0 AND g.state NOT IN ('revoked', 'refused')
RETURNING g.grant_id;

-- name: note_tested
UPDATE share
   SET tested_at = now(), state = CASE WHEN state = 'sent' THEN 'verified' ELSE state END
 WHERE share_id = %s;

-- name: items_of
-- Some of a share's items, in order.
SELECT instance_uid, blob_id, data_key
  FROM share_item
 WHERE share_id = %(share_id)s AND instance_uid > %(after)s
 ORDER BY instance_uid
 LIMIT %(most)s;

-- name: proofs_of
-- What is asked of those whose grants hold.
SELECT g.proof
  FROM share_grant g
 CROSS JOIN LATERAL grant_standing(g.grant_id) st
 WHERE g.share_id = %s AND st.why IS NULL
 ORDER BY g.grant_id;

-- name: add_capability
-- A path for a session; the one before is over.
INSERT INTO capability (secret_hash, session_id, half)
VALUES (%s, %s, %s)
ON CONFLICT (session_id) DO UPDATE
   SET secret_hash = excluded.secret_hash, half = excluded.half, created_at = now();

-- name: ending_soon
-- Links that end within three days and whose recipients were not told of this end yet. What was told
-- is in the messages: until_at is the end they told of.
SELECT g.grant_id, g.share_id, g.to_channel, g.language, s.number, g.ends_at
  FROM share_grant g
  JOIN share s USING (share_id)
  JOIN contact_channel c ON c.channel_id = g.to_channel
 WHERE g.ends_at > now() AND g.ends_at <= now() + interval '3 days'
   AND g.ends_at - g.issued_at > interval '7 days'
   AND g.state NOT IN ('revoked', 'locked', 'refused')
   AND s.state NOT IN ('draft', 'ready', 'suspended', 'revoked')
   AND c.state IN ('unverified', 'verified')
   AND NOT EXISTS (
       SELECT FROM message m
        WHERE m.grant_id = g.grant_id AND m.template = %s AND m.until_at = g.ends_at)
 ORDER BY g.ends_at, g.grant_id
 LIMIT %s
   FOR UPDATE OF g SKIP LOCKED;

-- name: sweep_sharing
-- What is over: sessions, codes of a day ago.
WITH codes AS (
    DELETE FROM one_time_code WHERE created_at < now() - interval '1 day'
)
DELETE FROM share_session
 WHERE ends_at <= now() OR seen_at < now() - make_interval(secs => %s);

-- name: hold_share
SELECT share_id FROM share WHERE share_id = %s FOR UPDATE;

-- name: count_children
-- What was given on from a grant and holds.
SELECT count(*)
  FROM share_grant
 WHERE parent_id = %s AND state NOT IN ('revoked', 'refused') AND ends_at > now();

-- name: list_shares
-- Shares of a tab, of a study, before another, or one; of those that show nothing of what is withheld,
-- and nothing but what is seen, where not all is: a page of the board is full as long as there are more.
SELECT s.share_id, s.number, s.standing, s.owner, s.purpose, s.person, s.studies,
       (SELECT count(*) FROM share_item i WHERE i.share_id = s.share_id),
       g.grants, s.opens, s.created_at, s.ends_at, g.last_open_at, s.consent_id, s.legal_basis,
       s.reports, s.download, s.forward, s.max_opens, s.tested_at, s.reason
  FROM share_standing s
 CROSS JOIN LATERAL (
     SELECT count(*) AS grants, max(last_open_at) AS last_open_at,
            bool_or(state IN ('locked', 'refused')) AS is_stuck
       FROM share_grant
      WHERE share_id = s.share_id
 ) g
 WHERE (%(share_id)s::bigint IS NULL OR s.share_id = %(share_id)s)
   AND (%(before)s::bigint IS NULL OR s.share_id < %(before)s)
   AND (%(study)s::text IS NULL OR s.share_id = ANY (ARRAY(
           SELECT h.share_id FROM share h WHERE h.studies @> ARRAY[%(study)s::text])))
   AND NOT s.studies && %(withheld)s::text[]
   AND (%(seen)s::text[] IS NULL OR s.share_id = ANY (ARRAY(
           SELECT h.share_id FROM share h
            WHERE h.studies && %(seen)s::text[] AND h.studies <@ %(seen)s::text[])))
   -- what ended long ago is not looked through for what may be opened
   AND (%(tab)s::text NOT IN ('waiting', 'unopened', 'expiring', 'locked') OR s.share_id = ANY (ARRAY(
           SELECT h.share_id FROM share h WHERE h.ends_at > now())))
   AND CASE %(tab)s
           WHEN 'today' THEN s.created_at > now() - interval '1 day'
           WHEN 'waiting' THEN s.standing IN ('sent', 'verified')
           WHEN 'unopened' THEN s.standing IN ('sent', 'verified')
               AND s.created_at < now() - make_interval(days => %(unopened)s)
           WHEN 'expiring' THEN s.standing IN ('sent', 'verified', 'active')
               AND s.ends_at < now() + make_interval(days => %(expiring)s)
           WHEN 'locked' THEN g.is_stuck AND s.standing IN ('sent', 'verified', 'active')
           WHEN 'ended' THEN s.standing IN ('suspended', 'expired', 'exhausted', 'revoked')
           ELSE true
       END
 ORDER BY s.share_id DESC
 LIMIT %(most)s;

-- name: share_months
-- Month by month: what was given on, whether and how soon it was first opened, and discs.
WITH month AS (
    SELECT generate_series(date_trunc('month', now()) - interval '11 months',
                           date_trunc('month', now()), interval '1 month') AS begins
), given AS (
    SELECT date_trunc('month', s.created_at) AS begins,
           EXTRACT(EPOCH FROM min(g.first_open_at) - s.created_at)::float8 AS waited
      FROM share s
      LEFT JOIN share_grant g USING (share_id)
     WHERE s.created_at >= date_trunc('month', now()) - interval '11 months'
     GROUP BY s.share_id
), opened AS (
    SELECT begins, count(*) AS shares, count(waited) AS opened,
           percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY waited) AS waited
      FROM given
     GROUP BY begins
), disc AS (
    SELECT date_trunc('month', at) AS begins, count(*) AS discs
      FROM audit
     WHERE kind = 'disc.asked'
       AND at >= date_trunc('month', now()) - interval '11 months'
     GROUP BY 1
)
SELECT m.begins, COALESCE(o.shares, 0), COALESCE(o.opened, 0), o.waited[1], o.waited[2],
       COALESCE(d.discs, 0)
  FROM month m
  LEFT JOIN opened o USING (begins)
  LEFT JOIN disc d USING (begins)
 ORDER BY m.begins DESC;

-- name: count_auto_since
-- What became of studies that go out by themselves, since a time.
SELECT state, count(*)
  FROM auto_share
 WHERE changed_at >= %s
 GROUP BY state;

-- name: numbers_of
-- What people call some shares, and which studies those show.
SELECT share_id, number, studies FROM share WHERE share_id = ANY (%s);

-- name: list_grants
-- The grants of some shares, parents before children.
SELECT g.grant_id, g.parent_id,
       CASE WHEN g.state IN ('revoked', 'refused', 'locked') THEN g.state
            WHEN st.why IN ('revoked', 'expired') THEN st.why
            WHEN st.why = 'refused' THEN 'revoked'
            ELSE g.state END,
       g.recipient, t.masked, b.masked, g.proof, g.printed IS NOT NULL, g.ends_at, g.opens,
       g.wrong, g.reports, g.download, g.forward, g.language, g.issued_at, g.first_open_at,
       g.last_open_at, g.ended_at, g.reason, g.share_id
  FROM share_grant g
  LEFT JOIN contact_channel t ON t.channel_id = g.to_channel
  LEFT JOIN contact_channel b ON b.channel_id = g.by_channel
 CROSS JOIN LATERAL grant_standing(g.grant_id) st
 WHERE g.share_id = ANY(%s)
 ORDER BY g.depth, g.grant_id;

-- name: share_events
-- What happened with a share, from the trail, the latest first.
SELECT at, kind, outcome, principal, actor_kind, detail
  FROM audit
 WHERE detail ->> 'share' = %s AND detail ? 'share'
 ORDER BY id DESC
 LIMIT %s;

-- name: keys_of_blob
-- The data key of a blob under the keys of these shares.
SELECT share_id, data_key
  FROM share_item
 WHERE blob_id = %(blob_id)s AND share_id = ANY (%(shares)s)
UNION ALL
SELECT share_id, data_key
  FROM share_later_key
 WHERE blob_id = %(blob_id)s AND share_id = ANY (%(shares)s)
 LIMIT 1;

-- name: keys_beside
-- The data keys of a share's items from one of them on, as they are read one after the other.
SELECT blob_id, data_key
  FROM share_item
 WHERE share_id = %(share_id)s
   AND instance_uid >= (SELECT min(instance_uid) FROM share_item
                         WHERE share_id = %(share_id)s AND blob_id = %(blob_id)s)
 ORDER BY instance_uid
 LIMIT %(most)s;

-- name: share_with_blob
-- A share that holds, and which current instance of its studies a blob is.
SELECT s.owner_key, s.studies, s.reports, y.study_uid, e.series_uid, i.sop_instance_uid, b.header
  FROM share s
  JOIN study y ON y.study_uid = ANY (s.studies)
  JOIN series e USING (study_pk)
  JOIN instance i USING (series_pk)
  JOIN instance_blob b USING (instance_pk)
 WHERE s.share_id = %(share_id)s AND i.blob_id = %(blob_id)s AND i.current
   AND s.state IN ('sent', 'verified', 'active') AND s.ends_at > now();

-- name: add_later_key
-- Keep a data key that was wrapped for a share later on.
INSERT INTO share_later_key (share_id, blob_id, data_key)
VALUES (%s, %s, %s)
ON CONFLICT DO NOTHING;

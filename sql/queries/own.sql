-- name: add_binding
-- Bind an account to an identity; nothing comes back when it is bound, or the link was used.
INSERT INTO person_account (
       account_id, identity_id, proof, grant_id, asked_by, confirmed_at, confirmed_by)
VALUES (%(account)s, %(identity)s, %(proof)s, %(grant)s, %(asked_by)s,
        CASE WHEN %(confirmed_by)s::text IS NOT NULL THEN now() END, %(confirmed_by)s)
    ON CONFLICT DO NOTHING
RETURNING binding_id;

-- name: bindings_of
-- The accounts of some identities, the newest first.
SELECT b.binding_id, b.account_id, a.login, b.identity_id, b.proof, b.asked_at, b.asked_by,
       b.confirmed_at, b.confirmed_by, b.ended_at, b.ended_by, b.reason, a.enrolled_at
  FROM person_account b
  JOIN account a USING (account_id)
 WHERE b.identity_id = ANY (%s::bytea[])
 ORDER BY b.binding_id DESC
 LIMIT %s;

-- name: bindings_waiting
-- The accounts that wait for staff, the oldest first.
SELECT b.binding_id, b.account_id, a.login, b.identity_id, b.proof, b.asked_at, b.asked_by,
       b.confirmed_at, b.confirmed_by, b.ended_at, b.ended_by, b.reason, a.enrolled_at
  FROM person_account b
  JOIN account a USING (account_id)
 WHERE b.confirmed_at IS NULL AND b.ended_at IS NULL AND a.enrolled_at IS NOT NULL
 ORDER BY b.asked_at, b.binding_id
 LIMIT %s;

-- name: binding_of_account
-- What an account is bound to now.
SELECT b.binding_id, b.account_id, a.login, b.identity_id, b.proof, b.asked_at, b.asked_by,
       b.confirmed_at, b.confirmed_by, b.ended_at, b.ended_by, b.reason, a.enrolled_at
  FROM person_account b
  JOIN account a USING (account_id)
 WHERE b.account_id = %s AND b.ended_at IS NULL;

-- name: binding_of_grant
-- The account that was made by a link.
SELECT b.binding_id, b.account_id, a.login, b.identity_id, b.proof, b.asked_at, b.asked_by,
       b.confirmed_at, b.confirmed_by, b.ended_at, b.ended_by, b.reason, a.enrolled_at
  FROM person_account b
  JOIN account a USING (account_id)
 WHERE b.grant_id = %s AND b.ended_at IS NULL;

-- name: hold_binding
-- One binding that stands, kept as it is until the transaction ends.
SELECT b.binding_id, b.account_id, a.login, b.identity_id, b.proof, b.asked_at, b.asked_by,
       b.confirmed_at, b.confirmed_by, b.ended_at, b.ended_by, b.reason, a.enrolled_at
  FROM person_account b
  JOIN account a USING (account_id)
 WHERE b.binding_id = %s AND b.ended_at IS NULL
   FOR UPDATE OF b;

-- name: confirm_binding
-- Staff have compared.
UPDATE person_account
   SET confirmed_at = now(), confirmed_by = %(by)s
 WHERE binding_id = %(binding)s AND confirmed_at IS NULL AND ended_at IS NULL;

-- name: end_binding
-- The account is this person's no more.
UPDATE person_account
   SET ended_at = now(), ended_by = %(by)s, reason = %(reason)s
 WHERE binding_id = %(binding)s AND ended_at IS NULL;

-- name: keep_code
-- Give an account a code; the one before is void.
INSERT INTO desk_code (account_id, code_hash, issued_by, opens_at, ends_at)
VALUES (%(account)s, %(hash)s, %(by)s,
        CASE WHEN %(hold_s)s > 0 THEN now() + make_interval(secs => %(hold_s)s) END,
        now() + make_interval(secs => %(lasts_s)s + %(hold_s)s))
    ON CONFLICT (account_id) DO UPDATE
   SET code_hash = excluded.code_hash, issued_at = now(), issued_by = excluded.issued_by,
       opens_at = excluded.opens_at, ends_at = excluded.ends_at, tries = 0
RETURNING ends_at, opens_at;

-- name: charge_code
-- Count a try of a code before it is made; nothing comes back when it opens nothing any more. Whose
-- birth date is typed with it: the person's, else that of whom the account has acted for longest.
UPDATE desk_code d
   SET tries = tries + 1
  FROM account a
  LEFT JOIN person_account b ON b.account_id = a.account_id AND b.ended_at IS NULL
  LEFT JOIN LATERAL (SELECT c.identity_id
                       FROM carer_standing c
                      WHERE c.account_id = a.account_id AND c.holds
                      ORDER BY c.given_at, c.carer_id
                      LIMIT 1) f ON true
 WHERE d.code_hash = %s AND d.ends_at > now() AND d.tries < 5
   AND (d.opens_at IS NULL OR d.opens_at <= now())
   AND a.account_id = d.account_id AND a.disabled_at IS NULL
   AND coalesce(b.identity_id, f.identity_id) IS NOT NULL
RETURNING d.account_id, a.login, coalesce(b.identity_id, f.identity_id);

-- name: give_code_back
-- The try was right: it does not count.
UPDATE desk_code
   SET tries = greatest(tries - 1, 0)
 WHERE account_id = %s;

-- name: drop_code
-- The code opens nothing any more.
DELETE FROM desk_code
 WHERE account_id = %s;

-- name: drop_held_codes
-- Codes that open nothing yet, of some accounts, are void; whose they were.
DELETE FROM desk_code
 WHERE account_id = ANY (%s) AND opens_at > now()
RETURNING account_id;

-- name: codes_of
-- Until when the codes of some accounts are good, whether wrong tries have locked them, and from
-- when on they open where they do not yet.
SELECT account_id, ends_at, tries >= 5, CASE WHEN opens_at > now() THEN opens_at END
  FROM desk_code
 WHERE account_id = ANY (%s) AND ends_at > now();

-- name: mark_seen
-- A patient has opened a study.
INSERT INTO own_seen (account_id, study_uid)
VALUES (%s, %s)
    ON CONFLICT DO NOTHING;

-- name: seen_of
-- Which of some studies a patient has opened.
SELECT study_uid
  FROM own_seen
 WHERE account_id = %s AND study_uid = ANY (%s);

-- name: not_released
-- How many studies of a patient wait for their release, and until when at most.
SELECT count(*), max(l.until)
  FROM own_reach r
  JOIN study_label l USING (study_uid)
 WHERE r.account_id = %s AND l.label = 'embargoed' AND l.until > now()
   AND NOT EXISTS (SELECT FROM study_label o
                    WHERE o.study_uid = r.study_uid AND o.label <> 'embargoed');

-- name: language_of
-- The language a patient chose.
SELECT language
  FROM own_setting
 WHERE account_id = %s;

-- name: choose_language
-- Keep it; NULL: as the browser says.
INSERT INTO own_setting (account_id, language)
VALUES (%s, %s)
    ON CONFLICT (account_id) DO UPDATE
   SET language = excluded.language;

-- name: contacts_of
-- Where a patient may be written to, and until when its code is good where it is not proven.
SELECT n.kind, c.masked, n.channel_id, NULL::timestamptz
  FROM own_contact_now n
  JOIN contact_channel c USING (channel_id)
 WHERE n.account_id = %(account)s
 UNION ALL
SELECT o.kind, c.masked, o.channel_id, o.ends_at
  FROM own_contact o
  JOIN contact_channel c USING (channel_id)
 WHERE o.account_id = %(account)s AND o.proven_at IS NULL
 ORDER BY 1;

-- name: contact_changes_of
-- What is to change about the ways of some accounts: to where, how long its code is good, from when
-- on it counts.
SELECT h.account_id, h.kind, c.masked, h.ends_at, h.takes_at
  FROM own_contact_change h
  LEFT JOIN contact_channel c USING (channel_id)
 WHERE h.account_id = ANY (%s) AND (h.takes_at IS NULL OR h.takes_at > now())
 ORDER BY h.account_id, h.kind;

-- name: settle_contacts
-- Put what has waited long enough in the place of the old way.
WITH due AS (
    DELETE FROM own_contact_change
     WHERE account_id = %(account)s AND takes_at <= now()
    RETURNING account_id, kind, channel_id, takes_at
), gone AS (
    DELETE FROM own_contact o
     USING due d
     WHERE o.account_id = d.account_id AND o.kind = d.kind AND d.channel_id IS NULL
)
INSERT INTO own_contact (account_id, kind, channel_id, proven_at)
SELECT account_id, kind, channel_id, takes_at FROM due WHERE channel_id IS NOT NULL
    ON CONFLICT (account_id, kind) DO UPDATE
   SET channel_id = excluded.channel_id, proven_at = excluded.proven_at, mac = NULL,
       ends_at = NULL, tries = 0;

-- name: hold_account
-- One change of an account's ways at a time.
SELECT FROM account WHERE account_id = %(account)s FOR NO KEY UPDATE;

-- name: begin_change
-- A way that waits for its code while the old one stays.
INSERT INTO own_contact_change (account_id, kind, channel_id, mac, ends_at)
VALUES (%(account)s, %(kind)s, %(channel)s, %(mac)s, now() + make_interval(secs => %(lasts_s)s))
    ON CONFLICT (account_id, kind) DO UPDATE
   SET channel_id = excluded.channel_id, mac = excluded.mac, ends_at = excluded.ends_at, tries = 0,
       takes_at = NULL
RETURNING ends_at;

-- name: drop_unproven
-- Forget a way whose code never came back.
DELETE FROM own_contact
 WHERE account_id = %(account)s AND kind = %(kind)s AND proven_at IS NULL;

-- name: try_change
-- Count a try of a code before it is made; nothing comes back when none may be tried.
UPDATE own_contact_change
   SET tries = tries + 1
 WHERE account_id = %(account)s AND kind = %(kind)s AND mac IS NOT NULL
   AND ends_at > now() AND tries < 5
RETURNING channel_id, mac;

-- name: prove_change
-- The code came back: it counts after its time to wait.
UPDATE own_contact_change
   SET takes_at = now() + make_interval(secs => %(hold_s)s), mac = NULL, ends_at = NULL, tries = 0
 WHERE account_id = %(account)s AND kind = %(kind)s
RETURNING takes_at;

-- name: begin_removal
-- Write there no more, after the time to wait.
INSERT INTO own_contact_change (account_id, kind, takes_at)
SELECT account_id, kind, now() + make_interval(secs => %(hold_s)s)
  FROM own_contact
 WHERE account_id = %(account)s AND kind = %(kind)s AND proven_at IS NOT NULL
    ON CONFLICT (account_id, kind) DO UPDATE
   SET channel_id = NULL, mac = NULL, ends_at = NULL, tries = 0, takes_at = excluded.takes_at
RETURNING takes_at;

-- name: stop_changes
-- The old ways stay: of a kind, or all of them.
DELETE FROM own_contact_change
 WHERE account_id = %(account)s AND kind = coalesce(%(kind)s::text, kind)
RETURNING kind;

-- name: begin_contact
-- A way that waits for its code, in the place of the one before.
INSERT INTO own_contact (account_id, kind, channel_id, mac, ends_at)
VALUES (%(account)s, %(kind)s, %(channel)s, %(mac)s, now() + make_interval(secs => %(lasts_s)s))
    ON CONFLICT (account_id, kind) DO UPDATE
   SET channel_id = excluded.channel_id, mac = excluded.mac, ends_at = excluded.ends_at, tries = 0,
       proven_at = NULL
RETURNING ends_at;

-- name: try_contact
-- Count a try of a code before it is made; nothing comes back when none may be tried.
UPDATE own_contact
   SET tries = tries + 1
 WHERE account_id = %(account)s AND kind = %(kind)s AND proven_at IS NULL
   AND ends_at > now() AND tries < 5
RETURNING channel_id, mac;

-- name: prove_contact
-- The code came back.
UPDATE own_contact
   SET proven_at = now(), mac = NULL, ends_at = NULL, tries = 0
 WHERE account_id = %(account)s AND kind = %(kind)s;

-- name: drop_contact
-- Write there no more; whether it was proven.
DELETE FROM own_contact
 WHERE account_id = %(account)s AND kind = %(kind)s
RETURNING proven_at IS NOT NULL;

-- name: proven_of
-- Where a patient is written to: every way that is proven, or the one of a kind.
SELECT channel_id
  FROM own_contact_now
 WHERE account_id = %s AND kind = coalesce(%s::text, kind)
 ORDER BY kind;

-- name: accounts_beside
-- The accounts of whom an account is bound to, under all identities of theirs: it is one of them.
SELECT other.account_id
  FROM person_account b
  JOIN identity me ON me.identity_id = b.identity_id
  JOIN identity i ON i.person_id = me.person_id
  JOIN person_account other ON other.identity_id = i.identity_id AND other.ended_at IS NULL
 WHERE b.account_id = %s AND b.ended_at IS NULL AND b.confirmed_at IS NOT NULL;

-- name: is_study
-- Whether a study is held.
SELECT EXISTS (SELECT FROM study WHERE study_uid = %s);

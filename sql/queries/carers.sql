-- name: add_carer
-- Let an account act for a person; what is there stays. Without such an account it waits for one.
INSERT INTO carer (
       carer_id, account_id, login, identity_id, relation, given_as, evidence, may_view, may_share,
       called, until_age, zone, given_at, given_by, ends_at)
VALUES (%(carer_id)s, (SELECT account_id FROM account WHERE login = %(login)s), %(login)s,
        %(identity_id)s, %(relation)s, %(given_as)s, %(evidence)s, %(may_view)s, %(may_share)s,
        %(called)s, %(until_age)s, %(zone)s, %(given_at)s, %(given_by)s, %(ends_at)s)
    ON CONFLICT (carer_id) DO NOTHING;

-- name: end_carer
-- They act no more; nothing comes back when that was so before.
UPDATE carer
   SET ended_at = %(ended_at)s, ended_by = %(ended_by)s, reason = %(reason)s
 WHERE carer_id = %(carer_id)s AND ended_at IS NULL
RETURNING carer_id;

-- name: move_carer
-- Give the relation to another account, where the one before was lost; nothing when it has it.
UPDATE carer
   SET former = former || login, login = %(login)s,
       account_id = (SELECT account_id FROM account WHERE login = %(login)s)
 WHERE carer_id = %(carer_id)s AND login <> %(login)s;

-- name: one_carer
SELECT carer_id, account_id, login, identity_id, relation, given_as, evidence, may_view, may_share,
       called, given_at, given_by, until, holds, ended_at, ended_by, reason, acts_as,
       acted_as
  FROM carer_standing
 WHERE carer_id = %s;

-- name: hold_carer
-- Keep it as it is until the transaction ends.
SELECT carer_id FROM carer WHERE carer_id = %s FOR UPDATE;

-- name: carers_of
-- Who acts or acted for some identities, the latest first.
SELECT carer_id, account_id, login, identity_id, relation, given_as, evidence, may_view, may_share,
       called, given_at, given_by, until, holds, ended_at, ended_by, reason, acts_as,
       acted_as
  FROM carer_standing
 WHERE identity_id = ANY (%s::bytea[])
 ORDER BY given_at DESC, carer_id
 LIMIT %s;

-- name: acts_of
-- For whom an account acts now, the longest first.
SELECT carer_id, account_id, login, identity_id, relation, given_as, evidence, may_view, may_share,
       called, given_at, given_by, until, holds, ended_at, ended_by, reason, acts_as,
       acted_as
  FROM carer_standing
 WHERE account_id = %s AND holds
 ORDER BY given_at, carer_id
 LIMIT %s;

-- name: list_carer_reach
-- What a carer may act on.
SELECT study_uid
  FROM carer_reach
 WHERE carer_id = %s
 LIMIT %s;

-- name: find_carer_account
-- An account of a person that may act for another one.
SELECT account_id, login
  FROM account
 WHERE login = %s AND kind = 'person' AND roles = %s::text[] AND enrolled_at IS NOT NULL
   AND disabled_at IS NULL;

-- name: made_for
-- For whom some accounts have acted first, and by whose word.
SELECT DISTINCT ON (account_id) account_id, identity_id, given_as
  FROM carer
 WHERE account_id = ANY (%s)
 ORDER BY account_id, given_at, carer_id;

-- name: act_for
-- From here on a session acts for somebody, or for itself again, under another cookie.
UPDATE session
   SET carer_id = %(carer)s, secret_hash = %(secret_hash)s
 WHERE session_id = %(session)s AND account_id = %(account)s AND level = 2 AND ends_at > now()
RETURNING session_id;

-- name: hide_study
-- Keep a study from carers; nothing comes back when it was before.
INSERT INTO carer_hidden (study_uid, hidden_at, hidden_by)
VALUES (%(study)s, %(at)s, %(by)s)
    ON CONFLICT DO NOTHING
RETURNING study_uid;

-- name: show_study
-- Let carers see it again.
DELETE FROM carer_hidden
 WHERE study_uid = %(study)s AND hidden_at <= %(at)s
RETURNING study_uid;

-- name: hidden_of
-- Which of some studies are kept from carers.
SELECT study_uid FROM carer_hidden WHERE study_uid = ANY (%s);

-- name: forget_hidden
-- Before they are read back from the journal.
DELETE FROM carer_hidden;

-- name: accounts_of_person
-- The accounts that are bound to an identity's person.
SELECT b.account_id
  FROM identity me
  JOIN identity i ON i.person_id = me.person_id
  JOIN person_account b ON b.identity_id = i.identity_id
 WHERE me.identity_id = %s AND b.ended_at IS NULL AND b.confirmed_at IS NOT NULL;

-- name: not_released_to
-- How many studies of whom a carer acts for wait for their release, and until when at most.
SELECT count(*), max(l.until)
  FROM carer_reach r
  JOIN study_label l USING (study_uid)
 WHERE r.carer_id = %s AND l.label = 'embargoed' AND l.until > now()
   AND NOT EXISTS (SELECT FROM study_label o
                    WHERE o.study_uid = r.study_uid AND o.label <> 'embargoed');

-- name: lapsed
-- The names under which who acts no more has shared what still stands.
-- From what stands, whose names end with a carer's number: those who act no more only ever grow.
WITH theirs AS MATERIALIZED (
    SELECT DISTINCT s.owner, substring(s.owner FROM '#for-([0-9]{1,19})$')::bigint AS carer_id
      FROM share s
     WHERE s.owner LIKE '%%#for-%%' AND s.state <> 'revoked' AND s.ends_at > now())
SELECT t.owner
  FROM theirs t
  JOIN carer_standing c USING (carer_id)
 WHERE NOT c.holds AND t.owner = ANY (c.acted_as)
 ORDER BY t.owner
 LIMIT %s;

-- name: is_minor
-- Whether who was born then is not of age yet.
SELECT comes_of_age(%s, %s, %s) > now();

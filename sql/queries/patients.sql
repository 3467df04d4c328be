-- name: lock_identities
-- Identities are made and joined by one at a time.
SELECT pg_advisory_xact_lock(hashtextextended('identities of ' || current_schema(), 0));

-- name: take_due
-- Studies whose patient is to be looked at, the longest stored first, and what they say now.
WITH due AS (
    SELECT d.study_uid
      FROM identity_due d
      LEFT JOIN study s USING (study_uid)
     ORDER BY s.study_pk
     LIMIT %s),
    taken AS (DELETE FROM identity_due d USING due WHERE d.study_uid = due.study_uid)
SELECT due.study_uid, p.issuer, p.patient_id, s.answer, nullif(s.study_date, '-infinity'),
       held.identity_id
  FROM due
  LEFT JOIN study s USING (study_uid)
  LEFT JOIN patient p USING (patient_pk)
  LEFT JOIN study_identity held ON held.study_uid = due.study_uid
 ORDER BY s.study_pk;

-- name: is_due
-- Whether there is a study to look at.
SELECT EXISTS (SELECT FROM identity_due);

-- name: named
-- The identities an issuer has given an id to, the first one first.
SELECT identity_id, issuer, patient_id, variant, person_id, name, birth_date, sex, numbers,
       address, death_date, source, quarantined
  FROM identity
 WHERE issuer = %s AND patient_id = %s
 ORDER BY variant;

-- name: find_identities
-- Identities by their ids.
SELECT identity_id, issuer, patient_id, variant, person_id, name, birth_date, sex, numbers,
       address, death_date, source, quarantined
  FROM identity
 WHERE identity_id = ANY (%s::bytea[])
 ORDER BY issuer, patient_id, variant;

-- name: alike
-- Identities that may be the same person: born the same day with the same family name, or with one
-- of the same numbers.
SELECT identity_id, issuer, patient_id, variant, person_id, name, birth_date, sex, numbers,
       address, death_date, source, quarantined
  FROM identity
 WHERE identity_id <> %(identity)s
   AND (birth_date = %(birth_date)s AND family = %(family)s
        OR numbers && %(numbers)s::text[] AND numbers <> '{}')  -- as its index has it
 ORDER BY first_seen, identity_id
 LIMIT %(most)s;

-- name: of_person
-- The identities of a person.
SELECT identity_id, issuer, patient_id, variant, person_id, name, birth_date, sex, numbers,
       address, death_date, source, quarantined
  FROM identity
 WHERE person_id = %s
 ORDER BY issuer, patient_id, variant;

-- name: add_identity
-- Make an identity; the next shadow where its id is taken.
INSERT INTO identity (
       identity_id, issuer, patient_id, variant, person_id, name, folded, family, birth_date, sex,
       numbers, address, source, quarantined)
SELECT %(identity)s, %(issuer)s, %(patient_id)s, coalesce(max(o.variant) + 1, 0), %(identity)s,
       %(name)s, %(folded)s, %(family)s, %(birth_date)s, %(sex)s, %(numbers)s::text[],
       %(address)s, %(source)s, count(o.identity_id) > 0
  FROM identity o
 WHERE o.issuer = %(issuer)s AND o.patient_id = %(patient_id)s
    ON CONFLICT (identity_id) DO NOTHING
RETURNING variant;

-- name: enrich_identity
-- Fill in what was not known of an identity; what is known stays.
UPDATE identity
   SET name = CASE WHEN folded = '' THEN %(name)s ELSE name END,
       family = CASE WHEN folded = '' THEN %(family)s ELSE family END,
       folded = CASE WHEN folded = '' THEN %(folded)s ELSE folded END,
       birth_date = coalesce(birth_date, %(birth_date)s),
       sex = CASE WHEN sex = '' THEN %(sex)s ELSE sex END,
       numbers = ARRAY(SELECT DISTINCT u FROM unnest(numbers || %(numbers)s::text[]) AS u ORDER BY u),
       address = coalesce(address, %(address)s)
 WHERE identity_id = %(identity)s;

-- name: assign_study
-- Say which identity a study is about.
INSERT INTO study_identity (study_uid, identity_id, alert)
VALUES (%s, %s, %s)
    ON CONFLICT (study_uid) DO UPDATE
   SET identity_id = excluded.identity_id, alert = excluded.alert;

-- name: assigned
-- Which identity a study is about, with what stands in the way of sharing it.
SELECT s.identity_id, i.person_id, i.quarantined, s.alert,
       EXISTS (SELECT FROM identity_pair p
                WHERE i.identity_id IN (p.first, p.second)
                  AND p.state IN ('open', 'deferred') AND p.rule IN ('R2', 'R4'))
  FROM study_identity s
  JOIN identity i USING (identity_id)
 WHERE s.study_uid = %s;

-- name: studies_of
-- The studies of a person, the latest first.
SELECT s.study_uid, s.identity_id, s.alert
  FROM study_identity s
  JOIN identity i USING (identity_id)
 WHERE i.person_id = ANY (%s::bytea[])
 ORDER BY s.study_uid;

-- name: all_among
-- Of some identities, those whose studies are all among these.
SELECT identity_id
  FROM study_identity
 WHERE identity_id = ANY (%(ids)s::bytea[])
 GROUP BY identity_id
HAVING bool_and(study_uid = ANY (%(studies)s::text[]));

-- name: clear_identities
-- Forget identities nobody needs: no study is about them, no person has decided on them, no account
-- is bound to them, and nobody acts for them.
DELETE FROM identity i
 WHERE i.identity_id = ANY (%s::bytea[])
   AND NOT EXISTS (SELECT FROM study_identity s WHERE s.identity_id = i.identity_id)
   AND NOT EXISTS (
       SELECT FROM identity_pair p
        WHERE i.identity_id IN (p.first, p.second) AND p.act IS NOT NULL)
   AND NOT EXISTS (SELECT FROM person_account b WHERE b.identity_id = i.identity_id)
   AND NOT EXISTS (SELECT FROM carer c WHERE c.identity_id = i.identity_id)
RETURNING identity_id, person_id;

-- name: propose_pair
-- Note a pair that was found; what is known of it already stays.
INSERT INTO identity_pair (first, second, state, rule, priority, evidence)
VALUES (%s, %s, %s, %s, %s, %s::jsonb)
    ON CONFLICT (first, second) DO UPDATE
   SET state = excluded.state, rule = excluded.rule, priority = excluded.priority,
       evidence = excluded.evidence
 WHERE identity_pair.act IS NULL AND identity_pair.state IN ('open', 'deferred')
   AND excluded.priority > identity_pair.priority
RETURNING state;

-- name: withdraw_pairs
-- What rules alone said of an identity holds no more: it is looked at again.
DELETE FROM identity_pair
 WHERE act IS NULL AND %s IN (first, second)
RETURNING first, second;

-- name: decide_pair
-- What somebody decided holds, unless a later decision is known.
INSERT INTO identity_pair (
       first, second, state, rule, priority, act, decided_at, decided_by, reason, proposed_by)
VALUES (%(first)s, %(second)s, %(state)s, 'staff', 0, %(act)s, %(at)s, %(actor)s, %(reason)s,
        %(proposed_by)s)
    ON CONFLICT (first, second) DO UPDATE
   SET state = excluded.state, act = excluded.act, decided_at = excluded.decided_at,
       decided_by = excluded.decided_by, reason = excluded.reason,
       proposed_by = excluded.proposed_by
 WHERE identity_pair.act IS NULL OR identity_pair.act < excluded.act;

-- name: defer_pair
-- Put a pair off: it is shown last.
UPDATE identity_pair
   SET state = 'deferred'
 WHERE first = %s AND second = %s AND state IN ('open', 'deferred')
RETURNING state;

-- name: find_pair
-- How a pair stands.
SELECT first, second, state, rule, priority, evidence, decided_at, decided_by, reason, found_at,
       proposed_by
  FROM identity_pair
 WHERE first = %s AND second = %s;

-- name: list_work
-- The worklist: what is open before what was put off, the most urgent first; what somebody has
-- proposed waits elsewhere.
SELECT first, second, state, rule, priority, evidence, decided_at, decided_by, reason, found_at,
       proposed_by
  FROM identity_pair
 WHERE state IN ('open', 'deferred')
   AND NOT EXISTS (SELECT FROM identity_proposal_standing o
                    WHERE o.first = identity_pair.first AND o.second = identity_pair.second
                      AND o.ended_at IS NULL AND o.standing = 'open')
 ORDER BY state DESC, priority DESC, found_at, first, second
 LIMIT %s;

-- name: list_linked
-- Which two were last said to be one person, by somebody or by a number.
SELECT first, second, state, rule, priority, evidence, decided_at, decided_by, reason, found_at,
       proposed_by
  FROM identity_pair
 WHERE state = 'linked'
 ORDER BY COALESCE(decided_at, found_at) DESC, first, second
 LIMIT %s;

-- name: list_pairs
-- All pairs of some identities.
SELECT first, second, state, rule, priority, evidence, decided_at, decided_by, reason, found_at,
       proposed_by
  FROM identity_pair
 WHERE first = ANY (%(ids)s::bytea[]) OR second = ANY (%(ids)s::bytea[])
 ORDER BY first, second;

-- name: linked_to
-- The identities linked to some.
SELECT first, second
  FROM identity_pair
 WHERE state = 'linked'
   AND (first = ANY (%(ids)s::bytea[]) OR second = ANY (%(ids)s::bytea[]));

-- name: persons_of
-- The identities that are of the same persons as these.
SELECT identity_id
  FROM identity
 WHERE person_id IN (
       SELECT person_id FROM identity WHERE identity_id = ANY (%s::bytea[]));

-- name: set_persons
-- Say whose identities these are.
UPDATE identity i
   SET person_id = u.person
  FROM unnest(%s::bytea[], %s::bytea[]) AS u (identity, person)
 WHERE i.identity_id = u.identity AND i.person_id <> u.person;

-- name: release_quarantine
-- Somebody has looked at it: nothing open of the highest urgency is left.
UPDATE identity i
   SET quarantined = false
 WHERE i.identity_id = ANY (%s::bytea[]) AND i.quarantined
   AND NOT EXISTS (
       SELECT FROM identity_pair p
        WHERE i.identity_id IN (p.first, p.second) AND p.rule = 'R2'
          AND p.state IN ('open', 'deferred'));

-- name: add_act
-- Write down what somebody decided; nothing when it is known.
INSERT INTO identity_act (act, at, actor, op, first, second, reason, proposed_by)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING;

-- name: list_acts
-- What was decided of some identities, in order of time.
SELECT act, at, actor, op, first, second, reason, proposed_by
  FROM identity_act
 WHERE first = ANY (%(ids)s::bytea[]) OR second = ANY (%(ids)s::bytea[])
 ORDER BY act;

-- name: reset_identity
-- Keep of an identity what it was made of: what filled it in is gone.
UPDATE identity
   SET numbers = '{}', address = NULL
 WHERE identity_id = %s;

-- name: release_all
-- The studies of an identity are about nobody for now, and looked at again.
WITH gone AS (DELETE FROM study_identity WHERE identity_id = %s RETURNING study_uid)
INSERT INTO identity_due SELECT study_uid FROM gone
    ON CONFLICT DO NOTHING;

-- name: set_death
-- Note when somebody died; NULL: they did not. What was said of it later holds.
UPDATE identity
   SET death_date = %(died)s
 WHERE identity_id = %(identity)s
   AND NOT EXISTS (SELECT FROM identity_act a
                    WHERE a.first = identity.identity_id AND a.second IS NULL AND a.op = %(op)s
                      AND a.act > %(act)s);

-- name: list_alerts
-- Studies that were made after their patient had died.
SELECT study_uid, identity_id, alert
  FROM study_identity
 WHERE alert IS NOT NULL
 ORDER BY study_uid
 LIMIT %s;

-- name: release_one
-- A study is about nobody for now.
DELETE FROM study_identity
 WHERE study_uid = %s;

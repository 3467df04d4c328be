-- name: is_shown
-- Whether others are shown something of the persons of these identities: by a share that holds or
-- may go on, by an account of theirs, or by somebody who acts for them.
WITH those AS (
    SELECT i.identity_id
      FROM identity i
     WHERE i.person_id IN (
           SELECT p.person_id FROM identity p WHERE p.identity_id = ANY (%(ids)s::bytea[])))
SELECT EXISTS (
           SELECT FROM share_standing s
            WHERE s.share_id = ANY (ARRAY(
                  SELECT h.share_id FROM share h
                   WHERE h.studies && ARRAY(
                         SELECT n.study_uid FROM study_identity n JOIN those USING (identity_id))))
              AND s.standing NOT IN ('revoked', 'expired', 'exhausted'))
    OR EXISTS (SELECT FROM person_account b JOIN those USING (identity_id)
                WHERE b.ended_at IS NULL)
    OR EXISTS (SELECT FROM carer_standing c JOIN those USING (identity_id) WHERE c.holds);

-- name: add_proposal
-- Propose that two are one person; nothing comes back when somebody did.
INSERT INTO identity_proposal (first, second, seen, reason, proposed_by, by_developer, ends_at)
VALUES (%(first)s, %(second)s, identities_seen(%(first)s, %(second)s), %(reason)s, %(by)s,
        %(by_developer)s, now() + make_interval(secs => %(lasts_s)s))
    ON CONFLICT (first, second) WHERE ended_at IS NULL DO NOTHING
RETURNING proposal_id, ends_at;

-- name: show_pair
-- Note that two were compared, where nothing was known of the pair.
INSERT INTO identity_pair (first, second, state, rule, priority, evidence)
VALUES (%(first)s, %(second)s, 'open', 'staff', 0, %(evidence)s::jsonb)
    ON CONFLICT (first, second) DO NOTHING;

-- name: hold_proposal
-- The proposal for two that waits for a second person, held.
SELECT p.proposal_id, p.first, p.second, p.reason, p.proposed_by, p.proposed_at, p.ends_at,
       p.by_developer
  FROM identity_proposal p
  JOIN identity_proposal_standing s USING (proposal_id)
 WHERE p.first = %s AND p.second = %s AND p.ended_at IS NULL AND s.standing = 'open'
   FOR UPDATE OF p;

-- name: list_proposals
-- What waits for a second person, the longest waiting first.
SELECT proposal_id, first, second, reason, proposed_by, proposed_at, ends_at, by_developer
  FROM identity_proposal_standing
 WHERE ended_at IS NULL AND standing = 'open'
 ORDER BY proposed_at, proposal_id
 LIMIT %s;

-- name: list_refusals
-- Why colleagues refused, of each of these pairs the last time.
SELECT DISTINCT ON (first, second) first, second, proposed_by, ended_by, ended_at, remark
  FROM identity_proposal
 WHERE outcome = 'refused'
   AND (first, second) IN (SELECT * FROM unnest(%s::bytea[], %s::bytea[]))
 ORDER BY first, second, ended_at DESC;

-- name: end_proposal
-- End the proposal for two, if there is one.
UPDATE identity_proposal
   SET ended_at = now(), ended_by = %(by)s, outcome = %(outcome)s, remark = %(remark)s
 WHERE first = %(first)s AND second = %(second)s AND ended_at IS NULL
RETURNING proposal_id, proposed_by;

-- name: end_stale_proposals
-- End proposals whose time is over, and those of whom something else is known now.
UPDATE identity_proposal p
   SET ended_at = now(), ended_by = %s, outcome = s.standing
  FROM identity_proposal_standing s
 WHERE p.ended_at IS NULL AND s.proposal_id = p.proposal_id AND s.ended_at IS NULL
   AND s.standing <> 'open'
RETURNING p.proposal_id, p.first, p.second, p.outcome, p.proposed_by;

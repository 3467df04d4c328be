-- name: ways_of_person
-- Where a person is, or was, reached: by accounts of their own, and by shares that were opened by
-- link and proof. Since when; whether still; whose a share was, to be looked at.
WITH person AS (
    SELECT i.identity_id, i.issuer, i.patient_id
      FROM identity me
      JOIN identity i ON i.person_id = me.person_id
     WHERE me.issuer = %(issuer)s AND me.patient_id = %(patient_id)s
       AND NOT me.quarantined AND NOT i.quarantined
     UNION
    SELECT NULL, %(issuer)s, %(patient_id)s
), theirs AS (
    SELECT DISTINCT b.account_id
      FROM person p
      JOIN person_account b USING (identity_id)
     WHERE b.ended_at IS NULL AND b.confirmed_at IS NOT NULL
), given AS (
    SELECT s.share_id, s.person, g.grant_id, g.recipient, g.to_channel, g.by_channel, g.issued_at
      FROM person p
      JOIN share s USING (issuer, patient_id)
      JOIN share_grant g USING (share_id)
     WHERE g.depth = 0 AND g.last_open_at >= g.issued_at
     ORDER BY g.grant_id DESC
     LIMIT %(most)s
)
SELECT o.channel_id, o.proven_at AS since, true AS holds, NULL::bigint, NULL::bytea, NULL::bigint, NULL::bytea
  FROM theirs t
 CROSS JOIN LATERAL (SELECT n.channel_id, n.proven_at
                       FROM own_contact_now n
                      WHERE n.account_id = t.account_id
                     OFFSET 0) o  -- joined, the view is made of all accounts first
 UNION ALL
SELECT f.channel_id, f.ended_at, false, NULL, NULL, NULL, NULL
  FROM theirs
  JOIN former_channel f USING (account_id)
 UNION ALL
SELECT w.channel_id, g.issued_at, true, g.share_id, g.person, g.grant_id, g.recipient
  FROM given g
 CROSS JOIN LATERAL (VALUES (g.to_channel), (g.by_channel)) AS w (channel_id)
 WHERE w.channel_id IS NOT NULL
 UNION ALL
SELECT f.channel_id, f.ended_at, false, g.share_id, g.person, g.grant_id, g.recipient
  FROM given g
  JOIN former_channel f USING (share_id);

-- name: add_second
INSERT INTO share_second (share_id, asked_by, asked_at, why, link)
VALUES (%(share_id)s, %(asked_by)s, %(asked_at)s, %(why)s, %(link)s)
ON CONFLICT DO NOTHING;

-- name: hold_second
-- What waits, held after its share.
SELECT asked_by, why, link
  FROM share_second
 WHERE share_id = %s AND decided_at IS NULL
   FOR UPDATE;

-- name: decide_second
-- A colleague agreed or refused, once; what was agreed to opens, and its link is on its way.
WITH decided AS (
    UPDATE share_second
       SET decided_at = %(decided_at)s, decided_by = %(decided_by)s, agreed = %(agreed)s,
           reason = %(reason)s, link = NULL
     WHERE share_id = %(share_id)s AND decided_at IS NULL
    RETURNING share_id, agreed
), agreed AS (
    UPDATE share s
       SET state = CASE WHEN s.state = 'ready' THEN 'sent' ELSE s.state END,
           suspended = CASE WHEN s.suspended = 'ready' THEN 'sent' ELSE s.suspended END
      FROM decided d
     WHERE d.share_id = s.share_id AND d.agreed
    RETURNING s.share_id
)
UPDATE share_grant g
   SET state = 'invited'
  FROM agreed a
 WHERE g.share_id = a.share_id AND g.state = 'pending' AND g.to_channel IS NOT NULL;

-- name: root_of
-- The grant a share was made with.
SELECT grant_id FROM share_grant WHERE share_id = %s AND depth = 0 ORDER BY grant_id LIMIT 1;

-- name: seconds_waiting
-- What waits for a colleague, the oldest first.
SELECT w.share_id, s.number, s.person, s.studies, w.asked_by, w.asked_at, w.why, s.ends_at
  FROM share_second w
  JOIN share_standing s USING (share_id)
 WHERE w.decided_at IS NULL AND s.standing = 'ready'
 ORDER BY w.share_id
 LIMIT %s;

-- name: second_of
-- Who asked for a colleague, why, and what the colleague said.
SELECT asked_by, asked_at, why, decided_at, decided_by, agreed, reason
  FROM share_second
 WHERE share_id = %s;

-- name: who_recorded
-- Who wrote a consent down.
SELECT recorded_by FROM consent WHERE consent_id = %s;

-- name: many
-- Who opened more studies than that within the hour, of people; not those told of today already.
-- Emergency access stands in the trail under a name of its own, and counts for whose it is.
SELECT who.login, count(DISTINCT a.study)
  FROM audit a, split_part(a.principal, '#', 1) AS who (login)
 WHERE a.at >= now() - make_interval(secs => %(within_s)s)
   AND a.actor_kind = 'person' AND a.study IS NOT NULL
   AND a.kind IN ('read', 'export', 'sent', 'share.made')
   AND NOT EXISTS (SELECT FROM watched w
                    WHERE w.principal = who.login
                      AND w.told_at > now() - make_interval(secs => %(quiet_s)s))
 GROUP BY who.login
HAVING count(DISTINCT a.study) > %(most)s
 ORDER BY who.login;

-- name: note
-- Nothing where another process has told of them meanwhile.
INSERT INTO watched (principal) VALUES (%(principal)s)
ON CONFLICT ON CONSTRAINT watched_pkey DO UPDATE SET told_at = now()
WHERE watched.told_at <= now() - make_interval(secs => %(quiet_s)s)
RETURNING principal;

-- name: forget
DELETE FROM watched WHERE told_at <= now() - make_interval(secs => %(quiet_s)s);

-- name: list_offered
-- The archives recipients of shares may choose, by what they are called.
SELECT 'remote' AS sort, ae_title AS name, offered_as
  FROM remote
 WHERE offered_as IS NOT NULL
 UNION ALL
SELECT 'peer', name, offered_as
  FROM peer
 WHERE offered_as IS NOT NULL
 ORDER BY offered_as, sort;

-- name: list_items
-- The instances of some studies, in the archive's order.
SELECT s.study_uid, e.series_uid, i.sop_instance_uid, i.sop_class_uid
  FROM study s
  JOIN series e USING (study_pk)
  JOIN instance i USING (series_pk)
 WHERE s.study_uid = ANY (%s) AND i.current
 ORDER BY s.study_pk, e.series_pk, i.instance_pk;

-- name: add_sending
INSERT INTO share_sending (sending_id, share_id, grant_id, job_id, remote, peer, offered_as)
VALUES (%s, %s, %s, %s, %s, %s, %s);

-- name: list_sendings
-- What was sent on of a share, or by one grant of it, the newest first.
SELECT sending_id, grant_id, offered_as, created_at, state, cause, items, done, failed
  FROM share_sendings(%(share_id)s)
 WHERE grant_id = coalesce(%(grant_id)s, grant_id)
 ORDER BY created_at DESC, sending_id DESC;

-- name: find_sending
-- For whom a job sends, to which archive, and what holds of the grant now.
SELECT x.share_id, x.grant_id, s.number, s.purpose, s.studies, x.remote, x.peer, st.why,
       st.reports, st.download, st.only_parts,
       EXISTS (SELECT FROM remote r WHERE r.ae_title = x.remote AND r.offered_as IS NOT NULL)
       OR EXISTS (SELECT FROM peer p WHERE p.name = x.peer AND p.offered_as IS NOT NULL)
  FROM share_sending x
  JOIN share s USING (share_id)
 CROSS JOIN LATERAL grant_standing(x.grant_id) st
 WHERE x.sending_id = %s;

-- name: list_remotes
-- Every remote AE.
SELECT ae_title, host, port, tls, may_store, may_find, may_move, destinations, character_set,
       transfer_syntaxes, patient_id_issuer, max_associations, parallel
  FROM remote
 ORDER BY ae_title;

-- name: put_remote
-- Add a remote AE or change all of it; says whether it is new.
INSERT INTO remote
    (ae_title, host, port, tls, may_store, may_find, may_move, destinations, character_set,
     transfer_syntaxes, patient_id_issuer, max_associations, parallel)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (ae_title) DO UPDATE
   SET host = excluded.host, port = excluded.port, tls = excluded.tls,
       may_store = excluded.may_store, may_find = excluded.may_find,
       may_move = excluded.may_move, destinations = excluded.destinations,
       character_set = excluded.character_set,
       transfer_syntaxes = excluded.transfer_syntaxes,
       patient_id_issuer = excluded.patient_id_issuer,
       max_associations = excluded.max_associations, parallel = excluded.parallel,
       changed_at = now()
RETURNING xmax = 0;

-- name: count_remote_jobs
-- Work for a remote AE that has not ended.
SELECT count(*)
  FROM job
 WHERE remote = %s AND state IN ('waiting', 'running');

-- name: remove_remote
-- Forget a remote AE.
DELETE FROM remote
 WHERE ae_title = %s
RETURNING ae_title;

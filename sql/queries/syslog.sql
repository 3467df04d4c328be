-- name: begin_sending
-- A repository gets what is sealed from now on; one that is known goes on where it was.
INSERT INTO audit_sent (repository, seal_seq)
SELECT %(repository)s, coalesce(max(seal_seq), 0) FROM audit_seal
ON CONFLICT (repository) DO NOTHING;

-- name: sent_upto
-- The last link a repository has.
SELECT seal_seq FROM audit_sent WHERE repository = %(repository)s;

-- name: keep_sent
-- A repository has the rows up to this link.
UPDATE audit_sent SET seal_seq = %(seq)s, sent_at = now()
 WHERE repository = %(repository)s AND seal_seq < %(seq)s;

-- name: to_send
-- Sealed rows behind a link, in the order of the chain.
SELECT a.id, a.at, a.kind, a.outcome, a.principal, a.actor_kind, a.address, a.study, a.series,
       a.instance, a.detail, '', s.seal_seq, s.prev_hash, s.hash
  FROM audit_seal s
  JOIN audit a ON a.id = s.audit_id
 WHERE s.seal_seq > %(after)s
 ORDER BY s.seal_seq
 LIMIT %(most)s;

-- name: seal_alone
-- Seal alone: true when nobody else does, until the transaction ends.
SELECT pg_try_advisory_xact_lock(hashtextextended('audit seal of ' || current_schema(), 0));

-- name: trail
-- Which trail this is.
SELECT trail_id::text FROM audit_trail;

-- name: last_seal
-- The end of the chain.
SELECT seal_seq, audit_id, hash FROM audit_seal ORDER BY seal_seq DESC LIMIT 1;

-- name: last_drawn
-- The last id given to an audit row, committed or not; none before the first.
SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM audit_id_seq;

-- name: writers
-- The transactions that may hold an id without having committed: who inserts has had this lock
-- from before the id was drawn to after the commit can be seen.
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND relation = 'audit'::regclass AND mode = 'RowExclusiveLock'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: to_seal
-- Rows behind the chain, up to an id below which nothing can come any more.
SELECT id, audit_as_json(a)::text FROM audit a
WHERE id > %(after)s AND id <= %(upto)s ORDER BY id LIMIT %(most)s;

-- name: add_seals
-- Add links to the chain; each but the first stands on the one before it.
INSERT INTO audit_seal (seal_seq, audit_id, prev_hash, hash)
SELECT %(seq)s + n, id, lag(hash, 1, %(hash)s) OVER (ORDER BY n), hash
FROM unnest(%(ids)s::bigint[], %(hashes)s::bytea[]) WITH ORDINALITY AS link (id, hash, n);

-- name: last_checkpoint
-- How far the chain is signed, and since when.
SELECT seal_seq, at FROM audit_checkpoint ORDER BY seal_seq DESC LIMIT 1;

-- name: add_checkpoint
-- Keep a checkpoint; the one that is there already is the same.
INSERT INTO audit_checkpoint (seal_seq, at, statement, signature)
VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING;

-- name: checkpoints
-- The checkpoints behind a place, in order.
SELECT seal_seq, statement, signature FROM audit_checkpoint
WHERE seal_seq > %s ORDER BY seal_seq LIMIT %s;

-- name: hash_at
-- A link of the chain.
SELECT hash FROM audit_seal WHERE seal_seq = %s;

-- name: links
-- Links behind a place, in order, each with the row it seals as that reads now.
SELECT s.seal_seq, s.audit_id, s.prev_hash, s.hash, audit_as_json(a)::text
FROM audit_seal s LEFT JOIN audit a ON a.id = s.audit_id
WHERE s.seal_seq > %s ORDER BY s.seal_seq LIMIT %s;

-- name: not_linked
-- Rows in a range of sealed ids that no link seals.
SELECT a.id FROM audit a
WHERE a.id > %s AND a.id <= %s AND NOT EXISTS (SELECT FROM audit_seal s WHERE s.audit_id = a.id)
ORDER BY a.id LIMIT 100;

-- name: waiting
-- How many rows are not sealed yet, and how old the oldest of them is.
SELECT count(*), coalesce(extract(epoch FROM now() - min(a.at)), 0)::double precision
FROM audit a WHERE a.id > (SELECT coalesce(max(audit_id), 0) FROM audit_seal);

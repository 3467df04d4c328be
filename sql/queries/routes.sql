-- name: list_routes
-- Every rule.
SELECT route_id, name, remote, peer, callers, keys, commit
  FROM route
 ORDER BY name;

-- name: put_route
-- Add a rule or change all of it; says whether it is new.
INSERT INTO route (name, remote, peer, callers, keys, commit)
VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (name) DO UPDATE
   SET remote = EXCLUDED.remote, peer = EXCLUDED.peer, callers = EXCLUDED.callers,
       keys = EXCLUDED.keys, commit = EXCLUDED.commit, changed_at = now()
RETURNING xmax = 0;

-- name: remove_route
-- Forget a rule; what it has queued is sent all the same.
DELETE FROM route
 WHERE name = %s
RETURNING name;

-- name: route_instances
-- Queue instances that came in, in the transaction that takes them in.
SELECT route_instances(%s::bigint[], %s::text[], %s::text[], %s::text[], %s);

-- name: has_remote
-- Whether there is a remote AE of this title; it stays until the transaction ends.
SELECT true FROM remote WHERE ae_title = %s FOR KEY SHARE;

-- name: has_peer
-- Whether there is a DICOMweb archive of this name; it stays until the transaction ends.
SELECT true FROM peer WHERE name = %s FOR KEY SHARE;

-- name: list_peers
-- Every DICOMweb archive.
SELECT name, url, authority, transfer_syntaxes, offered_as, token IS NOT NULL
  FROM peer
 ORDER BY name;

-- name: find_peer
-- One of them, with its sealed token.
SELECT name, url, authority, transfer_syntaxes, offered_as, token IS NOT NULL, peer_id, token
  FROM peer
 WHERE name = %s;

-- name: put_peer
-- Add one or change all of it but its token; gives its number, and whether it is new.
INSERT INTO peer (name, url, authority, transfer_syntaxes, offered_as)
VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (name) DO UPDATE
   SET url = EXCLUDED.url, authority = EXCLUDED.authority,
       transfer_syntaxes = EXCLUDED.transfer_syntaxes, offered_as = EXCLUDED.offered_as,
       changed_at = now()
RETURNING peer_id, xmax = 0;

-- name: put_peer_token
-- Keep the token it is shown, sealed; NULL: none is shown.
UPDATE peer
   SET token = %s
 WHERE peer_id = %s;

-- name: remove_peer
-- Forget a DICOMweb archive.
DELETE FROM peer
 WHERE name = %s
RETURNING name;

-- name: count_routes_to
-- Rules that lead to a remote AE or to a DICOMweb archive.
SELECT count(*)
  FROM route
 WHERE remote = %(remote)s OR peer = %(peer)s;

-- name: count_peer_jobs
-- Work for a DICOMweb archive that has not ended.
SELECT count(*)
  FROM job
 WHERE kind IN ('stow', 'hand-over') AND remote = %s AND state IN ('waiting', 'running');

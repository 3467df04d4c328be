-- name: list_remotes
-- Every remote AE.
SELECT ae_title, host, port, tls, may_store, may_find, may_move, destinations, character_set,
       transfer_syntaxes, patient_id_issuer, max_associations, parallel, offered_as
  FROM remote
 ORDER BY ae_title;

-- name: put_remote
-- Add a remote AE or change all of it; says whether it is new.
INSERT INTO remote
    (ae_title, host, port, tls, may_store, may_find, may_move, destinations, character_set,
     transfer_syntaxes, patient_id_issuer, max_associations, parallel, offered_as)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (ae_title) DO UPDATE
   SET host = excluded.host, port = excluded.port, tls = excluded.tls,
       may_store = excluded.may_store, may_find = excluded.may_find,
       may_move = excluded.may_move, destinations = excluded.destinations,
       character_set = excluded.character_set,
       transfer_syntaxes = excluded.transfer_syntaxes,
       patient_id_issuer = excluded.patient_id_issuer,
       max_associations = excluded.max_associations, parallel = excluded.parallel,
       offered_as = excluded.offered_as, changed_at = now()
RETURNING xmax = 0;

-- name: is_offered
-- Whether another archive is offered under this name.
SELECT true
  FROM (SELECT ae_title AS remote, NULL AS peer, offered_as FROM remote
         UNION ALL
        SELECT NULL, name, offered_as FROM peer) AS one
 WHERE offered_as = %(name)s
   AND (remote IS DISTINCT FROM %(remote)s::text OR peer IS DISTINCT FROM %(peer)s::text);

-- name: count_remote_jobs
-- Work for a remote AE that has not ended.
SELECT count(*)
  FROM job
 WHERE remote = %s AND state IN ('waiting', 'running');

-- name: count_remote_routes
-- Rules that lead to a remote AE.
SELECT count(*)
  FROM route
 WHERE remote = %s;

-- name: remove_remote
-- Forget a remote AE.
DELETE FROM remote
 WHERE ae_title = %s
RETURNING ae_title;

-- name: add_account
-- Make an account; nothing comes back when the login is taken.
INSERT INTO account (login, kind, roles, handle)
VALUES (%s, %s, %s, %s)
ON CONFLICT ON CONSTRAINT account_login_once DO NOTHING
RETURNING account_id;

-- name: list_accounts
-- Every account with what it has to sign in with.
SELECT account_id, login, kind, roles, enrolled_at, disabled_at, has_totp, passkeys, recovery_codes,
       federated
  FROM account_standing
 ORDER BY login;

-- name: find_account
-- One account by its login.
SELECT account_id, login, kind, roles, enrolled_at, disabled_at, has_totp, passkeys, recovery_codes,
       federated
  FROM account_standing
 WHERE login = %s;

-- name: find_account_by_id
-- One account by its number.
SELECT account_id, login, kind, roles, enrolled_at, disabled_at, has_totp, passkeys, recovery_codes,
       federated
  FROM account_standing
 WHERE account_id = %s;

-- name: roles_of
-- What some accounts are.
SELECT login, roles
  FROM account
 WHERE login = ANY (%s);

-- name: has_account_with_role
-- Whether somebody who is not disabled has one of these roles.
SELECT EXISTS (SELECT FROM account
                WHERE disabled_at IS NULL AND kind = 'person' AND roles && %s::text[]);

-- name: list_waiting
-- Who was invited and has not come yet.
SELECT login
  FROM account
 WHERE enrolled_at IS NULL AND NOT federated AND disabled_at IS NULL AND kind = 'person' AND roles && %s::text[]
 ORDER BY account_id;

-- name: find_passphrase
-- What a passphrase is compared with.
SELECT account_id, passphrase
  FROM account
 WHERE login = %s AND kind = 'person' AND enrolled_at IS NOT NULL AND disabled_at IS NULL;

-- name: keep_passphrase
-- Take a new passphrase.
UPDATE account
   SET passphrase = %s
 WHERE account_id = %s;

-- name: find_own_passphrase
-- What a signed-in person's passphrase is compared with.
SELECT passphrase
  FROM account
 WHERE account_id = %s;

-- name: disable_account
-- Nobody comes in under this account any more.
UPDATE account
   SET disabled_at = now()
 WHERE account_id = %s AND disabled_at IS NULL;

-- name: enable_account
-- It may be used again.
UPDATE account
   SET disabled_at = NULL
 WHERE account_id = %s AND disabled_at IS NOT NULL;

-- name: keep_roles
-- Give an account other roles.
UPDATE account
   SET roles = %s
 WHERE account_id = %s;

-- name: reset_account
-- Forget how a person proves who they are.
UPDATE account
   SET passphrase = NULL, enrolled_at = NULL
 WHERE account_id = %s;

-- name: enrol_account
-- Both factors stand.
UPDATE account
   SET enrolled_at = now()
 WHERE account_id = %s AND passphrase IS NOT NULL;

-- name: invite
-- Make a one-time link; an older one of the account is void.
INSERT INTO invitation (account_id, secret_hash, ends_at)
VALUES (%s, %s, now() + make_interval(secs => %s))
ON CONFLICT (account_id) DO UPDATE
   SET secret_hash = EXCLUDED.secret_hash, created_at = now(), ends_at = EXCLUDED.ends_at;

-- name: find_invitation
-- Whose one-time link this is, held: who opens it at the same moment comes after.
SELECT account_id
  FROM invitation
  JOIN account USING (account_id)
 WHERE secret_hash = %s AND ends_at > now() AND disabled_at IS NULL
   FOR UPDATE OF invitation;

-- name: drop_invitation
-- The link has done its work; nothing comes back when it was void already.
DELETE FROM invitation
 WHERE account_id = %s AND ends_at > now()
RETURNING account_id;

-- name: drop_desk_code
-- The code of a desk has done its work.
DELETE FROM desk_code
 WHERE account_id = %s;

-- name: void_invitation
-- The link is void, whether it was used or not.
DELETE FROM invitation
 WHERE account_id = %s;

-- name: keep_totp
-- Take a new secret of an authenticator app, to be confirmed by a code; one that is there stays: it
-- was shown, or is being shown.
INSERT INTO totp (account_id, sealed)
VALUES (%s, %s)
ON CONFLICT (account_id) DO NOTHING;

-- name: find_totp
-- The secret of an authenticator app, confirmed or about to be.
SELECT sealed, confirmed_at IS NOT NULL
  FROM totp
 WHERE account_id = %s;

-- name: use_totp
-- Use up a step and all before it; nothing comes back when it was used.
UPDATE totp
   SET last_step = %(step)s, confirmed_at = coalesce(confirmed_at, now())
 WHERE account_id = %(account)s AND last_step < %(step)s
RETURNING account_id;

-- name: drop_totp
-- Forget the authenticator app.
DELETE FROM totp
 WHERE account_id = %s;

-- name: drop_recovery_codes
-- Forget every recovery code of an account.
DELETE FROM recovery_code
 WHERE account_id = %s;

-- name: add_recovery_codes
-- Keep new recovery codes.
INSERT INTO recovery_code (account_id, code_hash)
SELECT %s, code.hash
  FROM unnest(%s::bytea[]) AS code (hash);

-- name: use_recovery_code
-- Use a code up; nothing comes back when there is no such code.
DELETE FROM recovery_code
 WHERE account_id = %s AND code_hash = %s
RETURNING account_id;

-- name: add_passkey
-- Take a passkey.
INSERT INTO passkey (account_id, credential_id, public_key, sign_count, site)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT ON CONSTRAINT passkey_credential_once DO NOTHING
RETURNING passkey_id;

-- name: list_passkeys
-- The passkeys of an account.
SELECT passkey_id, credential_id, site, created_at, used_at
  FROM passkey
 WHERE account_id = %s
 ORDER BY passkey_id;

-- name: find_passkey
-- One passkey, with whose it is, if they may come in by it: who signs in elsewhere may not.
SELECT p.passkey_id, p.account_id, p.public_key, p.sign_count, p.site, a.handle
  FROM passkey p
  JOIN account a USING (account_id)
 WHERE p.credential_id = %s AND a.disabled_at IS NULL AND a.enrolled_at IS NOT NULL
   AND NOT a.federated;

-- name: use_passkey
-- Note its use; nothing comes back when another use came between.
UPDATE passkey
   SET sign_count = %s, used_at = now()
 WHERE passkey_id = %s AND sign_count = %s
RETURNING passkey_id;

-- name: drop_passkey
-- Forget one passkey of an account.
DELETE FROM passkey
 WHERE account_id = %s AND passkey_id = %s
RETURNING passkey_id;

-- name: drop_passkeys
-- Forget every passkey of an account.
DELETE FROM passkey
 WHERE account_id = %s;

-- name: is_federated
-- Whether somebody proves who they are elsewhere.
SELECT federated
  FROM account
 WHERE account_id = %s;

-- name: find_handle
-- What passkeys call an account.
SELECT handle, login
  FROM account
 WHERE account_id = %s;

-- name: keep_challenge
-- Give a browser a challenge; the one before is void.
INSERT INTO ceremony (browser_hash, purpose, challenge, ends_at)
VALUES (%s, %s, %s, now() + make_interval(secs => %s))
ON CONFLICT (browser_hash, purpose) DO UPDATE
   SET challenge = EXCLUDED.challenge, ends_at = EXCLUDED.ends_at;

-- name: take_challenge
-- Take back the challenge of a browser: it is answered once.
DELETE FROM ceremony
 WHERE browser_hash = %s AND purpose = %s
RETURNING challenge, ends_at > now();

-- name: open_session
-- Begin a session.
INSERT INTO session (secret_hash, account_id, level, address, agent, ends_at, proven_at)
VALUES (%(secret_hash)s, %(account)s, %(level)s, %(address)s, %(agent)s,
        now() + make_interval(secs => %(lasts_s)s), CASE WHEN %(level)s = 2 THEN now() END)
RETURNING session_id;

-- name: find_session
-- Whose session this is, if it is one still.
SELECT s.session_id, s.account_id, a.login, a.roles, s.level,
       s.seen_at < now() - make_interval(secs => %(touch_s)s),
       extract(epoch FROM now() - s.proven_at)::float8, e.emergency_id, e.ends_at, s.carer_id
  FROM session s
  JOIN account a USING (account_id)
  LEFT JOIN emergency e
    ON e.account_id = s.account_id AND e.session_id = s.session_id
   AND e.ended_at IS NULL AND e.ends_at > now()
 WHERE s.secret_hash = %(secret_hash)s
   AND s.ends_at > now()
   AND s.seen_at > now() - make_interval(secs => %(idle_s)s)
   AND a.disabled_at IS NULL
   AND CASE WHEN s.level > 0 THEN a.enrolled_at IS NOT NULL
            ELSE a.enrolled_at IS NULL
                 AND EXISTS (SELECT FROM invitation i
                              WHERE i.account_id = a.account_id AND i.ends_at > now()) END;

-- name: hold_account
-- One at a time changes what an account has: whoever comes second counts what is left.
SELECT account_id FROM account WHERE account_id = %s FOR NO KEY UPDATE;

-- name: hold_session
-- Make sure that a session is one still, and keep it so until the transaction ends.
SELECT session_id
  FROM session
 WHERE session_id = %s AND account_id = %s AND level = %s AND ends_at > now()
   FOR UPDATE;

-- name: touch_session
-- Somebody is there.
UPDATE session
   SET seen_at = now()
 WHERE session_id = %s;

-- name: end_session
-- End a session of an account.
DELETE FROM session
 WHERE account_id = %s AND session_id = %s
RETURNING session_id;

-- name: end_sessions
-- End every session of an account but one, or all with none named.
DELETE FROM session
 WHERE account_id = %s AND session_id IS DISTINCT FROM %s::bigint
RETURNING session_id;

-- name: list_sessions
-- The browsers an account is signed in with.
SELECT session_id, address, agent, created_at, seen_at
  FROM session
 WHERE account_id = %s
   AND level = 2
   AND ends_at > now()
   AND seen_at > now() - make_interval(secs => %s)
 ORDER BY seen_at DESC;

-- name: add_token
-- Make an API token.
INSERT INTO api_token (account_id, name, secret_hash, actions, ends_at)
VALUES (%s, %s, %s, %s, now() + make_interval(secs => %s))
RETURNING token_id, ends_at;

-- name: find_token
-- Whose token this is, if it is one still.
SELECT t.token_id, a.login, a.roles, t.actions, a.account_id
  FROM api_token t
  JOIN account a USING (account_id)
 WHERE t.secret_hash = %s
   AND t.ends_at > now()
   AND t.revoked_at IS NULL
   AND a.disabled_at IS NULL;

-- name: revoke_token
-- It lets nobody in any more.
UPDATE api_token t
   SET revoked_at = now()
  FROM account a
 WHERE a.account_id = t.account_id AND t.token_id = %s AND t.revoked_at IS NULL
RETURNING a.login, t.name;

-- name: list_tokens
-- Every token, never its secret.
SELECT t.token_id, a.login, t.name, t.actions, t.created_at, t.ends_at, t.revoked_at
  FROM api_token t
  JOIN account a USING (account_id)
 ORDER BY a.login, t.token_id;

-- name: take_try
-- Count a try before it is made, so that many at once cannot pass the limit together.
INSERT INTO rate AS r (bucket, taken, ends_at)
VALUES (%(bucket)s, 1, now() + make_interval(secs => %(window_s)s))
ON CONFLICT (bucket) DO UPDATE
   SET taken = CASE WHEN r.ends_at <= now() THEN 1 ELSE least(r.taken, 1000000) + 1 END,
       ends_at = CASE WHEN r.ends_at <= now() THEN EXCLUDED.ends_at ELSE r.ends_at END
RETURNING taken;

-- name: give_back
-- A try that was right does not count.
UPDATE rate
   SET taken = greatest(taken - 1, 0)
 WHERE bucket = %s;

-- name: forget_tries
-- Count anew.
DELETE FROM rate
 WHERE bucket = %s;

-- name: sweep_access
-- Remove what is over: windows, challenges, sessions, links.
WITH r AS (DELETE FROM rate WHERE ends_at <= now()),
     c AS (DELETE FROM ceremony WHERE ends_at <= now()),
     s AS (DELETE FROM session WHERE ends_at <= now())
DELETE FROM invitation WHERE ends_at <= now();

-- name: prove_session
-- A second factor was shown in this session just now.
UPDATE session
   SET proven_at = now()
 WHERE session_id = %s AND level = 2;

-- name: federate
-- The owner of this account proves themselves elsewhere: whatever they had here is forgotten.
UPDATE account
   SET federated = true, passphrase = NULL, enrolled_at = NULL
 WHERE account_id = %s
RETURNING account_id;

-- name: expect_subject
-- An issuer will say who this account is, at the first sign-in.
INSERT INTO external_identity (account_id, issuer)
VALUES (%s, %s)
ON CONFLICT (account_id, issuer) DO UPDATE
   SET subject = NULL, bound_at = NULL;

-- name: name_subject
-- An issuer means this account by a subject.
INSERT INTO external_identity (account_id, issuer, subject, bound_at)
VALUES (%s, %s, %s, now())
ON CONFLICT (account_id, issuer) DO UPDATE
   SET subject = EXCLUDED.subject, bound_at = now();

-- name: find_subject
-- Whom an issuer means by a subject, if they may come in.
SELECT a.account_id, a.login, a.roles, a.kind, a.enrolled_at IS NOT NULL
  FROM external_identity x
  JOIN account a USING (account_id)
 WHERE x.issuer = %s AND x.subject = %s AND a.disabled_at IS NULL;

-- name: bind_subject
-- The first sign-in of an account that is expected: from now on the subject counts.
UPDATE external_identity x
   SET subject = %(subject)s, bound_at = now()
  FROM account a
 WHERE a.account_id = x.account_id AND a.login = %(login)s AND a.disabled_at IS NULL
   AND a.federated AND x.issuer = %(issuer)s AND x.subject IS NULL
   AND NOT EXISTS (SELECT FROM external_identity o
                    WHERE o.issuer = %(issuer)s AND o.subject = %(subject)s)
RETURNING a.account_id;

-- name: enrol_federated
-- Its owner came in.
UPDATE account
   SET enrolled_at = coalesce(enrolled_at, now())
 WHERE account_id = %s AND federated;

-- name: keep_claimed_roles
-- The roles an issuer says somebody has; says which they were, where they differ.
UPDATE account a
   SET roles = %(roles)s
  FROM account before
 WHERE a.account_id = %(account)s AND before.account_id = a.account_id
   AND a.roles <> %(roles)s::text[]
RETURNING before.roles;

-- Accounts whose owners prove themselves at an identity provider (OpenID Connect), and programs
-- that bring its tokens. Brief locks: a column with a constant default, two constraints.

ALTER TABLE account ADD COLUMN federated boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN account.federated IS 'Proves itself at an identity provider: no passphrase here.';
ALTER TABLE account DROP CONSTRAINT account_enrolled_with_passphrase;
ALTER TABLE account ADD CONSTRAINT account_enrolled_with_proof
    CHECK (enrolled_at IS NULL OR passphrase IS NOT NULL OR federated);
ALTER TABLE account ADD CONSTRAINT account_federated_has_no_passphrase
    CHECK (NOT federated OR passphrase IS NULL);

CREATE TABLE external_identity (
    account_id bigint      NOT NULL,
    issuer     text COLLATE "C" NOT NULL,
    subject    text COLLATE "C",
    bound_at   timestamptz,
    CONSTRAINT external_identity_pkey PRIMARY KEY (account_id, issuer),
    CONSTRAINT external_identity_subject_once UNIQUE (issuer, subject),
    CONSTRAINT external_identity_account_fkey
        FOREIGN KEY (account_id) REFERENCES account ON DELETE CASCADE,
    CONSTRAINT external_identity_bound_to_a_subject CHECK ((subject IS NULL) = (bound_at IS NULL)),
    CONSTRAINT external_identity_subject_is_short CHECK (length(subject) BETWEEN 1 AND 255)
);
COMMENT ON TABLE external_identity IS
    'Whom an issuer means by a subject. Bound at the first sign-in; from then on only the subject counts.';

ALTER TABLE ceremony DROP CONSTRAINT ceremony_purpose_is_known;
ALTER TABLE ceremony ADD CONSTRAINT ceremony_purpose_is_known
    CHECK (purpose IN ('register', 'sign-in', 'federation'));

CREATE OR REPLACE VIEW account_standing AS
SELECT a.account_id, a.login, a.kind, a.roles, a.enrolled_at, a.disabled_at,
       EXISTS (SELECT FROM totp t
                WHERE t.account_id = a.account_id AND t.confirmed_at IS NOT NULL) AS has_totp,
       (SELECT count(*) FROM passkey p WHERE p.account_id = a.account_id) AS passkeys,
       (SELECT count(*) FROM recovery_code r WHERE r.account_id = a.account_id) AS recovery_codes,
       a.federated
  FROM account a;

-- People and programs, how they prove who they are, and how often they may try. New tables only,
-- so nothing is locked. No secret stands here in plain: hashes, or sealed under the archive's keys.

CREATE TABLE account (
    account_id  bigint GENERATED ALWAYS AS IDENTITY,
    login       text COLLATE "C" NOT NULL,
    kind        text        NOT NULL,
    roles       text[]      NOT NULL,
    handle      bytea       NOT NULL,
    passphrase  text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    enrolled_at timestamptz,
    disabled_at timestamptz,
    CONSTRAINT account_pkey PRIMARY KEY (account_id),
    CONSTRAINT account_login_once UNIQUE (login),
    CONSTRAINT account_handle_once UNIQUE (handle),
    CONSTRAINT account_kind_of UNIQUE (account_id, kind),
    CONSTRAINT account_login_is_folded CHECK (login ~ '^[a-z0-9][a-z0-9._@-]{0,63}$'),
    CONSTRAINT account_kind_is_known CHECK (kind IN ('person', 'service')),
    CONSTRAINT account_has_a_role
        CHECK (cardinality(roles) > 0 AND array_position(roles, NULL) IS NULL),
    CONSTRAINT account_handle_is_random CHECK (octet_length(handle) = 32),
    CONSTRAINT account_passphrase_is_hashed
        CHECK (passphrase IS NULL OR passphrase ~ '^[0-9a-f]{32}:\$argon2id\$'),
    CONSTRAINT account_service_has_none
        CHECK (kind = 'person' OR (passphrase IS NULL AND enrolled_at IS NULL)),
    CONSTRAINT account_enrolled_with_passphrase
        CHECK (enrolled_at IS NULL OR passphrase IS NOT NULL)
);
COMMENT ON TABLE account IS 'Who can be let in: people, who sign in, and programs, which have tokens.';
COMMENT ON COLUMN account.handle IS 'What passkeys call the account: random, tells nothing (WebAuthn 5.4.3).';
COMMENT ON COLUMN account.passphrase IS 'Id of the archive key that peppers it, then the argon2id hash.';
COMMENT ON COLUMN account.enrolled_at IS 'Since when it has both factors; without it nobody signs in.';

CREATE TABLE totp (
    account_id   bigint NOT NULL,
    kind         text   NOT NULL DEFAULT 'person',
    sealed       bytea  NOT NULL,
    confirmed_at timestamptz,
    last_step    bigint NOT NULL DEFAULT 0,
    CONSTRAINT totp_pkey PRIMARY KEY (account_id),
    CONSTRAINT totp_is_a_persons CHECK (kind = 'person'),
    CONSTRAINT totp_account_fkey FOREIGN KEY (account_id, kind)
        REFERENCES account (account_id, kind) ON DELETE CASCADE
);
COMMENT ON TABLE totp IS 'Authenticator apps (RFC 6238), their secrets sealed under the archive key.';
COMMENT ON COLUMN totp.last_step IS 'The newest step that was used: a code is good once (RFC 6238 5.2).';

CREATE TABLE recovery_code (
    account_id bigint NOT NULL,
    code_hash  bytea  NOT NULL,
    CONSTRAINT recovery_code_pkey PRIMARY KEY (account_id, code_hash),
    CONSTRAINT recovery_code_is_hashed CHECK (octet_length(code_hash) = 32),
    CONSTRAINT recovery_code_account_fkey
        FOREIGN KEY (account_id) REFERENCES account ON DELETE CASCADE
);
COMMENT ON TABLE recovery_code IS 'Codes that stand in for a lost second factor; a used one is gone.';

CREATE TABLE passkey (
    passkey_id    bigint GENERATED ALWAYS AS IDENTITY,
    account_id    bigint      NOT NULL,
    kind          text        NOT NULL DEFAULT 'person',
    credential_id bytea       NOT NULL,
    public_key    bytea       NOT NULL,
    sign_count    bigint      NOT NULL,
    site          text        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    used_at       timestamptz,
    CONSTRAINT passkey_pkey PRIMARY KEY (passkey_id),
    CONSTRAINT passkey_credential_once UNIQUE (credential_id),
    CONSTRAINT passkey_credential_is_short CHECK (octet_length(credential_id) BETWEEN 1 AND 1023),
    CONSTRAINT passkey_count_is_a_counter CHECK (sign_count BETWEEN 0 AND 4294967295),
    CONSTRAINT passkey_is_a_persons CHECK (kind = 'person'),
    CONSTRAINT passkey_account_fkey FOREIGN KEY (account_id, kind)
        REFERENCES account (account_id, kind) ON DELETE CASCADE
);
COMMENT ON TABLE passkey IS 'Public keys of authenticators (WebAuthn).';
CREATE INDEX passkey_by_account ON passkey (account_id);
COMMENT ON INDEX passkey_by_account IS 'my account: its passkeys';

CREATE TABLE session (
    session_id  bigint GENERATED ALWAYS AS IDENTITY,
    secret_hash bytea       NOT NULL,
    account_id  bigint      NOT NULL,
    kind        text        NOT NULL DEFAULT 'person',
    level       smallint    NOT NULL,
    address     text,
    agent       text        NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now(),
    ends_at     timestamptz NOT NULL,
    CONSTRAINT session_pkey PRIMARY KEY (session_id),
    CONSTRAINT session_secret_once UNIQUE (secret_hash),
    CONSTRAINT session_secret_is_hashed CHECK (octet_length(secret_hash) = 32),
    CONSTRAINT session_is_a_persons CHECK (kind = 'person'),
    CONSTRAINT session_level_is_known CHECK (level BETWEEN 0 AND 2),
    CONSTRAINT session_ends CHECK (ends_at > created_at),
    CONSTRAINT session_agent_is_short CHECK (length(agent) <= 200),
    CONSTRAINT session_account_fkey FOREIGN KEY (account_id, kind)
        REFERENCES account (account_id, kind) ON DELETE CASCADE
);
COMMENT ON TABLE session IS 'Browsers that are signed in. An ended session has no row.';
COMMENT ON COLUMN session.level IS '0 enrolling by a link, 1 passphrase was right, 2 signed in.';
CREATE INDEX session_by_account ON session (account_id);
COMMENT ON INDEX session_by_account IS 'my account; ending all sessions of one account';
CREATE INDEX session_by_end ON session (ends_at);
COMMENT ON INDEX session_by_end IS 'sweep: sessions that are over';

CREATE TABLE api_token (
    token_id    bigint GENERATED ALWAYS AS IDENTITY,
    account_id  bigint      NOT NULL,
    kind        text        NOT NULL DEFAULT 'service',
    name        text        NOT NULL,
    secret_hash bytea       NOT NULL,
    actions     text[],
    created_at  timestamptz NOT NULL DEFAULT now(),
    ends_at     timestamptz NOT NULL,
    revoked_at  timestamptz,
    CONSTRAINT api_token_pkey PRIMARY KEY (token_id),
    CONSTRAINT api_token_secret_once UNIQUE (secret_hash),
    CONSTRAINT api_token_secret_is_hashed CHECK (octet_length(secret_hash) = 32),
    CONSTRAINT api_token_is_a_services CHECK (kind = 'service'),
    CONSTRAINT api_token_name_is_short CHECK (name ~ '^[[:print:]]{1,64}$'),
    CONSTRAINT api_token_ends CHECK (ends_at > created_at),
    CONSTRAINT api_token_actions_are_some
        CHECK (actions IS NULL OR (cardinality(actions) > 0 AND array_position(actions, NULL) IS NULL)),
    CONSTRAINT api_token_account_fkey FOREIGN KEY (account_id, kind)
        REFERENCES account (account_id, kind) ON DELETE CASCADE
);
COMMENT ON TABLE api_token IS 'Bearer tokens of programs. People sign in: a token would go round their second factor.';
COMMENT ON COLUMN api_token.actions IS 'What of its account''s actions it may do; null is all of them.';
CREATE INDEX api_token_by_account ON api_token (account_id);
COMMENT ON INDEX api_token_by_account IS 'vna token list';

CREATE TABLE invitation (
    account_id  bigint      NOT NULL,
    kind        text        NOT NULL DEFAULT 'person',
    secret_hash bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    ends_at     timestamptz NOT NULL,
    CONSTRAINT invitation_pkey PRIMARY KEY (account_id),
    CONSTRAINT invitation_secret_once UNIQUE (secret_hash),
    CONSTRAINT invitation_secret_is_hashed CHECK (octet_length(secret_hash) = 32),
    CONSTRAINT invitation_is_a_persons CHECK (kind = 'person'),
    CONSTRAINT invitation_ends CHECK (ends_at > created_at),
    CONSTRAINT invitation_account_fkey FOREIGN KEY (account_id, kind)
        REFERENCES account (account_id, kind) ON DELETE CASCADE
);
COMMENT ON TABLE invitation IS 'One-time links: one an account, gone once both factors stand.';

CREATE TABLE ceremony (
    browser_hash bytea       NOT NULL,
    purpose      text        NOT NULL,
    challenge    bytea       NOT NULL,
    ends_at      timestamptz NOT NULL,
    CONSTRAINT ceremony_pkey PRIMARY KEY (browser_hash, purpose),
    CONSTRAINT ceremony_purpose_is_known CHECK (purpose IN ('register', 'sign-in')),
    CONSTRAINT ceremony_challenge_is_random CHECK (octet_length(challenge) = 32)
);
COMMENT ON TABLE ceremony IS 'Challenges given to passkeys; each is answered once (WebAuthn 13.4.3).';
CREATE INDEX ceremony_by_end ON ceremony (ends_at);
COMMENT ON INDEX ceremony_by_end IS 'sweep: challenges nobody answered';

CREATE UNLOGGED TABLE rate (
    bucket  bytea       NOT NULL,
    taken   integer     NOT NULL,
    ends_at timestamptz NOT NULL,
    CONSTRAINT rate_pkey PRIMARY KEY (bucket),
    CONSTRAINT rate_bucket_is_hashed CHECK (octet_length(bucket) = 32),
    CONSTRAINT rate_taken_counts CHECK (taken >= 0)
);
COMMENT ON TABLE rate IS 'How often was tried within a window; a crash of the server forgets it.';
CREATE INDEX rate_by_end ON rate (ends_at);
COMMENT ON INDEX rate_by_end IS 'sweep: windows that are over';

CREATE VIEW account_standing AS
SELECT a.account_id, a.login, a.kind, a.roles, a.enrolled_at, a.disabled_at,
       EXISTS (SELECT FROM totp t
                WHERE t.account_id = a.account_id AND t.confirmed_at IS NOT NULL) AS has_totp,
       (SELECT count(*) FROM passkey p WHERE p.account_id = a.account_id) AS passkeys,
       (SELECT count(*) FROM recovery_code r WHERE r.account_id = a.account_id) AS recovery_codes
  FROM account a;
COMMENT ON VIEW account_standing IS 'An account with what it has to sign in with, never the secrets.';

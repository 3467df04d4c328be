-- Patients' own accounts: which person an account is bound to and how that was proven, the code a
-- desk hands over, what of their studies they have looked at, and where they may be written to.
-- New tables and a view; one index makes writers of `audit` wait while it is built.

CREATE TABLE person_account (
    binding_id   bigint GENERATED ALWAYS AS IDENTITY,
    account_id   bigint      NOT NULL,
    kind         text        NOT NULL DEFAULT 'person',
    identity_id  bytea       NOT NULL,
    proof        text        NOT NULL,
    grant_id     bigint,
    asked_at     timestamptz NOT NULL DEFAULT now(),
    asked_by     text        NOT NULL,
    confirmed_at timestamptz,
    confirmed_by text,
    ended_at     timestamptz,
    ended_by     text,
    reason       text,
    CONSTRAINT person_account_pkey PRIMARY KEY (binding_id),
    CONSTRAINT person_account_is_a_persons CHECK (kind = 'person'),
    CONSTRAINT person_account_account_fkey FOREIGN KEY (account_id, kind)
        REFERENCES account (account_id, kind) ON DELETE CASCADE,
    CONSTRAINT person_account_identity_is_one CHECK (octet_length(identity_id) = 16),
    CONSTRAINT person_account_proof_is_known CHECK (proof IN ('desk', 'share')),
    CONSTRAINT person_account_share_has_grant CHECK ((proof = 'share') = (grant_id IS NOT NULL)),
    CONSTRAINT person_account_desk_is_confirmed CHECK (proof = 'share' OR confirmed_at IS NOT NULL),
    CONSTRAINT person_account_confirmed_by_somebody CHECK ((confirmed_at IS NULL) = (confirmed_by IS NULL)),
    CONSTRAINT person_account_end_is_whole CHECK (num_nulls(ended_at, ended_by, reason) IN (0, 3)),
    CONSTRAINT person_account_reason_is_short CHECK (length(reason) BETWEEN 1 AND 500)
);
COMMENT ON TABLE person_account IS
    'Which person an account is bound to: by an identity of theirs. Nothing is seen before it is confirmed.';
COMMENT ON COLUMN person_account.identity_id IS
    'No reference: a reindex makes identities anew, and the journal keeps this one''s name.';
COMMENT ON COLUMN person_account.proof IS 'desk: staff compared and gave a code; share: a link and its proof.';
CREATE UNIQUE INDEX person_account_one ON person_account (account_id) WHERE ended_at IS NULL;
COMMENT ON INDEX person_account_one IS 'one person an account; what it may see, at each request';
CREATE UNIQUE INDEX person_account_of_grant ON person_account (grant_id) WHERE ended_at IS NULL;
COMMENT ON INDEX person_account_of_grant IS 'one account by one link';
CREATE INDEX person_account_of ON person_account (identity_id);
COMMENT ON INDEX person_account_of IS 'the accounts of a person; identities that stay';
CREATE INDEX person_account_waits ON person_account (asked_at)
    WHERE confirmed_at IS NULL AND ended_at IS NULL;
COMMENT ON INDEX person_account_waits IS 'the list of accounts that wait for staff';

CREATE VIEW own_reach AS
SELECT b.account_id, s.study_uid
  FROM person_account b
  JOIN identity me ON me.identity_id = b.identity_id
  JOIN identity i ON i.person_id = me.person_id
  JOIN study_identity s ON s.identity_id = i.identity_id
 WHERE b.ended_at IS NULL AND b.confirmed_at IS NOT NULL
   AND NOT i.quarantined AND s.alert IS NULL
   AND NOT EXISTS (SELECT FROM identity_due d WHERE d.study_uid = s.study_uid);
COMMENT ON VIEW own_reach IS
    'The studies of each patient''s account: of all identities linked to its person, less those in doubt or not looked at since they changed.';

CREATE TABLE desk_code (
    account_id bigint      NOT NULL,
    code_hash  bytea       NOT NULL,
    issued_at  timestamptz NOT NULL DEFAULT now(),
    issued_by  text        NOT NULL,
    ends_at    timestamptz NOT NULL,
    tries      smallint    NOT NULL DEFAULT 0,
    CONSTRAINT desk_code_pkey PRIMARY KEY (account_id),
    CONSTRAINT desk_code_once UNIQUE (code_hash),
    CONSTRAINT desk_code_is_hashed CHECK (octet_length(code_hash) = 32),
    CONSTRAINT desk_code_ends CHECK (ends_at > issued_at),
    CONSTRAINT desk_code_tries_are_few CHECK (tries BETWEEN 0 AND 5),
    CONSTRAINT desk_code_account_fkey
        FOREIGN KEY (account_id) REFERENCES account ON DELETE CASCADE
);
COMMENT ON TABLE desk_code IS
    'Codes handed over at a desk: one an account, gone once both factors stand. Five wrong birth dates lock one.';

CREATE TABLE own_seen (
    account_id bigint NOT NULL,
    study_uid  text COLLATE "C" NOT NULL,
    seen_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT own_seen_pkey PRIMARY KEY (account_id, study_uid),
    CONSTRAINT own_seen_uid_is_uid CHECK (study_uid ~ '^[0-9.]{1,64}$'),
    CONSTRAINT own_seen_account_fkey
        FOREIGN KEY (account_id) REFERENCES account ON DELETE CASCADE
);
COMMENT ON TABLE own_seen IS 'Which of their studies a patient has opened: the others are new to them.';

CREATE TABLE own_setting (
    account_id bigint NOT NULL,
    language   text,
    CONSTRAINT own_setting_pkey PRIMARY KEY (account_id),
    CONSTRAINT own_setting_language_is_a_tag CHECK (language ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$'),
    CONSTRAINT own_setting_account_fkey
        FOREIGN KEY (account_id) REFERENCES account ON DELETE CASCADE
);
COMMENT ON TABLE own_setting IS 'How a patient wants their pages; no language: as the browser says.';

CREATE TABLE own_contact (
    account_id bigint      NOT NULL,
    kind       text        NOT NULL,
    channel_id bigint      NOT NULL,
    mac        bytea,
    ends_at    timestamptz,
    tries      smallint    NOT NULL DEFAULT 0,
    proven_at  timestamptz,
    CONSTRAINT own_contact_pkey PRIMARY KEY (account_id, kind),
    CONSTRAINT own_contact_kind_is_known CHECK (kind IN ('email', 'sms')),
    CONSTRAINT own_contact_is_keyed CHECK (octet_length(mac) = 32),
    CONSTRAINT own_contact_code_is_whole CHECK ((mac IS NULL) = (ends_at IS NULL)),
    CONSTRAINT own_contact_waits_or_is_proven CHECK ((proven_at IS NULL) = (mac IS NOT NULL)),
    CONSTRAINT own_contact_tries_are_few CHECK (tries BETWEEN 0 AND 5),
    CONSTRAINT own_contact_account_fkey
        FOREIGN KEY (account_id) REFERENCES account ON DELETE CASCADE,
    CONSTRAINT own_contact_channel_fkey FOREIGN KEY (channel_id) REFERENCES contact_channel
);
COMMENT ON TABLE own_contact IS 'Where a patient may be written to: proven by a code that was sent there.';

CREATE INDEX audit_sent_of_many ON audit USING gin ((detail -> 'studies'))
    WHERE study IS NULL AND kind = 'sent';
COMMENT ON INDEX audit_sent_of_many IS 'who was sent a study together with others';

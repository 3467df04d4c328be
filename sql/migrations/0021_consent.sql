-- Consents asked in the waiting room: their texts, what is sent where once the images are there, the
-- tablet that asks. New tables only, so nothing is locked.

CREATE TABLE consent_text (
    purpose  text        NOT NULL,
    revision integer     NOT NULL,
    language text COLLATE "C" NOT NULL,
    title    text        NOT NULL,
    body     text        NOT NULL,
    made_by  text        NOT NULL,
    made_at  timestamptz NOT NULL,
    CONSTRAINT consent_text_pkey PRIMARY KEY (purpose, revision, language),
    CONSTRAINT consent_text_purpose_is_known
        CHECK (purpose IN ('treatment', 'patient-request', 'third-party', 'research')),
    CONSTRAINT consent_text_revision_counts CHECK (revision BETWEEN 1 AND 100000),
    CONSTRAINT consent_text_language_is_one CHECK (language ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$'),
    CONSTRAINT consent_text_title_is_short CHECK (length(title) BETWEEN 1 AND 200),
    CONSTRAINT consent_text_body_is_one CHECK (length(body) BETWEEN 1 AND 8000)
);
COMMENT ON TABLE consent_text IS
    'What people are asked, in the words of this place; a text is never changed, only followed by a '
    'later one. Journalled. Without a row the archive''s own words stand.';
COMMENT ON INDEX consent_text_pkey IS 'kiosk: the latest text of a purpose in a language';

CREATE TABLE consent_plan (
    consent_id bigint NOT NULL,
    lane       text   NOT NULL,
    sealed     bytea  NOT NULL,
    CONSTRAINT consent_plan_pkey PRIMARY KEY (consent_id),
    CONSTRAINT consent_plan_lane_is_known CHECK (lane IN ('now', 'tonight', 'urgent')),
    CONSTRAINT consent_plan_consent_fkey
        FOREIGN KEY (consent_id) REFERENCES consent ON DELETE CASCADE
);
COMMENT ON TABLE consent_plan IS 'How images go out by themselves that a consent allows. Journalled.';
COMMENT ON COLUMN consent_plan.sealed IS 'Name and birth date that were compared, recipient, channels.';

CREATE TABLE kiosk (
    secret_hash bytea       NOT NULL,
    sealed      bytea       NOT NULL,
    number      bigint      NOT NULL,
    begun_by    text        NOT NULL,
    begun_at    timestamptz NOT NULL DEFAULT now(),
    ends_at     timestamptz NOT NULL,
    answered_at timestamptz,
    consent_id  bigint,
    CONSTRAINT kiosk_pkey PRIMARY KEY (secret_hash),
    CONSTRAINT kiosk_secret_is_hashed CHECK (octet_length(secret_hash) = 32),
    CONSTRAINT kiosk_is_short CHECK (ends_at > begun_at AND ends_at <= begun_at + interval '4 hours'),
    CONSTRAINT kiosk_answered_is_told CHECK ((answered_at IS NULL) = (consent_id IS NULL)),
    CONSTRAINT kiosk_consent_fkey FOREIGN KEY (consent_id) REFERENCES consent ON DELETE CASCADE
);
COMMENT ON TABLE kiosk IS 'A tablet of the waiting room that asks one person one thing, once.';
COMMENT ON COLUMN kiosk.sealed IS 'Who is asked what; bound to `number`.';

-- Images asked for: a link by which somebody elsewhere fills an import, without an account.
-- New tables only, so nothing is locked.

CREATE TABLE upload_request (
    request_pk   bigint GENERATED ALWAYS AS IDENTITY,
    number       text COLLATE "C" NOT NULL,
    import_pk    bigint      NOT NULL,
    locator      bytea       NOT NULL,
    passcode     text        NOT NULL,
    organisation text        NOT NULL,
    wanted       text        NOT NULL,
    masked       text        NOT NULL,
    message_id   bigint,
    made_by      text        NOT NULL,
    made_at      timestamptz NOT NULL DEFAULT now(),
    until_at     timestamptz NOT NULL,
    wrong        integer     NOT NULL DEFAULT 0,
    opened_at    timestamptz,
    delivered_at timestamptz,
    stopped_at   timestamptz,
    CONSTRAINT upload_request_pkey PRIMARY KEY (request_pk),
    CONSTRAINT upload_request_number_once UNIQUE (number),
    CONSTRAINT upload_request_import_once UNIQUE (import_pk),
    CONSTRAINT upload_request_locator_once UNIQUE (locator),
    CONSTRAINT upload_request_import_fkey
        FOREIGN KEY (import_pk) REFERENCES import_batch ON DELETE CASCADE,
    CONSTRAINT upload_request_locator_is_a_hash CHECK (octet_length(locator) = 32),
    CONSTRAINT upload_request_texts_are_short CHECK
        (length(organisation) <= 200 AND length(wanted) <= 500 AND length(masked) <= 300),
    CONSTRAINT upload_request_tries_are_counted CHECK (wrong >= 0)
);
COMMENT ON TABLE upload_request IS 'Images asked for of somebody elsewhere; the import it fills holds what comes.';
COMMENT ON COLUMN upload_request.locator IS 'Hash by which the link''s secret is found; the secret itself is nowhere.';
COMMENT ON COLUMN upload_request.passcode IS 'Hash of what is told by another way than the link.';
COMMENT ON COLUMN upload_request.wrong IS 'Wrong passcodes in its life: past the limit it is locked.';

CREATE TABLE upload_session (
    session    bytea       NOT NULL,
    request_pk bigint      NOT NULL,
    until_at   timestamptz NOT NULL,
    CONSTRAINT upload_session_pkey PRIMARY KEY (session),
    CONSTRAINT upload_session_request_fkey
        FOREIGN KEY (request_pk) REFERENCES upload_request ON DELETE CASCADE,
    CONSTRAINT upload_session_is_a_hash CHECK (octet_length(session) = 32)
);
COMMENT ON TABLE upload_session IS 'Browsers that came by a link with its passcode, by the hash of their cookie.';
CREATE INDEX upload_session_over ON upload_session (until_at);
COMMENT ON INDEX upload_session_over IS 'upkeep: sessions that are over';

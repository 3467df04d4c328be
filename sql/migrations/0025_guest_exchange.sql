-- Images that guests send to guests: two mailboxes, an import that waits, a link and a passcode.
-- New tables; of import_file one check is widened, which reads the table once.

CREATE TABLE guest_exchange (
    exchange_pk      bigint GENERATED ALWAYS AS IDENTITY,
    number           text COLLATE "C" NOT NULL,
    import_pk        bigint,
    sender           bytea,
    sender_mac       bytea       NOT NULL,
    sender_masked    text        NOT NULL,
    recipient        bytea,
    recipient_mac    bytea       NOT NULL,
    recipient_masked text        NOT NULL,
    for_patient      boolean     NOT NULL,
    language         text        NOT NULL,
    code_mac         bytea,
    code_at          timestamptz NOT NULL DEFAULT now(),
    code_wrong       integer     NOT NULL DEFAULT 0,
    codes            integer     NOT NULL DEFAULT 1,
    locator          bytea,
    status_locator   bytea,
    passcode         text,
    message_id       bigint,
    wrong            integer     NOT NULL DEFAULT 0,
    made_at          timestamptz NOT NULL DEFAULT now(),
    proven_at        timestamptz,
    sent_at          timestamptz,
    until_at         timestamptz NOT NULL,
    opened_at        timestamptz,
    opens            integer     NOT NULL DEFAULT 0,
    fetched_at       timestamptz,
    locked_at        timestamptz,
    stopped_at       timestamptz,
    stopped_by       text,
    over_at          timestamptz,
    CONSTRAINT guest_exchange_pkey PRIMARY KEY (exchange_pk),
    CONSTRAINT guest_exchange_number_once UNIQUE (number),
    CONSTRAINT guest_exchange_import_once UNIQUE (import_pk),
    CONSTRAINT guest_exchange_locator_once UNIQUE (locator),
    CONSTRAINT guest_exchange_status_once UNIQUE (status_locator),
    CONSTRAINT guest_exchange_import_fkey
        FOREIGN KEY (import_pk) REFERENCES import_batch ON DELETE CASCADE,
    CONSTRAINT guest_exchange_hashes CHECK
        (octet_length(locator) = 32 AND octet_length(status_locator) = 32
         AND octet_length(sender_mac) = 32 AND octet_length(recipient_mac) = 32),
    CONSTRAINT guest_exchange_masks_are_short CHECK
        (length(sender_masked) <= 300 AND length(recipient_masked) <= 300),
    CONSTRAINT guest_exchange_two_mailboxes CHECK (sender_mac <> recipient_mac),
    CONSTRAINT guest_exchange_tries_are_counted CHECK
        (wrong >= 0 AND code_wrong >= 0 AND codes >= 0 AND opens >= 0),
    CONSTRAINT guest_exchange_proven_has_an_import CHECK
        ((proven_at IS NULL) = (import_pk IS NULL)),
    CONSTRAINT guest_exchange_sent_is_complete CHECK (over_at IS NOT NULL OR sent_at IS NULL OR
        num_nulls(proven_at, locator, status_locator, passcode) = 0),
    CONSTRAINT guest_exchange_stopped_by_somebody CHECK
        ((stopped_at IS NULL) = (stopped_by IS NULL) AND stopped_by IN ('sender', 'recipient'))
);
COMMENT ON TABLE guest_exchange IS 'Images one guest sends to another; what was sent lies in the import.';
COMMENT ON COLUMN guest_exchange.sender IS 'Mailbox of the sender, sealed; gone once it is over.';
COMMENT ON COLUMN guest_exchange.sender_mac IS 'Keyed hash of the mailbox: how many a day.';
COMMENT ON COLUMN guest_exchange.code_mac IS 'Keyed hash of the code that proves the sender''s mailbox.';
COMMENT ON COLUMN guest_exchange.locator IS 'Hash by which the link''s secret is found; the secret itself is nowhere.';
COMMENT ON COLUMN guest_exchange.status_locator IS 'The same of the link by which the sender looks after it.';
COMMENT ON COLUMN guest_exchange.passcode IS 'Hash of what the sender was shown once.';
COMMENT ON COLUMN guest_exchange.wrong IS 'Wrong passcodes in its life: past the limit it is locked.';
COMMENT ON COLUMN guest_exchange.locked_at IS 'When its sender was told that it is locked.';
COMMENT ON COLUMN guest_exchange.over_at IS 'Addresses and hashes were forgotten.';
CREATE INDEX guest_exchange_of_sender ON guest_exchange (sender_mac, made_at);
COMMENT ON INDEX guest_exchange_of_sender IS 'limit: how many a mailbox sends in a day';
CREATE INDEX guest_exchange_to_recipient ON guest_exchange (recipient_mac, made_at);
COMMENT ON INDEX guest_exchange_to_recipient IS 'limit: how many a mailbox is sent in a day';
CREATE INDEX guest_exchange_standing ON guest_exchange (exchange_pk) WHERE over_at IS NULL;
COMMENT ON INDEX guest_exchange_standing IS 'upkeep: what may be over';

CREATE TABLE guest_item (
    exchange_pk bigint NOT NULL,
    item        bytea  NOT NULL,
    CONSTRAINT guest_item_pkey PRIMARY KEY (exchange_pk, item),
    CONSTRAINT guest_item_exchange_fkey
        FOREIGN KEY (exchange_pk) REFERENCES guest_exchange ON DELETE CASCADE,
    CONSTRAINT guest_item_is_a_hash CHECK (octet_length(item) = 32)
);
COMMENT ON TABLE guest_item IS 'A file, folder, ZIP or ISO of an exchange, by the hash of its name: so many may be sent.';

CREATE TABLE guest_session (
    session     bytea       NOT NULL,
    exchange_pk bigint      NOT NULL,
    side        text        NOT NULL,
    until_at    timestamptz NOT NULL,
    CONSTRAINT guest_session_pkey PRIMARY KEY (session),
    CONSTRAINT guest_session_exchange_fkey
        FOREIGN KEY (exchange_pk) REFERENCES guest_exchange ON DELETE CASCADE,
    CONSTRAINT guest_session_is_a_hash CHECK (octet_length(session) = 32),
    CONSTRAINT guest_session_side_is_one CHECK (side IN ('sender', 'recipient'))
);
COMMENT ON TABLE guest_session IS 'Browsers of who sends and of who receives, by the hash of their cookie.';
CREATE INDEX guest_session_over ON guest_session (until_at);
COMMENT ON INDEX guest_session_over IS 'upkeep: sessions that are over';

-- Guests may send documents beside images: those are kept, too.
ALTER TABLE import_file
    ADD COLUMN media text,
    ADD CONSTRAINT import_file_media_is_known CHECK
        (media IN ('application/pdf', 'image/jpeg', 'image/png')),
    DROP CONSTRAINT import_file_only_kept_has_a_blob,
    ADD CONSTRAINT import_file_only_kept_has_a_blob CHECK
        (blob_id IS NULL OR result IN ('kept', 'filed', 'document')),
    ADD CONSTRAINT import_file_document_has_its_key CHECK
        (result <> 'document' OR (blob_id IS NULL) = (key_id IS NULL));
COMMENT ON COLUMN import_file.media IS 'What a document is that is kept, by its first bytes.';
CREATE UNIQUE INDEX import_file_document_once
    ON import_file (import_pk, digest) WHERE result = 'document' AND blob_id IS NOT NULL;
COMMENT ON INDEX import_file_document_once IS 'the same document twice in one parcel';

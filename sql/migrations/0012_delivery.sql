-- Messages to people: each is a row with a state, written in the transaction of the act it tells
-- of. New tables only, so nothing is locked. Address and contents are sealed, and gone once sent.

CREATE TABLE webhook (
    webhook_id bigint GENERATED ALWAYS AS IDENTITY,
    token      bytea       NOT NULL,
    host       text        NOT NULL,
    sealed     bytea       NOT NULL,
    events     text[]      NOT NULL DEFAULT '{}',
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhook_pkey PRIMARY KEY (webhook_id),
    CONSTRAINT webhook_token_once UNIQUE (token),
    CONSTRAINT webhook_token_is_random CHECK (octet_length(token) = 16),
    CONSTRAINT webhook_host_is_a_name CHECK (length(host) BETWEEN 1 AND 255),
    CONSTRAINT webhook_events_are_some CHECK (array_position(events, NULL) IS NULL)
);
COMMENT ON TABLE webhook IS 'Other programs that are told of what happens to shares.';
COMMENT ON COLUMN webhook.sealed IS 'Its address and the key its calls are signed with, under the archive key.';
COMMENT ON COLUMN webhook.events IS 'Sorts of acts it is told of, as the trail names them; none: all there are.';

CREATE TABLE message (
    message_id   bigint GENERATED ALWAYS AS IDENTITY,
    token        bytea       NOT NULL,
    channel      text        NOT NULL,
    masked       text        NOT NULL,
    template     text        NOT NULL,
    language     text COLLATE "C" NOT NULL,
    sealed       bytea,
    state        text        NOT NULL DEFAULT 'queued',
    via          text,
    attempts     integer     NOT NULL DEFAULT 0,
    cause        text,
    told         text,
    provider_ref text COLLATE "C",
    job_id       bigint,
    channel_id   bigint,
    share_id     bigint,
    grant_id     bigint,
    account_id   bigint,
    webhook_id   bigint,
    requested_by text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    changed_at   timestamptz NOT NULL DEFAULT now(),
    next_at      timestamptz DEFAULT now(),
    until_at     timestamptz NOT NULL,
    CONSTRAINT message_pkey PRIMARY KEY (message_id),
    CONSTRAINT message_token_once UNIQUE (token),
    CONSTRAINT message_webhook_fkey
        FOREIGN KEY (webhook_id) REFERENCES webhook ON DELETE SET NULL,
    CONSTRAINT message_token_is_random CHECK (octet_length(token) = 16),
    CONSTRAINT message_channel_is_known CHECK (channel IN ('email', 'sms', 'webhook')),
    CONSTRAINT message_masked_is_masked CHECK (length(masked) <= 300),
    CONSTRAINT message_template_is_a_word CHECK (template ~ '^[a-z][a-z-]{0,63}$'),
    CONSTRAINT message_language_is_a_tag CHECK (language ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$'),
    CONSTRAINT message_state_is_one CHECK (state IN
        ('queued', 'sending', 'accepted', 'delivered', 'bounced', 'failed', 'dead', 'cancelled')),
    CONSTRAINT message_via_is_known CHECK (via IN ('smtp', 'sms', 'webhook', 'inbox')),
    CONSTRAINT message_cause_is_a_class CHECK (cause IN
        ('network', 'not-now', 'refused', 'address', 'quota', 'expired', 'not-set-up', 'bounced')),
    CONSTRAINT message_told_is_a_code CHECK (told ~ '^[0-9]{3}( [245]\.[0-9]{1,3}\.[0-9]{1,3})?$'),
    CONSTRAINT message_provider_ref_is_short CHECK (provider_ref ~ '^[[:graph:]]{1,128}$'),
    CONSTRAINT message_attempts_are_counted CHECK (attempts >= 0),
    CONSTRAINT message_waits_for_a_time CHECK ((state IN ('queued', 'failed')) = (next_at IS NOT NULL)),
    CONSTRAINT message_failed_for_a_cause
        CHECK (cause IS NOT NULL OR state NOT IN ('failed', 'dead', 'bounced')),
    CONSTRAINT message_to_be_sent_is_there
        CHECK (sealed IS NOT NULL OR state NOT IN ('queued', 'sending', 'failed')),
    CONSTRAINT message_sent_is_gone
        CHECK (sealed IS NULL OR via = 'inbox'
               OR state NOT IN ('accepted', 'delivered', 'bounced', 'cancelled')),
    CONSTRAINT message_taken_by_somebody
        CHECK ((via IS NOT NULL) = (state IN ('accepted', 'delivered', 'bounced')))
);
COMMENT ON TABLE message IS 'Mails, short messages and calls of webhooks: what is to go out, and what became of it.';
COMMENT ON COLUMN message.token IS 'Names the message to the outside: envelope sender (VERP), Message-ID, status calls.';
COMMENT ON COLUMN message.masked IS 'The address as people are shown it: k…@example.org.';
COMMENT ON COLUMN message.sealed IS 'Address and values under the archive key; NULL once it went out or cannot any more.';
COMMENT ON COLUMN message.cause IS 'Sort of what went wrong last; the code the other side gave stands in told.';
COMMENT ON COLUMN message.until_at IS 'Past it the message would be of no use: it is not sent, and not kept.';
CREATE INDEX message_by_share ON message (share_id, message_id) WHERE share_id IS NOT NULL;
COMMENT ON INDEX message_by_share IS 'time line of a share';
CREATE INDEX message_by_grant ON message (grant_id) WHERE grant_id IS NOT NULL;
COMMENT ON INDEX message_by_grant IS 'revoke: what was not sent yet';
CREATE INDEX message_by_webhook ON message (webhook_id) WHERE webhook_id IS NOT NULL;
COMMENT ON INDEX message_by_webhook IS 'removal of a webhook';
CREATE INDEX message_by_state ON message (state, message_id DESC);
COMMENT ON INDEX message_by_state IS 'board: what failed, what waits';
CREATE INDEX message_by_end ON message (until_at) WHERE sealed IS NOT NULL;
COMMENT ON INDEX message_by_end IS 'sweep: contents nobody needs any more';

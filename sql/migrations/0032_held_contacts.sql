-- What a patient changes about where they are written to waits a day: the old way is used until then.
-- So does a code of the desk for somebody who has an account, unless their papers were seen.
-- A new table and a view; `desk_code` gets a column without a default, which locks it for a moment.

CREATE TABLE own_contact_change (
    account_id bigint      NOT NULL,
    kind       text        NOT NULL,
    channel_id bigint,
    mac        bytea,
    ends_at    timestamptz,
    tries      smallint    NOT NULL DEFAULT 0,
    takes_at   timestamptz,
    CONSTRAINT own_contact_change_pkey PRIMARY KEY (account_id, kind),
    CONSTRAINT own_contact_change_kind_is_known CHECK (kind IN ('email', 'sms')),
    CONSTRAINT own_contact_change_is_keyed CHECK (octet_length(mac) = 32),
    CONSTRAINT own_contact_change_code_is_whole CHECK ((mac IS NULL) = (ends_at IS NULL)),
    CONSTRAINT own_contact_change_is_proven_or_not CHECK ((takes_at IS NULL) = (mac IS NOT NULL)),
    CONSTRAINT own_contact_change_code_goes_somewhere CHECK (mac IS NULL OR channel_id IS NOT NULL),
    CONSTRAINT own_contact_change_tries_are_few CHECK (tries BETWEEN 0 AND 5),
    CONSTRAINT own_contact_change_account_fkey
        FOREIGN KEY (account_id) REFERENCES account ON DELETE CASCADE,
    CONSTRAINT own_contact_change_channel_fkey FOREIGN KEY (channel_id) REFERENCES contact_channel
);
COMMENT ON TABLE own_contact_change IS
    'What a patient with a proven way wants changed about it: waits for its code, then for a day.';
COMMENT ON COLUMN own_contact_change.channel_id IS 'None: nothing comes in the place of the old way.';
COMMENT ON COLUMN own_contact_change.takes_at IS 'From then on it counts; none: its code has not come back.';

CREATE VIEW own_contact_now AS
SELECT o.account_id, o.kind, o.channel_id, o.proven_at
  FROM own_contact o
 WHERE o.proven_at IS NOT NULL
   AND NOT EXISTS (SELECT FROM own_contact_change c
                    WHERE c.account_id = o.account_id AND c.kind = o.kind AND c.takes_at <= now())
 UNION ALL
SELECT c.account_id, c.kind, c.channel_id, c.takes_at
  FROM own_contact_change c
 WHERE c.takes_at <= now() AND c.channel_id IS NOT NULL;
COMMENT ON VIEW own_contact_now IS
    'Where a patient is written to now: what is proven, and whose time to wait is over.';

ALTER TABLE desk_code ADD COLUMN opens_at timestamptz,
    ADD CONSTRAINT desk_code_opens_before_it_ends CHECK (opens_at < ends_at);
COMMENT ON COLUMN desk_code.opens_at IS
    'It opens nothing before: whoever has an account hears of it and can stop it. None: at once.';

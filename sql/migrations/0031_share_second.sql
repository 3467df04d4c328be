-- Shares that wait for a colleague before their link goes anywhere, and the addresses a person was
-- reached at before. New tables; a trigger each on own_contact and share_grant, which are locked
-- against writing for a moment.

CREATE TABLE share_second (
    share_id   bigint           NOT NULL,
    asked_by   text COLLATE "C" NOT NULL,
    asked_at   timestamptz      NOT NULL,
    why        text             NOT NULL,
    link       bytea            NOT NULL,
    decided_at timestamptz,
    decided_by text COLLATE "C",
    agreed     boolean,
    reason     text,
    CONSTRAINT share_second_pkey PRIMARY KEY (share_id),
    CONSTRAINT share_second_share_fkey
        FOREIGN KEY (share_id) REFERENCES share ON DELETE CASCADE,
    CONSTRAINT share_second_why_is_known CHECK (why IN ('unknown', 'changed')),
    CONSTRAINT share_second_is_another CHECK (decided_by <> asked_by),
    CONSTRAINT share_second_decision_is_whole
        CHECK (num_nulls(decided_at, decided_by, agreed) IN (0, 3)),
    CONSTRAINT share_second_no_has_a_reason
        CHECK (CASE WHEN agreed THEN reason IS NULL
                    ELSE (agreed IS NULL) = (reason IS NULL) END),
    CONSTRAINT share_second_reason_is_short CHECK (length(reason) BETWEEN 1 AND 300)
);
COMMENT ON TABLE share_second IS
    'Shares a colleague must agree to, or did, or refused: who asked, and why. Journalled; while one waits its share is "ready", and no link of it opens.';
COMMENT ON COLUMN share_second.asked_by IS
    'Who shares, or recorded the consent that lets it go out: nobody is their own second person.';
COMMENT ON COLUMN share_second.why IS
    'unknown: the archive knows no way to its person like this one; changed: another one, or this one for less than a day.';
COMMENT ON COLUMN share_second.link IS
    'The secret of the link until it is sent, sealed under the keys of the share''s studies: it goes with any of them.';
CREATE INDEX share_second_waits ON share_second (share_id) WHERE decided_at IS NULL;
COMMENT ON INDEX share_second_waits IS 'board: what waits for a colleague';

CREATE TABLE former_channel (
    former_id  bigint GENERATED ALWAYS AS IDENTITY,
    channel_id bigint      NOT NULL,
    account_id bigint,
    share_id   bigint,
    ended_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT former_channel_pkey PRIMARY KEY (former_id),
    CONSTRAINT former_channel_is_of_one CHECK (num_nonnulls(account_id, share_id) = 1),
    CONSTRAINT former_channel_account_fkey
        FOREIGN KEY (account_id) REFERENCES account ON DELETE CASCADE,
    CONSTRAINT former_channel_share_fkey
        FOREIGN KEY (share_id) REFERENCES share ON DELETE CASCADE
);
COMMENT ON TABLE former_channel IS
    'Where an account was written to, or codes of a share went, before another address took its place. Written by triggers.';
CREATE INDEX former_channel_of_account ON former_channel (account_id);
COMMENT ON INDEX former_channel_of_account IS 'the ways a person was reached by before; the end of an account';
CREATE INDEX former_channel_of_share ON former_channel (share_id);
COMMENT ON INDEX former_channel_of_share IS 'the same of a share; its end';

CREATE FUNCTION keep_former_contact() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    -- not when the account itself goes
    INSERT INTO former_channel (channel_id, account_id)
    SELECT OLD.channel_id, account_id FROM account WHERE account_id = OLD.account_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION keep_former_contact IS 'Remember a proven way to a patient that another one replaces, or nothing.';
CREATE TRIGGER own_contact_is_replaced AFTER UPDATE OF channel_id ON own_contact
    FOR EACH ROW
    WHEN (OLD.proven_at IS NOT NULL AND OLD.channel_id IS DISTINCT FROM NEW.channel_id)
    EXECUTE FUNCTION keep_former_contact();
CREATE TRIGGER own_contact_is_dropped AFTER DELETE ON own_contact
    FOR EACH ROW WHEN (OLD.proven_at IS NOT NULL)
    EXECUTE FUNCTION keep_former_contact();

CREATE FUNCTION keep_former_code() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO former_channel (channel_id, share_id, ended_at)
    VALUES (OLD.by_channel, NEW.share_id, NEW.issued_at);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION keep_former_code IS 'Remember where codes of a grant went before they went elsewhere.';
CREATE TRIGGER share_grant_has_another_way AFTER UPDATE OF by_channel ON share_grant
    FOR EACH ROW
    WHEN (NEW.depth = 0 AND OLD.by_channel IS NOT NULL
          AND OLD.by_channel IS DISTINCT FROM NEW.by_channel)
    EXECUTE FUNCTION keep_former_code();

-- Sharing: who was given what, by which secret, for how long. New tables only, so nothing is locked.
-- Shares and grants are written to the journal before they are answered and come back from there;
-- their numbers are drawn by the archive (time and chance), never by a sequence, so that a number
-- means the same after a restore. No secret stands here in plain: hashes, or sealed.

CREATE TABLE contact_channel (
    channel_id  bigint      NOT NULL,
    kind        text        NOT NULL,
    sealed      bytea       NOT NULL,
    value_mac   bytea       NOT NULL,
    masked      text        NOT NULL,
    state       text        NOT NULL DEFAULT 'unverified',
    verified_at timestamptz,
    verified_by text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT contact_channel_pkey PRIMARY KEY (channel_id),
    CONSTRAINT contact_channel_once UNIQUE (kind, value_mac),
    CONSTRAINT contact_channel_kind_is_known CHECK (kind IN ('email', 'sms')),
    CONSTRAINT contact_channel_mac_is_keyed CHECK (octet_length(value_mac) = 32),
    CONSTRAINT contact_channel_state_is_known
        CHECK (state IN ('unverified', 'verified', 'bounced', 'replaced', 'revoked')),
    CONSTRAINT contact_channel_verified_by_somebody
        CHECK ((verified_at IS NULL) = (verified_by IS NULL)),
    CONSTRAINT contact_channel_verified_has_time
        CHECK (state <> 'verified' OR verified_at IS NOT NULL)
);
COMMENT ON TABLE contact_channel IS 'Mailboxes and telephones messages go to; the address itself is sealed.';
COMMENT ON COLUMN contact_channel.value_mac IS 'Keyed hash of the address: the same one is found again.';
COMMENT ON COLUMN contact_channel.verified_by IS 'code: a secret sent there came back; staff: they say so.';

CREATE TABLE consent (
    consent_id   bigint      NOT NULL,
    issuer       text COLLATE "C" NOT NULL,
    patient_id   text COLLATE "C" NOT NULL,
    purpose      text        NOT NULL,
    allowed      boolean     NOT NULL,
    modalities   text[],
    studied_from date,
    studied_to   date,
    accession    text COLLATE "C",
    text_version text        NOT NULL,
    signature    bytea       NOT NULL,
    way          text        NOT NULL,
    recorded_by  text        NOT NULL,
    valid_from   timestamptz NOT NULL,
    valid_to     timestamptz,
    state        text        NOT NULL DEFAULT 'active',
    ended_at     timestamptz,
    ended_by     text,
    CONSTRAINT consent_pkey PRIMARY KEY (consent_id),
    CONSTRAINT consent_purpose_is_known
        CHECK (purpose IN ('treatment', 'patient-request', 'third-party', 'research')),
    CONSTRAINT consent_way_is_known CHECK (way IN ('kiosk', 'paper', 'portal', 'staff')),
    CONSTRAINT consent_state_is_known CHECK (state IN ('active', 'withdrawn', 'superseded')),
    CONSTRAINT consent_ends_once CHECK ((state = 'active') = (ended_at IS NULL)),
    CONSTRAINT consent_ended_by_somebody CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
    CONSTRAINT consent_is_valid_for_some_time CHECK (valid_to > valid_from),
    CONSTRAINT consent_dates_are_in_order CHECK (studied_to >= studied_from),
    CONSTRAINT consent_is_somebodys CHECK (issuer <> '' AND patient_id <> '')
);
COMMENT ON TABLE consent IS 'What a person allowed or forbade to be shared: versioned text, limits, its end.';
COMMENT ON COLUMN consent.signature IS 'Typed name and what was agreed to, sealed.';
COMMENT ON COLUMN consent.modalities IS 'Null in this and the next columns: no such limit.';
CREATE INDEX consent_by_person ON consent (issuer, patient_id);
COMMENT ON INDEX consent_by_person IS 'of_person, and what stands in the way of an offer';

CREATE TABLE share (
    share_id     bigint      NOT NULL,
    number       text        NOT NULL,
    owner        text        NOT NULL,
    purpose      text        NOT NULL,
    consent_id   bigint,
    legal_basis  text,
    issuer       text COLLATE "C" NOT NULL,
    patient_id   text COLLATE "C" NOT NULL,
    person       bytea       NOT NULL,
    studies      text[] COLLATE "C" NOT NULL,
    items_sha256 bytea       NOT NULL,
    reports      boolean     NOT NULL,
    download     boolean     NOT NULL,
    forward      boolean     NOT NULL,
    created_at   timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    max_opens    integer,
    opens        integer     NOT NULL DEFAULT 0,
    owner_key    bytea       NOT NULL,
    notify       bigint,
    language     text        NOT NULL,
    state        text        NOT NULL,
    suspended    text,
    tested_at    timestamptz,
    ended_at     timestamptz,
    ended_by     text,
    reason       text,
    CONSTRAINT share_pkey PRIMARY KEY (share_id),
    CONSTRAINT share_number_once UNIQUE (number),
    CONSTRAINT share_number_is_typed CHECK (number ~ '^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$'),
    CONSTRAINT share_rests_on_something CHECK (consent_id IS NOT NULL OR legal_basis IS NOT NULL),
    CONSTRAINT share_has_a_study CHECK (cardinality(studies) > 0),
    CONSTRAINT share_items_are_hashed CHECK (octet_length(items_sha256) = 32),
    CONSTRAINT share_ends CHECK (ends_at > created_at),
    CONSTRAINT share_opens_count CHECK (opens >= 0 AND max_opens > 0 AND opens <= max_opens),
    CONSTRAINT share_state_is_known
        CHECK (state IN ('draft', 'ready', 'sent', 'verified', 'active', 'suspended', 'revoked')),
    CONSTRAINT share_suspended_from_somewhere
        CHECK ((state = 'suspended') = (suspended IS NOT NULL)),
    CONSTRAINT share_revoked_by_somebody CHECK ((state = 'revoked') = (ended_at IS NOT NULL)),
    CONSTRAINT share_end_is_told CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
    CONSTRAINT share_consent_fkey FOREIGN KEY (consent_id) REFERENCES consent,
    CONSTRAINT share_notify_fkey FOREIGN KEY (notify) REFERENCES contact_channel
);
COMMENT ON TABLE share IS 'A frozen list of instances of one person, given on by grants.';
COMMENT ON COLUMN share.number IS 'What people call it: it opens nothing.';
COMMENT ON COLUMN share.person IS 'How the person is shown to who may see the images, sealed.';
COMMENT ON COLUMN share.owner_key IS 'The share key under keys of all its studies, for grants that come later: it goes with any of them.';
COMMENT ON COLUMN share.notify IS 'Whom the images show, or who asked: told when they are shared, opened, locked.';
COMMENT ON COLUMN share.suspended IS 'The state it goes back to; expired and exhausted are seen, not stored.';
CREATE INDEX share_by_consent ON share (consent_id);
COMMENT ON INDEX share_by_consent IS 'withdraw: the shares that rest on a consent';
CREATE INDEX share_by_study ON share USING gin (studies);
COMMENT ON INDEX share_by_study IS 'the shares of a study: its page, and when it is found to be another person''s';
CREATE INDEX share_by_end ON share (ends_at);
COMMENT ON INDEX share_by_end IS 'board: what ends soon';

CREATE TABLE share_item (
    share_id     bigint NOT NULL,
    instance_uid text COLLATE "C" NOT NULL,
    study_uid    text COLLATE "C" NOT NULL,
    series_uid   text COLLATE "C" NOT NULL,
    blob_id      bytea  NOT NULL,
    data_key     bytea  NOT NULL,
    size         bigint NOT NULL,
    CONSTRAINT share_item_pkey PRIMARY KEY (share_id, instance_uid),
    CONSTRAINT share_item_key_is_wrapped CHECK (octet_length(data_key) = 40),
    CONSTRAINT share_item_share_fkey FOREIGN KEY (share_id) REFERENCES share ON DELETE CASCADE
);
ALTER TABLE share_item ALTER COLUMN data_key SET STORAGE PLAIN;
COMMENT ON TABLE share_item IS 'An instance of a share, with the data key of its blob under the share''s key.';
COMMENT ON INDEX share_item_pkey IS 'what a share shows';

CREATE TABLE share_grant (
    grant_id      bigint      NOT NULL,
    share_id      bigint      NOT NULL,
    parent_id     bigint,
    depth         smallint    NOT NULL,
    recipient     bytea       NOT NULL,
    locator       bytea       NOT NULL,
    link_wrap     bytea       NOT NULL,
    printed       text,
    printed_salt  bytea,
    printed_wrap  bytea,
    passcode_salt bytea,
    pepper        bytea       NOT NULL,
    stretch       text        NOT NULL,
    proof         text[]      NOT NULL,
    to_channel    bigint,
    by_channel    bigint,
    language      text        NOT NULL,
    only_parts    jsonb,
    reports       boolean     NOT NULL,
    download      boolean     NOT NULL,
    forward       boolean     NOT NULL,
    created_at    timestamptz NOT NULL,
    issued_at     timestamptz NOT NULL,
    ends_at       timestamptz NOT NULL,
    wrong         integer     NOT NULL DEFAULT 0,
    opens         integer     NOT NULL DEFAULT 0,
    state         text        NOT NULL,
    first_open_at timestamptz,
    last_open_at  timestamptz,
    ended_at      timestamptz,
    ended_by      text,
    reason        text,
    CONSTRAINT share_grant_pkey PRIMARY KEY (grant_id),
    CONSTRAINT share_grant_of_share UNIQUE (share_id, grant_id),
    CONSTRAINT share_grant_locator_once UNIQUE (locator),
    CONSTRAINT share_grant_printed_once UNIQUE (printed),
    CONSTRAINT share_grant_locator_is_hashed CHECK (octet_length(locator) = 32),
    CONSTRAINT share_grant_link_is_wrapped CHECK (octet_length(link_wrap) = 40),
    CONSTRAINT share_grant_printed_is_whole
        CHECK ((printed IS NULL) = (printed_salt IS NULL) AND (printed IS NULL) = (printed_wrap IS NULL)),
    CONSTRAINT share_grant_passcode_is_salted
        CHECK (('passcode' = ANY (proof)) = (passcode_salt IS NOT NULL)),
    CONSTRAINT share_grant_is_protected
        CHECK (cardinality(proof) > 0 AND proof <@ ARRAY['sms', 'email', 'passcode']),
    CONSTRAINT share_grant_code_goes_somewhere
        CHECK (NOT proof && ARRAY['sms', 'email'] OR by_channel IS NOT NULL),
    CONSTRAINT share_grant_ways_differ CHECK (to_channel <> by_channel),
    CONSTRAINT share_grant_ends CHECK (ends_at > created_at),
    CONSTRAINT share_grant_wrong_counts CHECK (wrong BETWEEN 0 AND 20),
    CONSTRAINT share_grant_opens_count CHECK (opens >= 0),
    CONSTRAINT share_grant_depth_is_bounded
        CHECK (depth BETWEEN 0 AND 3 AND (depth = 0) = (parent_id IS NULL)),
    CONSTRAINT share_grant_state_is_known CHECK (state IN
        ('pending', 'invited', 'link_opened', 'factor_pending', 'open', 'revoked', 'locked', 'refused')),
    CONSTRAINT share_grant_end_has_a_time
        CHECK ((state IN ('revoked', 'locked', 'refused')) = (ended_at IS NOT NULL)),
    CONSTRAINT share_grant_end_is_told CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
    CONSTRAINT share_grant_share_fkey
        FOREIGN KEY (share_id) REFERENCES share ON DELETE CASCADE,
    CONSTRAINT share_grant_parent_fkey
        FOREIGN KEY (share_id, parent_id) REFERENCES share_grant (share_id, grant_id) ON DELETE CASCADE,
    CONSTRAINT share_grant_to_fkey FOREIGN KEY (to_channel) REFERENCES contact_channel,
    CONSTRAINT share_grant_by_fkey FOREIGN KEY (by_channel) REFERENCES contact_channel
);
COMMENT ON TABLE share_grant IS 'One recipient of a share: the unit of revoking, counting, limiting.';
COMMENT ON COLUMN share_grant.locator IS 'SHA-256 of what is drawn from the link''s secret to find it.';
COMMENT ON COLUMN share_grant.link_wrap IS 'The share key under link, passcode and pepper.';
COMMENT ON COLUMN share_grant.printed IS 'The first letters of a code on paper: they find it, and open nothing.';
COMMENT ON COLUMN share_grant.printed_wrap IS 'What the link''s secret gives, under the rest of the code on paper.';
COMMENT ON COLUMN share_grant.pepper IS 'Id of the archive key the pepper is drawn from.';
COMMENT ON COLUMN share_grant.stretch IS 'What one guess of a passcode costs: argon2id m,t.';
COMMENT ON COLUMN share_grant.wrong IS 'Wrong secrets since it was issued, counted before they are tried; 20 lock it.';
COMMENT ON COLUMN share_grant.only_parts IS 'What of the share: [[study, series or null], ...]; null is all.';
CREATE INDEX share_grant_by_parent ON share_grant (parent_id);
COMMENT ON INDEX share_grant_by_parent IS 'revoke: what was forwarded from a grant';

CREATE TABLE one_time_code (
    code_id    bigint GENERATED ALWAYS AS IDENTITY,
    grant_id   bigint      NOT NULL,
    way        text        NOT NULL,
    channel_id bigint      NOT NULL,
    mac        bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    ends_at    timestamptz NOT NULL,
    tries      smallint    NOT NULL DEFAULT 0,
    state      text        NOT NULL DEFAULT 'issued',
    CONSTRAINT one_time_code_pkey PRIMARY KEY (code_id),
    CONSTRAINT one_time_code_way_is_known CHECK (way IN ('sms', 'email')),
    CONSTRAINT one_time_code_is_keyed CHECK (octet_length(mac) = 32),
    CONSTRAINT one_time_code_is_short_lived
        CHECK (ends_at > created_at AND ends_at <= created_at + interval '10 minutes'),
    CONSTRAINT one_time_code_tries_are_few CHECK (tries BETWEEN 0 AND 5),
    CONSTRAINT one_time_code_state_is_known CHECK (state IN ('issued', 'used', 'void', 'burned')),
    CONSTRAINT one_time_code_grant_fkey
        FOREIGN KEY (grant_id) REFERENCES share_grant ON DELETE CASCADE,
    CONSTRAINT one_time_code_channel_fkey FOREIGN KEY (channel_id) REFERENCES contact_channel
);
COMMENT ON TABLE one_time_code IS 'Codes sent to a second channel: ten minutes, five tries, once.';
CREATE UNIQUE INDEX one_time_code_issued_once ON one_time_code (grant_id) WHERE state = 'issued';
COMMENT ON INDEX one_time_code_issued_once IS 'a new code makes the old one void';
CREATE INDEX one_time_code_by_grant ON one_time_code (grant_id, created_at);
COMMENT ON INDEX one_time_code_by_grant IS 'how many were sent lately for a grant';
CREATE INDEX one_time_code_by_channel ON one_time_code (channel_id, created_at);
COMMENT ON INDEX one_time_code_by_channel IS 'how many were sent lately to a channel';

CREATE TABLE share_session (
    session_id  bigint GENERATED ALWAYS AS IDENTITY,
    secret_hash bytea       NOT NULL,
    grant_id    bigint      NOT NULL,
    level       smallint    NOT NULL,
    proven      text[]      NOT NULL,
    half        bytea       NOT NULL,
    by_print    boolean     NOT NULL,
    address     text,
    agent       text        NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now(),
    ends_at     timestamptz NOT NULL,
    CONSTRAINT share_session_pkey PRIMARY KEY (session_id),
    CONSTRAINT share_session_secret_once UNIQUE (secret_hash),
    CONSTRAINT share_session_secret_is_hashed CHECK (octet_length(secret_hash) = 32),
    CONSTRAINT share_session_level_is_known CHECK (level IN (0, 1)),
    CONSTRAINT share_session_agent_is_short CHECK (length(agent) <= 200),
    CONSTRAINT share_session_ends CHECK (ends_at > created_at),
    CONSTRAINT share_session_grant_fkey
        FOREIGN KEY (grant_id) REFERENCES share_grant ON DELETE CASCADE
);
COMMENT ON TABLE share_session IS 'Browsers that opened a grant. An ended session has no row.';
COMMENT ON COLUMN share_session.level IS '0 the link was opened, 1 everything asked for was shown.';
COMMENT ON COLUMN share_session.half IS 'The share key, before the passcode what it hangs on, sealed under the cookie.';
CREATE INDEX share_session_by_grant ON share_session (grant_id);
COMMENT ON INDEX share_session_by_grant IS 'ending all sessions of a grant';
CREATE INDEX share_session_by_end ON share_session (ends_at);
COMMENT ON INDEX share_session_by_end IS 'sweep: sessions that are over';

CREATE TABLE capability (
    secret_hash bytea       NOT NULL,
    session_id  bigint      NOT NULL,
    half        bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT capability_pkey PRIMARY KEY (secret_hash),
    CONSTRAINT capability_once UNIQUE (session_id),
    CONSTRAINT capability_secret_is_hashed CHECK (octet_length(secret_hash) = 32),
    CONSTRAINT capability_session_fkey
        FOREIGN KEY (session_id) REFERENCES share_session ON DELETE CASCADE
);
COMMENT ON TABLE capability IS 'A session in a path, for viewers that know no cookie; it ends with the session.';
COMMENT ON COLUMN capability.half IS 'The share key, sealed under the capability.';

CREATE FUNCTION grant_standing(of_grant bigint)
    RETURNS TABLE (
        why text, ends_at timestamptz, reports boolean, download boolean, forward boolean,
        only_parts jsonb)
    LANGUAGE sql STABLE ROWS 1
    AS $$
    WITH RECURSIVE line AS (
        SELECT g.*, 0 AS up FROM share_grant g WHERE g.grant_id = of_grant
        UNION ALL
        SELECT g.*, l.up + 1 FROM line l JOIN share_grant g ON g.grant_id = l.parent_id
    ), summed AS (
        SELECT l.share_id,
               bool_or(l.state = 'revoked') AS revoked,
               bool_or(l.state = 'refused') AS refused,
               bool_or(l.state = 'locked' AND l.up = 0) AS locked,
               min(l.ends_at) AS ends_at, bool_and(l.reports) AS reports,
               bool_and(l.download) AS download, bool_and(l.forward) AS forward,
               jsonb_agg(l.only_parts) FILTER (WHERE l.only_parts IS NOT NULL) AS only_parts
          FROM line l
         GROUP BY l.share_id
    )
    SELECT CASE
               WHEN s.state = 'revoked' OR m.revoked THEN 'revoked'
               WHEN m.refused THEN 'refused'
               WHEN s.state = 'suspended' OR c.state = 'withdrawn' THEN 'suspended'
               WHEN s.state IN ('draft', 'ready') THEN 'unsent'
               WHEN LEAST(s.ends_at, m.ends_at, c.valid_to) <= now() THEN 'expired'
               WHEN m.locked THEN 'locked'
           END,
           LEAST(s.ends_at, m.ends_at, c.valid_to), s.reports AND m.reports,
           s.download AND m.download, s.forward AND m.forward, m.only_parts
      FROM summed m
      JOIN share s ON s.share_id = m.share_id
      LEFT JOIN consent c ON c.consent_id = s.consent_id
$$;
COMMENT ON FUNCTION grant_standing IS
    'Whether a grant holds now, and what of it: it never outlives, nor may more than, those it came '
    'from, its share and the consent that rests on. Why is null while it holds.';

CREATE VIEW share_standing AS
SELECT s.share_id, s.number, s.owner, s.purpose, s.consent_id, s.legal_basis, s.issuer,
       s.patient_id, s.person, s.studies, s.reports, s.download, s.forward, s.created_at,
       LEAST(s.ends_at, c.valid_to) AS ends_at, s.max_opens, s.opens, s.tested_at, s.reason,
       CASE
           WHEN s.state = 'revoked' THEN 'revoked'
           WHEN s.state = 'suspended' OR c.state = 'withdrawn' THEN 'suspended'
           WHEN LEAST(s.ends_at, c.valid_to) <= now() THEN 'expired'
           WHEN s.opens >= s.max_opens THEN 'exhausted'
           ELSE s.state
       END AS standing
  FROM share s
  LEFT JOIN consent c USING (consent_id);
COMMENT ON VIEW share_standing IS 'A share with the state it is in now, which time and counts change, too.';

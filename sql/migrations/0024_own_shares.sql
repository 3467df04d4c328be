-- Patients who share by themselves, and what they ask of the archive. New tables, and an index of
-- `share`, which is locked for writers while it is built: thousands of rows, so a moment.

CREATE TABLE share_draft (
    draft_id bigint      NOT NULL,
    owner    text        NOT NULL,
    sealed   bytea       NOT NULL,
    made_at  timestamptz NOT NULL DEFAULT now(),
    ends_at  timestamptz NOT NULL,
    share_id bigint,
    CONSTRAINT share_draft_pkey PRIMARY KEY (draft_id),
    CONSTRAINT share_draft_ends_soon
        CHECK (ends_at > made_at AND ends_at <= made_at + interval '1 day')
);
COMMENT ON TABLE share_draft IS
    'What a patient has chosen so far of a share that is not sent: so that no address holds it. Not '
    'journalled: it is gone in hours.';
COMMENT ON COLUMN share_draft.sealed IS 'Fields of the form, bound to the number.';
COMMENT ON COLUMN share_draft.share_id IS 'The share it became; it becomes one only.';
CREATE INDEX share_draft_by_owner ON share_draft (owner, made_at);
COMMENT ON INDEX share_draft_by_owner IS 'begin: how many somebody has';
CREATE INDEX share_draft_by_end ON share_draft (ends_at);
COMMENT ON INDEX share_draft_by_end IS 'sweep: what is over';

CREATE TABLE patient_request (
    request_id bigint      NOT NULL,
    number     text        NOT NULL,
    owner      text        NOT NULL,
    kind       text        NOT NULL,
    studies    text[] COLLATE "C" NOT NULL,
    share_id   bigint,
    person     bytea       NOT NULL,
    words      bytea       NOT NULL,
    notify     bigint,
    language   text        NOT NULL,
    made_at    timestamptz NOT NULL,
    due_at     timestamptz NOT NULL,
    state      text        NOT NULL DEFAULT 'open',
    refusal    text,
    answer     bytea,
    ended_at   timestamptz,
    ended_by   text,
    CONSTRAINT patient_request_pkey PRIMARY KEY (request_id),
    CONSTRAINT patient_request_number_once UNIQUE (number),
    CONSTRAINT patient_request_number_is_typed
        CHECK (number ~ '^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$'),
    CONSTRAINT patient_request_kind_is_known
        CHECK (kind IN ('send', 'disc', 'correct', 'stop', 'other')),
    CONSTRAINT patient_request_stops_a_share CHECK ((kind = 'stop') = (share_id IS NOT NULL)),
    CONSTRAINT patient_request_is_due_later CHECK (due_at > made_at),
    CONSTRAINT patient_request_state_is_known
        CHECK (state IN ('open', 'done', 'refused', 'withdrawn')),
    CONSTRAINT patient_request_refusal_has_a_code
        CHECK ((state = 'refused') = (refusal IS NOT NULL)),
    CONSTRAINT patient_request_refusal_is_known CHECK (refusal IN
        ('identity', 'not-held', 'accurate', 'harm', 'others', 'done-before', 'infeasible', 'other')),
    CONSTRAINT patient_request_ends_once CHECK ((state = 'open') = (ended_at IS NULL)),
    CONSTRAINT patient_request_ended_by_somebody CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
    CONSTRAINT patient_request_answer_ends_it CHECK (answer IS NULL OR state IN ('done', 'refused')),
    CONSTRAINT patient_request_notify_fkey FOREIGN KEY (notify) REFERENCES contact_channel
);
COMMENT ON TABLE patient_request IS 'What patients ask of the archive, with a clock. Journalled.';
COMMENT ON COLUMN patient_request.owner IS 'The account that asks.';
COMMENT ON COLUMN patient_request.person IS 'Whose request it is, as staff are shown it, sealed.';
COMMENT ON COLUMN patient_request.words IS 'What is asked, in the patient''s own words, sealed.';
COMMENT ON COLUMN patient_request.share_id IS 'The share that is to be stopped, of those staff made.';
COMMENT ON COLUMN patient_request.notify IS 'Where the patient is told that there is an answer.';
CREATE INDEX patient_request_by_owner ON patient_request (owner, request_id);
COMMENT ON INDEX patient_request_by_owner IS 'own: what somebody has asked';
CREATE INDEX patient_request_open ON patient_request (due_at) WHERE state = 'open';
COMMENT ON INDEX patient_request_open IS 'inbox: what is due next';

CREATE INDEX share_by_owner ON share (owner, share_id);
COMMENT ON INDEX share_by_owner IS 'own: the shares a patient made';

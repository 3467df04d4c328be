-- Remote AEs: who may call, what they may do, and where they are called; and jobs, most of which
-- call one. New tables only, so nothing is locked.

CREATE TABLE remote (
    ae_title          text COLLATE "C" NOT NULL,
    host              text             NOT NULL,
    port              integer          NOT NULL,
    tls               boolean          NOT NULL DEFAULT false,
    may_store         boolean          NOT NULL DEFAULT true,
    may_find          boolean          NOT NULL DEFAULT true,
    may_move          boolean          NOT NULL DEFAULT true,
    destinations      text[] COLLATE "C",
    character_set     text COLLATE "C",
    transfer_syntaxes text[] COLLATE "C" NOT NULL DEFAULT '{}',
    patient_id_issuer text COLLATE "C",
    max_associations  integer          NOT NULL DEFAULT 0,
    parallel          integer          NOT NULL DEFAULT 1,
    changed_at        timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT remote_pkey PRIMARY KEY (ae_title),
    -- PS3.5 6.2 AE: the default repertoire but backslash and control characters; spaces around it
    -- say nothing, so they are not kept
    CONSTRAINT remote_ae_title_is_one
        CHECK (ae_title ~ '^[ -\[\]-~]{1,16}$' AND ae_title = btrim(ae_title)),
    CONSTRAINT remote_host_is_known CHECK (host ~ '^[!-~]{1,255}$'),
    CONSTRAINT remote_port_is_one CHECK (port BETWEEN 1 AND 65535),
    CONSTRAINT remote_transfer_syntaxes_are_known
        CHECK (array_position(transfer_syntaxes, NULL) IS NULL),
    CONSTRAINT remote_destinations_are_known CHECK (array_position(destinations, NULL) IS NULL),
    CONSTRAINT remote_character_set_is_a_term
        CHECK (character_set ~ '^[A-Z0-9_ \\]{1,64}$'),
    CONSTRAINT remote_issuer_is_known CHECK (patient_id_issuer ~ '^[^\s\\]([^\\\n]{0,62}[^\s\\])?$'),
    CONSTRAINT remote_max_associations_is_a_count CHECK (max_associations BETWEEN 0 AND 65535),
    CONSTRAINT remote_parallel_is_a_count CHECK (parallel BETWEEN 1 AND 16)
);

COMMENT ON TABLE remote IS 'A remote AE: who may call with which rights, and where it is called.';
COMMENT ON COLUMN remote.destinations IS 'AE titles it may name in C-MOVE; NULL: any registered one.';
COMMENT ON COLUMN remote.character_set IS 'Specific Character Set it wants in answers; NULL: its own.';
COMMENT ON COLUMN remote.transfer_syntaxes IS 'What it wants to be sent, best first; empty: as stored.';
COMMENT ON COLUMN remote.patient_id_issuer IS 'Assigning authority of the Patient IDs it sends.';
COMMENT ON COLUMN remote.max_associations IS 'It may have open with us; 0: what the settings say.';
COMMENT ON COLUMN remote.parallel IS 'Associations we may open to it at a time for one piece of work.';

-- Jobs: work for later, asked for in the transaction of the act it follows from.
CREATE TABLE job (
    job_id       bigint GENERATED ALWAYS AS IDENTITY,
    kind         text        NOT NULL,
    remote       text COLLATE "C",
    token        text COLLATE "C",
    payload      jsonb       NOT NULL DEFAULT '{}',
    requested_by text        NOT NULL,
    state        text        NOT NULL DEFAULT 'waiting',
    cause        text,
    attempts     integer     NOT NULL DEFAULT 0,
    epoch        integer     NOT NULL DEFAULT 0,
    node         text,
    leased_until timestamptz,
    cancelling   boolean     NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT now(),
    asked_at     timestamptz NOT NULL DEFAULT now(),
    due_at       timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    CONSTRAINT job_pkey PRIMARY KEY (job_id),
    CONSTRAINT job_kind_is_a_word CHECK (kind ~ '^[a-z][a-z-]*$'),
    CONSTRAINT job_state_is_one
        CHECK (state IN ('waiting', 'running', 'done', 'failed', 'cancelled')),
    CONSTRAINT job_running_is_leased CHECK ((state = 'running') = (leased_until IS NOT NULL)),
    CONSTRAINT job_ended_is_finished
        CHECK ((state IN ('waiting', 'running')) = (finished_at IS NULL)),
    CONSTRAINT job_attempts_are_counted CHECK (attempts >= 0 AND epoch >= 0),
    CONSTRAINT job_token_is_of_a_remote CHECK (token IS NULL OR remote IS NOT NULL),
    CONSTRAINT job_token_once UNIQUE (kind, remote, token)
);
-- AE titles may go while their jobs stay to be looked at: no foreign key, see remove_remote
COMMENT ON TABLE job IS 'Work that happens later, or again, until it is done, failed or cancelled.';
COMMENT ON COLUMN job.token IS 'What a remote AE knows the job by: its Transaction UID.';
COMMENT ON COLUMN job.epoch IS 'Grows with each claim: who claimed it before can write nothing more.';
COMMENT ON COLUMN job.leased_until IS 'Past it another worker takes the job over.';
COMMENT ON COLUMN job.asked_at IS 'Since when it is tried; after a while it is given up.';
COMMENT ON COLUMN job.cause IS 'Why it is not done: a sentence of ours, no value of an attribute.';
COMMENT ON INDEX job_token_once IS 'enqueue: a Transaction UID used before; report: whose it is';
CREATE INDEX job_due ON job (due_at, job_id) WHERE state = 'waiting';
COMMENT ON INDEX job_due IS 'claim: the job that is due for the longest time';
CREATE INDEX job_leased ON job (leased_until) WHERE state = 'running';
COMMENT ON INDEX job_leased IS 'claim: jobs whose worker is gone, and remote AEs at work';
CREATE INDEX job_finished ON job (finished_at) WHERE finished_at IS NOT NULL;
COMMENT ON INDEX job_finished IS 'prune: what was kept long enough';

CREATE TABLE job_item (
    job_id           bigint      NOT NULL,
    number           integer     NOT NULL,
    sop_class_uid    text COLLATE "C" NOT NULL,
    sop_instance_uid text COLLATE "C" NOT NULL,
    study_uid        text COLLATE "C",
    state            text        NOT NULL DEFAULT 'waiting',
    status           integer,
    cause            text,
    attempts         integer     NOT NULL DEFAULT 0,
    changed_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT job_item_pkey PRIMARY KEY (job_id, number),
    CONSTRAINT job_item_job_fkey FOREIGN KEY (job_id) REFERENCES job ON DELETE CASCADE,
    CONSTRAINT job_item_uids_are_uids
        CHECK (sop_class_uid ~ '^[0-9.]{1,64}$' AND sop_instance_uid ~ '^[0-9.]{1,64}$'),
    CONSTRAINT job_item_state_is_one CHECK (state IN ('waiting', 'done', 'warning', 'failed'))
);
COMMENT ON TABLE job_item IS 'A SOP Instance of a job: how it went with it.';
COMMENT ON COLUMN job_item.status IS 'DIMSE status or Failure Reason of the last attempt.';
COMMENT ON INDEX job_item_pkey IS 'the instances of a job, in its order';

CREATE FUNCTION job_rings() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM pg_notify('vna_jobs', TG_TABLE_SCHEMA);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION job_rings IS 'Wake the workers: something is to be done now or can be stopped.';
CREATE TRIGGER job_asked AFTER INSERT OR UPDATE OF due_at, cancelling ON job
    FOR EACH STATEMENT EXECUTE FUNCTION job_rings();

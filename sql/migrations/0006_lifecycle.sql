-- Deletion, Storage Commitment and the change feed. New tables only, so nothing is locked.

-- What was deleted. Derived from the journal in the blob store and rebuilt from it by `vna reindex`;
-- only the moment of purging is not in the journal, and purging again does no harm.
CREATE TABLE deletion (
    deletion_id      bytea       NOT NULL,
    deleted_at       timestamptz NOT NULL,
    due_at           timestamptz NOT NULL,
    actor            text        NOT NULL,
    study_uid        text COLLATE "C" NOT NULL,
    series_uid       text COLLATE "C",
    sop_instance_uid text COLLATE "C",
    purging_at       timestamptz,
    purged_at        timestamptz,
    CONSTRAINT deletion_pkey PRIMARY KEY (deletion_id),
    CONSTRAINT deletion_instance_has_series
        CHECK (sop_instance_uid IS NULL OR series_uid IS NOT NULL),
    CONSTRAINT deletion_purged_was_purging CHECK (purged_at IS NULL OR purging_at IS NOT NULL)
);
COMMENT ON TABLE deletion IS 'An act of deletion: a study, a series or an instance.';
COMMENT ON COLUMN deletion.due_at IS 'Until then it can be undone; after it keys and blobs go.';
COMMENT ON COLUMN deletion.purging_at IS 'From then on it cannot be undone.';
CREATE INDEX deletion_due ON deletion (due_at) WHERE purged_at IS NULL;
COMMENT ON INDEX deletion_due IS 'purge: deletions whose time has come';

CREATE TABLE deleted_instance (
    deletion_id      bytea  NOT NULL,
    blob_id          bytea  NOT NULL,
    key_id           bytea  NOT NULL,
    size             bigint NOT NULL,
    study_uid        text COLLATE "C" NOT NULL,
    series_uid       text COLLATE "C" NOT NULL,
    sop_instance_uid text COLLATE "C" NOT NULL,
    CONSTRAINT deleted_instance_pkey PRIMARY KEY (deletion_id, blob_id),
    CONSTRAINT deleted_instance_deletion_fkey
        FOREIGN KEY (deletion_id) REFERENCES deletion ON DELETE CASCADE
);
COMMENT ON TABLE deleted_instance IS 'Every blob a deletion names; such a blob has no row elsewhere.';
CREATE INDEX deleted_instance_by_uid ON deleted_instance (study_uid, series_uid, sop_instance_uid);
COMMENT ON INDEX deleted_instance_by_uid IS 'is it gone; what can be brought back';
CREATE INDEX deleted_instance_by_blob ON deleted_instance (blob_id);
COMMENT ON INDEX deleted_instance_by_blob IS 'recovery: a blob without a row that must stay without';
CREATE INDEX deleted_instance_by_key ON deleted_instance (key_id);
COMMENT ON INDEX deleted_instance_by_key IS 'purge: who is still sealed under a study key';

CREATE TABLE dying_key (
    key_id    bytea NOT NULL,
    study_uid text COLLATE "C" NOT NULL,
    CONSTRAINT dying_key_pkey PRIMARY KEY (key_id)
);
COMMENT ON TABLE dying_key IS 'Study keys that go as soon as nothing can be sealed under them any more.';

CREATE TABLE journal_entry (
    entry_id   bytea       NOT NULL,
    op         text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT journal_entry_pkey PRIMARY KEY (entry_id)
);
COMMENT ON TABLE journal_entry IS 'The journal entries whose effect stands in this database.';

-- Take blobs out of the catalogue, whatever hangs on them. The caller counts anew (recount) and
-- removes what is left empty above.
CREATE FUNCTION forget_instances(blobs bytea[])
    RETURNS TABLE (of_series bigint, sop_uid text)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    gone bigint[];
BEGIN
    SELECT array_agg(instance_pk) INTO gone FROM instance WHERE blob_id = ANY (blobs);
    DELETE FROM instance_json WHERE instance_pk = ANY (gone);
    DELETE FROM instance_blob WHERE instance_pk = ANY (gone);
    RETURN QUERY
    DELETE FROM instance WHERE instance_pk = ANY (gone)
    RETURNING series_pk, sop_instance_uid;
END
$$;
COMMENT ON FUNCTION forget_instances IS
    'Take blobs out of the catalogue; the caller holds the locks, counts anew and clears what is empty.';

-- Storage Commitment (PS3.18 13): a request, how far it is, and its result until it expires.
CREATE TABLE commitment (
    transaction_uid text COLLATE "C" NOT NULL,
    principal       text        NOT NULL,
    actor_kind      text        NOT NULL,
    scope           jsonb       NOT NULL,
    requested_at    timestamptz NOT NULL DEFAULT now(),
    request         jsonb,
    claims          integer     NOT NULL,
    reasons         integer[]   NOT NULL DEFAULT '{}',
    worker          bytea,
    leased_until    timestamptz,
    finished_at     timestamptz,
    expired_at      timestamptz,
    CONSTRAINT commitment_pkey PRIMARY KEY (transaction_uid),
    CONSTRAINT commitment_uid_is_uid CHECK (transaction_uid ~ '^[0-9.]{1,64}$'),
    CONSTRAINT commitment_reasons_are_of_claims CHECK (cardinality(reasons) <= claims),
    CONSTRAINT commitment_finished_is_whole
        CHECK (finished_at IS NULL OR expired_at IS NOT NULL OR cardinality(reasons) = claims),
    CONSTRAINT commitment_expired_was_finished CHECK (expired_at IS NULL OR finished_at IS NOT NULL),
    CONSTRAINT commitment_request_until_expired CHECK ((request IS NULL) = (expired_at IS NOT NULL))
);
COMMENT ON TABLE commitment IS 'Requests for Storage Commitment that came in by DICOMweb.';
COMMENT ON COLUMN commitment.request IS 'The references asked for, in order; dropped on expiry.';
COMMENT ON COLUMN commitment.reasons IS
    'The answers so far, in the order of the request: 0 committed, else the Failure Reason.';
COMMENT ON COLUMN commitment.scope IS 'What the asker could see when it asked.';
CREATE INDEX commitment_waiting ON commitment (requested_at) WHERE finished_at IS NULL;
COMMENT ON INDEX commitment_waiting IS 'claim: the oldest request that is not finished';
CREATE INDEX commitment_by_end ON commitment (finished_at) WHERE finished_at IS NOT NULL;
COMMENT ON INDEX commitment_by_end IS 'expire: results that were kept long enough';

-- The change feed: an order of the audit rows that tell of a change, made after they are committed.
-- Whoever reads the feed first puts what is new in order; taking objects in pays nothing for it.
CREATE TABLE feed (
    only_one    boolean NOT NULL DEFAULT true,
    feed_id     uuid    NOT NULL DEFAULT gen_random_uuid(),
    settled_id  bigint  NOT NULL DEFAULT 0,
    pending_id  bigint  NOT NULL DEFAULT 0,
    pending_xid xid8    NOT NULL DEFAULT '0',
    CONSTRAINT feed_pkey PRIMARY KEY (only_one),
    CONSTRAINT feed_only_one CHECK (only_one)
);
COMMENT ON TABLE feed IS 'Which feed this is, and how far the audit trail was put in order.';
COMMENT ON COLUMN feed.settled_id IS 'No row of a change up to this id can still be committed.';
COMMENT ON COLUMN feed.pending_id IS
    'Every row of a change up to this id belongs to a transaction older than pending_xid.';
INSERT INTO feed DEFAULT VALUES;

CREATE TABLE change (
    sequence bigint NOT NULL,
    audit_id bigint NOT NULL,
    CONSTRAINT change_pkey PRIMARY KEY (sequence),
    CONSTRAINT change_audit_once UNIQUE (audit_id)
);
COMMENT ON TABLE change IS 'The audit rows that tell of a change, in the order of the feed.';

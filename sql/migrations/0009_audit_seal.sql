-- The seal of the audit trail: a hash chain over committed rows, and signed checkpoints of it.
-- New tables only, so nothing is locked.

CREATE TABLE audit_trail (
    trail_id uuid    NOT NULL DEFAULT gen_random_uuid(),
    alone    boolean NOT NULL DEFAULT true,
    CONSTRAINT audit_trail_pkey PRIMARY KEY (alone),
    CONSTRAINT audit_trail_is_one CHECK (alone)
);
COMMENT ON TABLE audit_trail IS 'Which trail this database holds: a database made anew begins another.';
INSERT INTO audit_trail DEFAULT VALUES;

-- No foreign key to audit: its check would lock, and so change, rows nobody may change. A row
-- without its link, or a link without its row, is what `vna audit verify` looks for.
CREATE TABLE audit_seal (
    seal_seq  bigint NOT NULL,
    audit_id  bigint NOT NULL,
    prev_hash bytea  NOT NULL,
    hash      bytea  NOT NULL,
    CONSTRAINT audit_seal_pkey PRIMARY KEY (seal_seq),
    CONSTRAINT audit_seal_row_once UNIQUE (audit_id),
    CONSTRAINT audit_seal_seq_from_one CHECK (seal_seq > 0),
    CONSTRAINT audit_seal_hashes CHECK (length(prev_hash) = 32 AND length(hash) = 32)
);
COMMENT ON TABLE audit_seal IS 'One link a row: hash = SHA-256(prev_hash, canonical JSON of the row).';
COMMENT ON COLUMN audit_seal.seal_seq IS 'From 1 without a gap, in the order of audit.id.';

CREATE TABLE audit_checkpoint (
    seal_seq  bigint      NOT NULL,
    at        timestamptz NOT NULL,
    statement text        NOT NULL,
    signature bytea       NOT NULL,
    CONSTRAINT audit_checkpoint_pkey PRIMARY KEY (seal_seq),
    CONSTRAINT audit_checkpoint_is_ed25519 CHECK (length(signature) = 64)
);
COMMENT ON TABLE audit_checkpoint IS
    'What was signed of the chain and when; the same stands beside the blobs.';
COMMENT ON COLUMN audit_checkpoint.statement IS 'The signed text: trail, seal_seq, hash, time, key.';

-- The form of a row that is sealed: jsonb's own normal form, every column named, the time in UTC.
-- Sealed rows hang on it: it is never changed, and a column added later needs a function of its own.
CREATE FUNCTION audit_as_json(a audit) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
SELECT CASE WHEN a.id IS NOT NULL THEN jsonb_build_object(
    'id', a.id, 'at', a.at AT TIME ZONE 'UTC', 'kind', a.kind, 'outcome', a.outcome,
    'principal', a.principal, 'actor_kind', a.actor_kind, 'address', a.address,
    'study', a.study, 'series', a.series, 'instance', a.instance, 'detail', a.detail) END
$$;

CREATE TRIGGER audit_seal_no_change
    BEFORE UPDATE OR DELETE ON audit_seal
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_seal_no_truncate
    BEFORE TRUNCATE ON audit_seal
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_checkpoint_no_change
    BEFORE UPDATE OR DELETE ON audit_checkpoint
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_checkpoint_no_truncate
    BEFORE TRUNCATE ON audit_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

REVOKE ALL ON audit_trail, audit_seal, audit_checkpoint FROM PUBLIC;
REVOKE UPDATE, DELETE, TRUNCATE ON audit_trail, audit_seal, audit_checkpoint FROM CURRENT_USER;

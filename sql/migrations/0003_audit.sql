-- Audit: who did what, append-only. New tables only, so nothing is locked.

-- Rows are inserted in the transaction of the act and are not chained here: a chain would make
-- every transaction wait for the one before. What seals them stands in tables of its own.
CREATE TABLE audit (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    at          timestamptz NOT NULL DEFAULT now(),
    kind        text        NOT NULL,
    outcome     text        NOT NULL,
    principal   text        NOT NULL,
    actor_kind  text        NOT NULL,
    address     text,
    study       text,
    series      text,
    instance    text,
    detail      jsonb       NOT NULL DEFAULT '{}',
    CONSTRAINT audit_pkey PRIMARY KEY (id),
    CONSTRAINT audit_kind_is_a_word CHECK (kind ~ '^[a-z][a-z.-]*$'),
    CONSTRAINT audit_series_has_study CHECK (series IS NULL OR study IS NOT NULL),
    CONSTRAINT audit_instance_has_series CHECK (instance IS NULL OR series IS NOT NULL)
);

COMMENT ON TABLE audit IS 'Who did what and when. Append-only by grant and by trigger.';
COMMENT ON COLUMN audit.kind IS 'What was done: instance.stored, query, read, ...';
COMMENT ON COLUMN audit.outcome IS 'How it ended: done, refused, failed.';
COMMENT ON COLUMN audit.detail IS 'More of the act; no value of a patient attribute.';

-- "who has seen or changed this study"
CREATE INDEX audit_study_at ON audit (study, at) WHERE study IS NOT NULL;
-- "what was done in this time"; rows come in the order of time
CREATE INDEX audit_at ON audit USING brin (at);

CREATE FUNCTION audit_is_append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'audit is append-only' USING ERRCODE = '42501';
END
$$;

CREATE TRIGGER audit_no_change
    BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_no_truncate
    BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

REVOKE ALL ON audit FROM PUBLIC;
REVOKE UPDATE, DELETE, TRUNCATE ON audit FROM CURRENT_USER;

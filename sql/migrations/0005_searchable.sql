-- Attributes an administrator made searchable: which they are, what instances say of them, and how
-- far the walk has come that fills them in. New tables only; the foreign keys lock `study`, `series`
-- and `instance` for writers for a moment.

CREATE TABLE searchable (
    path     text COLLATE "C" NOT NULL,
    vr       text COLLATE "C" NOT NULL,
    level    text COLLATE "C" NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    ready_at timestamptz,
    CONSTRAINT searchable_pkey PRIMARY KEY (path),
    CONSTRAINT searchable_vr_is_vr CHECK (vr ~ '^[A-Z]{2}$'),
    CONSTRAINT searchable_level_is_level CHECK (level IN ('PATIENT', 'STUDY', 'SERIES', 'IMAGE'))
);
COMMENT ON TABLE searchable IS 'An attribute to be matched on beyond those always kept.';
COMMENT ON COLUMN searchable.path IS 'Tags joined by dots; a private step is 00290010:"CREATOR".';
COMMENT ON COLUMN searchable.ready_at IS 'Since when every stored instance is in; NULL: not matched on.';

CREATE TABLE searchable_fill (
    only_one   boolean NOT NULL DEFAULT true,
    reached    bigint NOT NULL DEFAULT 0,
    newest     bigint NOT NULL,
    begun_at   timestamptz NOT NULL DEFAULT now(),
    ready_at   timestamptz,
    unreadable bigint NOT NULL DEFAULT 0,
    CONSTRAINT searchable_fill_pkey PRIMARY KEY (only_one),
    CONSTRAINT searchable_fill_only_one CHECK (only_one)
);
COMMENT ON TABLE searchable_fill IS 'The walk over all instances that is under way; no row: none is.';
COMMENT ON COLUMN searchable_fill.reached IS 'The last instance looked at; a walk cut off goes on here.';
COMMENT ON COLUMN searchable_fill.newest IS 'The last instance there was when the walk began.';
COMMENT ON COLUMN searchable_fill.ready_at IS
    'When all were looked at; what came in meanwhile is then looked at a second time.';

-- The same terms of a study stand once. Which of them the study shows is what its first current
-- instance says: stale rows match nothing, and go with the next walk.
CREATE TABLE study_extra (
    study_pk bigint NOT NULL,
    hash     bigint NOT NULL,
    terms    jsonb NOT NULL,
    CONSTRAINT study_extra_pkey PRIMARY KEY (study_pk, hash),
    CONSTRAINT study_extra_study_fkey FOREIGN KEY (study_pk) REFERENCES study ON DELETE CASCADE
);
COMMENT ON TABLE study_extra IS 'Values of added attributes of studies, in the form they match in.';
CREATE INDEX study_extra_by_terms ON study_extra USING gin (terms jsonb_path_ops);
COMMENT ON INDEX study_extra_by_terms IS 'search: a value of an added attribute of studies';

CREATE TABLE series_extra (
    series_pk bigint NOT NULL,
    hash      bigint NOT NULL,
    terms     jsonb NOT NULL,
    CONSTRAINT series_extra_pkey PRIMARY KEY (series_pk, hash),
    CONSTRAINT series_extra_series_fkey FOREIGN KEY (series_pk) REFERENCES series ON DELETE CASCADE
);
COMMENT ON TABLE series_extra IS 'The same of series.';
CREATE INDEX series_extra_by_terms ON series_extra USING gin (terms jsonb_path_ops);
COMMENT ON INDEX series_extra_by_terms IS 'search: a value of an added attribute of series';

CREATE TABLE instance_extra (
    instance_pk bigint NOT NULL,
    study_hash  bigint,
    series_hash bigint,
    terms       jsonb,
    CONSTRAINT instance_extra_pkey PRIMARY KEY (instance_pk),
    CONSTRAINT instance_extra_instance_fkey
        FOREIGN KEY (instance_pk) REFERENCES instance ON DELETE CASCADE
);
COMMENT ON TABLE instance_extra IS
    'What an instance says of its study and series, by hash, and of itself; no row: nothing.';
CREATE INDEX instance_extra_by_terms ON instance_extra USING gin (terms jsonb_path_ops)
    WHERE terms IS NOT NULL;
COMMENT ON INDEX instance_extra_by_terms IS 'search: a value of an added attribute of instances';

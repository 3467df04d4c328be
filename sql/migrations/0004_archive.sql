-- Which archive this schema indexes. A new table only, so nothing is locked.

CREATE TABLE archive (
    only_one   boolean     NOT NULL DEFAULT true,
    id         uuid        NOT NULL,
    indexed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT archive_pkey PRIMARY KEY (only_one),
    CONSTRAINT archive_only_one CHECK (only_one)
);

COMMENT ON TABLE archive IS 'The archive_id of archive.json in the blob store; both must agree.';

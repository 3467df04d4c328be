-- How far the audit trail was sent to an audit repository. A new table, so nothing is locked.

CREATE TABLE audit_sent (
    repository text COLLATE "C" NOT NULL,
    seal_seq   bigint      NOT NULL,
    sent_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT audit_sent_pkey PRIMARY KEY (repository),
    CONSTRAINT audit_sent_counts CHECK (seal_seq >= 0)
);
COMMENT ON TABLE audit_sent IS
    'The trail is the queue: what a repository has not got yet stands behind this link of the chain.';

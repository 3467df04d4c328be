-- Who was told of for looking at unusually many studies, and when. A new table only, so nothing is
-- locked.

CREATE TABLE watched (
    principal text        NOT NULL,
    told_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT watched_pkey PRIMARY KEY (principal)
);
COMMENT ON TABLE watched IS
    'Accounts that opened unusually many studies: told of once a day, forgotten after it.';

-- Studies that are to be kept: nothing of them is deleted, or destroyed once deleted. A new table and
-- a new view: nothing waits for it.

CREATE TABLE study_hold (
    study_uid text COLLATE "C" NOT NULL,
    until     timestamptz,
    reason    text        NOT NULL,
    set_by    text        NOT NULL,
    set_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT study_hold_pkey PRIMARY KEY (study_uid),
    CONSTRAINT study_hold_uid_is_uid CHECK (study_uid ~ '^[0-9.]{1,64}$'),
    CONSTRAINT study_hold_reason_is_short CHECK (length(reason) BETWEEN 1 AND 200)
);
COMMENT ON TABLE study_hold IS
    'Studies of which nothing may be deleted or destroyed. The journal has each, too.';
COMMENT ON COLUMN study_hold.study_uid IS
    'No reference: a study may be held before it comes, and after it was deleted.';

CREATE VIEW held_study AS
SELECT study_uid FROM study_hold WHERE until IS NULL OR until > now();
COMMENT ON VIEW held_study IS 'The studies that are held now.';

-- What keeps a study from being seen, who is let see it for a reason, and how freshly a session was
-- proven. New tables; `session` gets a column without rewriting it, and is locked for a moment.

CREATE TABLE study_label (
    study_uid text COLLATE "C" NOT NULL,
    label     text        NOT NULL,
    until     timestamptz,
    reason    text        NOT NULL,
    set_by    text        NOT NULL,
    set_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT study_label_pkey PRIMARY KEY (study_uid, label),
    CONSTRAINT study_label_uid_is_uid CHECK (study_uid ~ '^[0-9.]{1,64}$'),
    CONSTRAINT study_label_is_known CHECK (label IN ('sensitive', 'embargoed', 'disputed')),
    CONSTRAINT study_label_embargo_ends CHECK ((label = 'embargoed') = (until IS NOT NULL)),
    CONSTRAINT study_label_reason_is_short CHECK (length(reason) <= 200)
);
COMMENT ON TABLE study_label IS
    'Studies withheld from those whose role does not clear the label. The journal has each, too.';
COMMENT ON COLUMN study_label.study_uid IS
    'No reference: a study may be labelled before it comes, and keeps its label when it is reindexed.';

CREATE TABLE label_revision (
    revision bigint  NOT NULL DEFAULT 0,
    alone    boolean NOT NULL DEFAULT true,
    CONSTRAINT label_revision_pkey PRIMARY KEY (alone),
    CONSTRAINT label_revision_is_one CHECK (alone)
);
COMMENT ON TABLE label_revision IS 'Counts changes of study_label: a process reads that only then.';
INSERT INTO label_revision DEFAULT VALUES;

CREATE FUNCTION count_label_revision() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE label_revision SET revision = revision + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER study_label_counted
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON study_label
    FOR EACH STATEMENT EXECUTE FUNCTION count_label_revision();

CREATE TABLE care_relation (
    relation_id bigint GENERATED ALWAYS AS IDENTITY,
    account_id  bigint      NOT NULL,
    study_uid   text COLLATE "C",
    issuer      text COLLATE "C",
    patient_id  text COLLATE "C",
    ground      text        NOT NULL,
    given_by    text        NOT NULL,
    begins_at   timestamptz NOT NULL DEFAULT now(),
    ends_at     timestamptz NOT NULL,
    ended_at    timestamptz,
    CONSTRAINT care_relation_pkey PRIMARY KEY (relation_id),
    CONSTRAINT care_relation_account_fkey
        FOREIGN KEY (account_id) REFERENCES account ON DELETE CASCADE,
    CONSTRAINT care_relation_is_of_one CHECK (num_nonnulls(study_uid, patient_id) = 1),
    CONSTRAINT care_relation_patient_has_issuer CHECK ((issuer IS NULL) = (patient_id IS NULL)),
    CONSTRAINT care_relation_patient_is_named CHECK (patient_id <> '' AND issuer <> ''),
    CONSTRAINT care_relation_uid_is_uid CHECK (study_uid ~ '^[0-9.]{1,64}$'),
    CONSTRAINT care_relation_ground_is_known
        CHECK (ground IN ('treating', 'referring', 'consulted', 'own')),
    CONSTRAINT care_relation_ends CHECK (ends_at > begins_at)
);
COMMENT ON TABLE care_relation IS
    'Who treats whom, or is to see which study: what accounts of granted reach may see.';
CREATE INDEX care_relation_by_account ON care_relation (account_id) WHERE ended_at IS NULL;
COMMENT ON INDEX care_relation_by_account IS 'what an account may see, at each sign-in and request';

CREATE VIEW care_reach AS
SELECT c.account_id, c.study_uid
  FROM care_relation c
 WHERE c.study_uid IS NOT NULL AND c.ended_at IS NULL AND now() BETWEEN c.begins_at AND c.ends_at
UNION
SELECT c.account_id, s.study_uid
  FROM care_relation c
  JOIN patient p ON p.issuer = c.issuer AND p.patient_id = c.patient_id AND p.study_uid = ''
  JOIN study s USING (patient_pk)
 WHERE c.ended_at IS NULL AND now() BETWEEN c.begins_at AND c.ends_at;
COMMENT ON VIEW care_reach IS 'The studies of each account: those named, and all of patients named.';

CREATE TABLE emergency (
    emergency_id bigint GENERATED ALWAYS AS IDENTITY,
    account_id   bigint,
    login        text COLLATE "C" NOT NULL,
    session_id   bigint      NOT NULL,
    issuer       text COLLATE "C" NOT NULL,
    patient_id   text COLLATE "C" NOT NULL,
    reason       text        NOT NULL,
    note         text        NOT NULL,
    began_at     timestamptz NOT NULL DEFAULT now(),
    ends_at      timestamptz NOT NULL,
    ended_at     timestamptz,
    reviewed_at  timestamptz,
    reviewed_by  text,
    verdict      text,
    remark       text,
    CONSTRAINT emergency_pkey PRIMARY KEY (emergency_id),
    CONSTRAINT emergency_account_fkey
        FOREIGN KEY (account_id) REFERENCES account ON DELETE SET NULL,
    CONSTRAINT emergency_reason_is_known
        CHECK (reason IN ('treatment', 'unconscious', 'on-call', 'disaster')),
    CONSTRAINT emergency_note_says_something CHECK (length(note) BETWEEN 10 AND 500),
    CONSTRAINT emergency_is_short CHECK (ends_at > began_at AND ends_at <= began_at + interval '1 hour'),
    CONSTRAINT emergency_patient_is_named CHECK (patient_id <> '' AND issuer <> ''),
    CONSTRAINT emergency_review_is_whole
        CHECK (num_nulls(reviewed_at, reviewed_by, verdict, remark) IN (0, 4)),
    CONSTRAINT emergency_verdict_is_known CHECK (verdict IN ('ok', 'not-ok')),
    CONSTRAINT emergency_remark_is_short CHECK (length(remark) <= 500)
);
COMMENT ON TABLE emergency IS
    'Access to one person by one session, against the usual rules and for half an hour; reviewed.';
COMMENT ON COLUMN emergency.session_id IS 'No reference: the access ends with its session, this row stays.';
CREATE UNIQUE INDEX emergency_one_at_a_time ON emergency (account_id) WHERE ended_at IS NULL;
COMMENT ON INDEX emergency_one_at_a_time IS 'one person at a time; a session''s emergency at each request';
CREATE INDEX emergency_to_review ON emergency (began_at) WHERE reviewed_at IS NULL;
COMMENT ON INDEX emergency_to_review IS 'the list of those nobody has reviewed';

CREATE VIEW emergency_reach AS
SELECT e.session_id, e.emergency_id, e.ends_at, s.study_uid
  FROM emergency e
  JOIN patient p ON p.issuer = e.issuer AND p.patient_id = e.patient_id AND p.study_uid = ''
  JOIN study s USING (patient_pk)
 WHERE e.ended_at IS NULL AND e.ends_at > now();
COMMENT ON VIEW emergency_reach IS 'The studies lent to a session in an emergency.';

CREATE VIEW identity_known AS
SELECT issuer, patient_id FROM patient WHERE patient_id <> '';
COMMENT ON VIEW identity_known IS 'Which identities there are, and nothing else of them.';

ALTER TABLE session ADD COLUMN proven_at timestamptz;
COMMENT ON COLUMN session.proven_at IS 'When a second factor was last shown in this session.';

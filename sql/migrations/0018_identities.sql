-- Whom studies are about: identities by issuer, which of them are one person, and what waits for
-- somebody to decide. Derived from the catalogue and the journal; identities are made after objects
-- are in, so that taking them in pays one row for each new study. New tables; the trigger locks
-- `study` for writers while every study there is is noted to be looked at.

CREATE TABLE identity (
    identity_id  bytea NOT NULL,
    issuer       text COLLATE "C" NOT NULL,
    patient_id   text COLLATE "C" NOT NULL,
    variant      integer NOT NULL,
    person_id    bytea NOT NULL,
    name         text NOT NULL,
    folded       text COLLATE "C" NOT NULL,
    family       text COLLATE "C" NOT NULL,
    birth_date   date,
    sex          text COLLATE "C" NOT NULL,
    numbers      text[] COLLATE "C" NOT NULL DEFAULT '{}',
    address      bytea,
    death_date   date,
    source       text NOT NULL,
    quarantined  boolean NOT NULL DEFAULT false,
    first_seen   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT identity_pkey PRIMARY KEY (identity_id),
    CONSTRAINT identity_once UNIQUE (issuer, patient_id, variant),
    CONSTRAINT identity_is_one CHECK (issuer <> '' AND patient_id <> ''),
    CONSTRAINT identity_source_is_one
        CHECK (source IN ('dicom', 'feed', 'staff', 'patient', 'journal')),
    CONSTRAINT identity_shadow_is_counted CHECK (variant >= 0)
);
COMMENT ON TABLE identity IS 'What one issuer calls a patient, and what was said of them.';
COMMENT ON COLUMN identity.variant IS '0, or the number of a shadow: the same id, another person.';
COMMENT ON COLUMN identity.person_id IS 'The identity its person is named by: its own, or a linked one.';
COMMENT ON COLUMN identity.numbers IS 'ISSUER:NUMBER of ids that identify across issuers.';
COMMENT ON COLUMN identity.quarantined IS 'Not to be shared before somebody has looked.';
CREATE INDEX identity_by_birth ON identity (birth_date, family)
    WHERE birth_date IS NOT NULL;
COMMENT ON INDEX identity_by_birth IS 'matching: who else was born that day under that name';
CREATE INDEX identity_by_number ON identity USING gin (numbers)
    WHERE numbers <> '{}';
COMMENT ON INDEX identity_by_number IS 'matching: who else has this number';
CREATE INDEX identity_by_person ON identity (person_id);
COMMENT ON INDEX identity_by_person IS 'the identities of a person';

-- Two identities somebody or something has compared. What people decided is in the journal; a pair
-- that is apart is never proposed again.
CREATE TABLE identity_pair (
    first      bytea NOT NULL,
    second     bytea NOT NULL,
    state      text  NOT NULL,
    rule       text  NOT NULL,
    priority   integer NOT NULL,
    evidence   jsonb NOT NULL DEFAULT '{}',
    act        bytea,
    decided_at timestamptz,
    decided_by text,
    reason     text,
    found_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT identity_pair_pkey PRIMARY KEY (first, second),
    CONSTRAINT identity_pair_is_two CHECK (first < second),
    CONSTRAINT identity_pair_first_fkey
        FOREIGN KEY (first) REFERENCES identity ON DELETE CASCADE,
    CONSTRAINT identity_pair_second_fkey
        FOREIGN KEY (second) REFERENCES identity ON DELETE CASCADE,
    CONSTRAINT identity_pair_state_is_one
        CHECK (state IN ('open', 'deferred', 'linked', 'apart')),
    CONSTRAINT identity_pair_rule_is_one
        CHECK (rule IN ('R2', 'R3', 'R4', 'R5', 'R6', 'R8', 'staff')),
    -- nothing but a number that identifies, or a person, makes two identities one
    CONSTRAINT identity_pair_link_has_a_ground
        CHECK (state <> 'linked' OR rule = 'R3' OR act IS NOT NULL),
    CONSTRAINT identity_pair_act_is_somebodys
        CHECK (num_nulls(act, decided_by, decided_at, reason) IN (0, 4))
);
COMMENT ON TABLE identity_pair IS 'Whether two identities are one person: open, linked or apart.';
COMMENT ON COLUMN identity_pair.act IS 'The journal entry of the decision that holds: the latest.';
CREATE INDEX identity_pair_second ON identity_pair (second);
COMMENT ON INDEX identity_pair_second IS 'the pairs of an identity';
CREATE INDEX identity_pair_work ON identity_pair (priority DESC, found_at)
    WHERE state IN ('open', 'deferred');
COMMENT ON INDEX identity_pair_work IS 'the worklist';

CREATE TABLE identity_act (
    act      bytea NOT NULL,
    at       timestamptz NOT NULL,
    actor    text NOT NULL,
    op       text NOT NULL,
    first    bytea NOT NULL,
    second   bytea,
    reason   text NOT NULL,
    CONSTRAINT identity_act_pkey PRIMARY KEY (act)
);
COMMENT ON TABLE identity_act IS 'What people decided of identities, from the journal; append-only.';

CREATE TABLE study_identity (
    study_uid   text COLLATE "C" NOT NULL,
    identity_id bytea NOT NULL,
    alert       text,
    CONSTRAINT study_identity_pkey PRIMARY KEY (study_uid),
    CONSTRAINT study_identity_fkey FOREIGN KEY (identity_id) REFERENCES identity,
    CONSTRAINT study_identity_alert_is_one CHECK (alert IN ('R9'))
);
COMMENT ON TABLE study_identity IS 'The identity a study is about; none: it has no Patient ID.';
COMMENT ON COLUMN study_identity.alert IS 'R9: it was made after the patient died.';
CREATE INDEX study_identity_of ON study_identity (identity_id);
COMMENT ON INDEX study_identity_of IS 'the studies of an identity';

CREATE TABLE identity_due (
    study_uid text COLLATE "C" NOT NULL,
    CONSTRAINT identity_due_pkey PRIMARY KEY (study_uid)
);
COMMENT ON TABLE identity_due IS 'Studies whose patient is to be looked at.';
INSERT INTO identity_due SELECT study_uid FROM study;

CREATE FUNCTION identity_is_due() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO identity_due VALUES (OLD.study_uid) ON CONFLICT DO NOTHING;
    ELSE
        INSERT INTO identity_due VALUES (NEW.study_uid) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION identity_is_due IS 'What is said of the patient of a study has changed.';
CREATE TRIGGER study_patient_is_due
    AFTER INSERT OR DELETE OR UPDATE OF patient_pk, answer ON study
    FOR EACH ROW EXECUTE FUNCTION identity_is_due();

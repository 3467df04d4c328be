-- Corrections by staff: what a study shows instead of what was received. Stored bytes, and what is
-- received later, are never touched. New tables; triggers on `study` and `study_difference` lock them
-- for writers for a moment. Those are written once a study: taking further objects in pays nothing.

CREATE TABLE correction (
    correction_id bytea       NOT NULL,
    study_uid     text COLLATE "C" NOT NULL,
    at            timestamptz NOT NULL,
    actor         text        NOT NULL,
    reason        text        NOT NULL,
    changes       jsonb       NOT NULL,
    undone_at     timestamptz,
    undone_by     text,
    undone_why    text,
    CONSTRAINT correction_pkey PRIMARY KEY (correction_id),
    CONSTRAINT correction_study_is_uid CHECK (study_uid ~ '^[0-9.]{1,64}$'),
    CONSTRAINT correction_changes_something
        CHECK (jsonb_typeof(changes) = 'object' AND changes <> '{}'),
    CONSTRAINT correction_undone_is_whole
        CHECK (num_nulls(undone_at, undone_by, undone_why) IN (0, 3))
);
COMMENT ON TABLE correction IS 'An act of correction, from the journal; undone ones stay to be seen.';
COMMENT ON COLUMN correction.changes IS 'Keyword -> text as a data set has it; empty: no value.';
CREATE INDEX correction_of_study ON correction (study_uid, correction_id);
COMMENT ON INDEX correction_of_study IS 'the corrections of a study in order of time';

-- An undoing may be read before what it undoes: processes write the journal side by side.
CREATE TABLE undone_correction (
    correction_id bytea       NOT NULL,
    at            timestamptz NOT NULL,
    actor         text        NOT NULL,
    reason        text        NOT NULL,
    CONSTRAINT undone_correction_pkey PRIMARY KEY (correction_id)
);
COMMENT ON TABLE undone_correction IS 'Undoings whose correction has not been read yet.';

CREATE TABLE study_overlay (
    study_uid     text COLLATE "C" NOT NULL,
    version       bytea NOT NULL,
    corrected_at  timestamptz NOT NULL,
    changes       jsonb NOT NULL,
    elements      jsonb NOT NULL,
    of_issuer     text COLLATE "C",
    of_id         text COLLATE "C",
    issuer        text COLLATE "C",
    patient_id    text COLLATE "C",
    patient_name  text COLLATE "C",
    patient_codes text[],
    birth_date    date,
    sex           text COLLATE "C",
    accession     text COLLATE "C",
    description   text COLLATE "C",
    CONSTRAINT study_overlay_pkey PRIMARY KEY (study_uid)
);
COMMENT ON TABLE study_overlay IS 'What stands of all corrections of a study, ready to be laid over.';
COMMENT ON COLUMN study_overlay.version IS 'Changes whenever the overlay does.';
COMMENT ON COLUMN study_overlay.changes IS 'Keyword -> text, all corrections taken together.';
COMMENT ON COLUMN study_overlay.elements IS 'The same as DICOM JSON; which attributes are in force.';

CREATE TABLE study_received (
    study_uid     text COLLATE "C" NOT NULL,
    variant       bigint NOT NULL,
    of_issuer     text COLLATE "C" NOT NULL,
    of_id         text COLLATE "C" NOT NULL,
    issuer        text COLLATE "C",
    patient_id    text COLLATE "C",
    patient_name  text COLLATE "C",
    patient_codes text[],
    birth_date    date,
    sex           text COLLATE "C",
    accession     text COLLATE "C",
    description   text COLLATE "C",
    answer        text NOT NULL,
    CONSTRAINT study_received_pkey PRIMARY KEY (study_uid, variant)
);
COMMENT ON TABLE study_received IS
    'What corrected studies were received with, by the hash of their attributes; nothing shows it.';

CREATE FUNCTION identity_of(of_issuer text, of_id text, of_study text) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    alone text := CASE WHEN of_id = '' THEN of_study ELSE '' END;
    found bigint;
BEGIN
    INSERT INTO patient (issuer, patient_id, study_uid) VALUES (of_issuer, of_id, alone)
    ON CONFLICT DO NOTHING;
    SELECT p.patient_pk INTO found FROM patient p
    WHERE p.issuer = of_issuer AND p.patient_id = of_id AND p.study_uid = alone;
    RETURN found;
END
$$;
COMMENT ON FUNCTION identity_of IS 'An identity, found or made; a blank Patient ID is a study''s own.';

-- Rows are written by registration as received, by show_study as they stand, and by correct_study as
-- received: what was received with a hash is therefore kept the first time only, and laying the
-- overlay on once more changes nothing.
CREATE FUNCTION lay_overlay() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    over study_overlay%ROWTYPE;
    held patient%ROWTYPE;
    uid  text;
BEGIN
    IF TG_TABLE_NAME = 'study' THEN
        uid := NEW.study_uid;
    ELSE
        SELECT s.study_uid INTO uid FROM study s WHERE s.study_pk = NEW.study_pk;
    END IF;
    SELECT * INTO over FROM study_overlay o WHERE o.study_uid = uid;
    IF NOT FOUND THEN
        RETURN NEW;
    END IF;
    SELECT * INTO held FROM patient p WHERE p.patient_pk = NEW.patient_pk;
    INSERT INTO study_received (
        study_uid, variant, of_issuer, of_id, issuer, patient_id, patient_name, patient_codes,
        birth_date, sex, accession, description, answer)
    VALUES (
        uid, NEW.variant, held.issuer, held.patient_id, NEW.issuer, NEW.patient_id,
        NEW.patient_name, NEW.patient_codes, NEW.birth_date, NEW.sex, NEW.accession,
        NEW.description, NEW.answer)
    ON CONFLICT DO NOTHING;

    NEW.answer := (NEW.answer::jsonb || over.elements)::text;
    IF over.elements ? '00100010' THEN
        NEW.patient_name := over.patient_name;
        NEW.patient_codes := over.patient_codes;
    END IF;
    IF over.elements ? '00100030' THEN
        NEW.birth_date := over.birth_date;
    END IF;
    IF over.elements ? '00100040' THEN
        NEW.sex := over.sex;
    END IF;
    IF over.elements ? '00080050' THEN
        NEW.accession := over.accession;
    END IF;
    IF over.elements ? '00081030' THEN
        NEW.description := over.description;
    END IF;
    IF over.of_issuer IS NULL AND over.of_id IS NULL THEN
        RETURN NEW;
    END IF;
    held.issuer := coalesce(over.of_issuer, held.issuer);
    held.patient_id := coalesce(over.of_id, held.patient_id);
    NEW.patient_pk := identity_of(held.issuer, held.patient_id, uid);
    IF over.of_id IS NOT NULL THEN
        NEW.patient_id := over.patient_id;
    END IF;
    IF held.patient_id = '' THEN
        NEW.issuer := NULL;
        NEW.answer := (NEW.answer::jsonb - '00100021')::text;
    ELSE
        NEW.issuer := held.issuer;
        NEW.answer := jsonb_set(
            NEW.answer::jsonb, '{00100021}',
            jsonb_build_object('vr', 'LO', 'Value', jsonb_build_array(held.issuer)))::text;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION lay_overlay IS 'A corrected study shows its corrections, whoever writes its row.';
CREATE TRIGGER study_is_corrected BEFORE INSERT OR UPDATE ON study
    FOR EACH ROW EXECUTE FUNCTION lay_overlay();
CREATE TRIGGER study_difference_is_corrected BEFORE INSERT OR UPDATE ON study_difference
    FOR EACH ROW EXECUTE FUNCTION lay_overlay();

CREATE FUNCTION forget_received() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    DELETE FROM study_received r WHERE r.study_uid = OLD.study_uid;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION forget_received IS 'What a study was received with goes with it.';
CREATE TRIGGER study_is_gone AFTER DELETE ON study
    FOR EACH ROW EXECUTE FUNCTION forget_received();

CREATE FUNCTION correct_study(uid text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    pk    bigint;
    olds  bigint[];
BEGIN
    SELECT study_pk INTO pk FROM study WHERE study_uid = uid FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT array_agg(u.p) INTO olds FROM (
        SELECT patient_pk AS p FROM study WHERE study_pk = pk
        UNION
        SELECT patient_pk FROM study_difference WHERE study_pk = pk) AS u;
    UPDATE study s
    SET patient_pk = identity_of(r.of_issuer, r.of_id, uid), issuer = r.issuer,
        patient_id = r.patient_id, patient_name = r.patient_name,
        patient_codes = r.patient_codes, birth_date = r.birth_date, sex = r.sex,
        accession = r.accession, description = r.description, answer = r.answer
    FROM study_received r
    WHERE s.study_pk = pk AND r.study_uid = uid AND r.variant = s.variant;
    UPDATE study_difference d
    SET patient_pk = identity_of(r.of_issuer, r.of_id, uid), issuer = r.issuer,
        patient_id = r.patient_id, patient_name = r.patient_name,
        patient_codes = r.patient_codes, birth_date = r.birth_date, sex = r.sex,
        accession = r.accession, description = r.description, answer = r.answer
    FROM study_received r
    WHERE d.study_pk = pk AND r.study_uid = uid AND r.variant = d.variant;
    SELECT olds || array_agg(p.patient_pk) INTO olds
    FROM study_received r
    JOIN patient p ON p.issuer = r.of_issuer AND p.patient_id = r.of_id
        AND p.study_uid = CASE WHEN r.of_id = '' THEN uid ELSE '' END
    WHERE r.study_uid = uid;
    DELETE FROM study_received r
    WHERE r.study_uid = uid
        AND NOT EXISTS (SELECT FROM study_overlay o WHERE o.study_uid = uid);
    DELETE FROM patient p
    WHERE p.patient_pk = ANY (olds)
        AND NOT EXISTS (SELECT FROM study s WHERE s.patient_pk = p.patient_pk)
        AND NOT EXISTS (SELECT FROM study_difference d WHERE d.patient_pk = p.patient_pk);
    -- whoever keeps an answer about any of it must ask again
    UPDATE instance i SET changed_at = now()
    FROM series e WHERE e.study_pk = pk AND i.series_pk = e.series_pk;
    UPDATE series_state r SET revision = r.revision + 1, changed_at = now()
    FROM series e WHERE e.study_pk = pk AND r.series_pk = e.series_pk;
    UPDATE study_state SET revision = revision + 1, changed_at = now() WHERE study_pk = pk;
    RETURN true;
END
$$;
COMMENT ON FUNCTION correct_study IS
    'Show a study as its overlay, or the lack of one, says; false when there is no such study.';

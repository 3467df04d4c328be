-- The catalogue: what the archive holds, derived from the blobs and rebuilt from them alone.
-- New tables only, so nothing is locked. docs/schema.md tells the whole of it.
--
-- Text that is compared byte by byte (UIDs, identifiers) has the collation "C": equality and a
-- prefix then use one plain index in any database, whatever its locale.

CREATE TABLE patient (
    patient_pk bigint GENERATED ALWAYS AS IDENTITY,
    issuer     text COLLATE "C" NOT NULL,
    patient_id text COLLATE "C" NOT NULL,
    study_uid  text COLLATE "C" NOT NULL DEFAULT '',
    CONSTRAINT patient_pkey PRIMARY KEY (patient_pk),
    CONSTRAINT patient_identity UNIQUE (issuer, patient_id, study_uid),
    CONSTRAINT patient_issuer_is_known CHECK (issuer <> ''),
    CONSTRAINT patient_without_id_is_one_study CHECK ((patient_id = '') = (study_uid <> ''))
);
COMMENT ON TABLE patient IS
    'An identity (issuer, id) that studies point to; demographics stand on each study as received.';
COMMENT ON COLUMN patient.study_uid IS
    'With a blank Patient ID the identity is that of one study and never of another.';
COMMENT ON INDEX patient_identity IS 'register: the identity of a study, found or made';

CREATE TABLE study (
    study_pk       bigint GENERATED ALWAYS AS IDENTITY,
    study_uid      text COLLATE "C" NOT NULL,
    patient_pk     bigint NOT NULL,
    variant        bigint NOT NULL,
    issuer         text COLLATE "C",
    patient_id     text COLLATE "C",
    patient_name   text COLLATE "C",
    patient_codes  text[],
    birth_date     date,
    sex            text COLLATE "C",
    study_date     date NOT NULL DEFAULT '-infinity',
    study_time     time,
    accession      text COLLATE "C",
    study_id       text COLLATE "C",
    referring      text COLLATE "C",
    referring_codes text[],
    description    text COLLATE "C",
    fold_version   smallint NOT NULL,
    terms          jsonb NOT NULL,
    answer         text NOT NULL,
    CONSTRAINT study_pkey PRIMARY KEY (study_pk),
    CONSTRAINT study_uid_once UNIQUE (study_uid),
    CONSTRAINT study_uid_is_uid CHECK (study_uid ~ '^[0-9.]{1,64}$'),
    CONSTRAINT study_patient_fkey FOREIGN KEY (patient_pk) REFERENCES patient
);
COMMENT ON TABLE study IS
    'A study with the patient and study attributes of its first current instance.';
COMMENT ON COLUMN study.variant IS 'Hash of the attributes shown; others stand in study_difference.';
COMMENT ON COLUMN study.study_date IS '-infinity: absent or not valid; one index orders and ranges.';
COMMENT ON COLUMN study.patient_name IS 'Folded, three groups a value: =alphabetic=ideographic=phonetic=';
COMMENT ON COLUMN study.terms IS 'Attributes without a column of their own, in the form they match in.';
COMMENT ON COLUMN study.answer IS 'DICOM JSON of the attributes, without those computed at read.';
COMMENT ON INDEX study_uid_once IS 'register, locate, search: a study by its UID';

CREATE TABLE study_difference (
    study_pk       bigint NOT NULL,
    variant        bigint NOT NULL,
    patient_pk     bigint NOT NULL,
    issuer         text COLLATE "C",
    patient_id     text COLLATE "C",
    patient_name   text COLLATE "C",
    patient_codes  text[],
    birth_date     date,
    sex            text COLLATE "C",
    study_date     date NOT NULL DEFAULT '-infinity',
    study_time     time,
    accession      text COLLATE "C",
    study_id       text COLLATE "C",
    referring      text COLLATE "C",
    referring_codes text[],
    description    text COLLATE "C",
    fold_version   smallint NOT NULL,
    terms          jsonb NOT NULL,
    answer         text NOT NULL,
    CONSTRAINT study_difference_pkey PRIMARY KEY (study_pk, variant),
    CONSTRAINT study_difference_study_fkey FOREIGN KEY (study_pk) REFERENCES study ON DELETE CASCADE,
    CONSTRAINT study_difference_patient_fkey FOREIGN KEY (patient_pk) REFERENCES patient
);
COMMENT ON TABLE study_difference IS
    'Attributes received for a study that differ from those shown: recorded, flagged, never merged.';

CREATE TABLE series (
    series_pk     bigint GENERATED ALWAYS AS IDENTITY,
    study_pk      bigint NOT NULL,
    series_uid    text COLLATE "C" NOT NULL,
    variant       bigint NOT NULL,
    modality      text COLLATE "C",
    series_number bigint,
    description   text COLLATE "C",
    body_part     text COLLATE "C",
    laterality    text COLLATE "C",
    step_date     date,
    step_time     time,
    fold_version  smallint NOT NULL,
    terms         jsonb NOT NULL,
    answer        text NOT NULL,
    CONSTRAINT series_pkey PRIMARY KEY (series_pk),
    CONSTRAINT series_uid_once_in_study UNIQUE (study_pk, series_uid),
    CONSTRAINT series_uid_is_uid CHECK (series_uid ~ '^[0-9.]{1,64}$'),
    CONSTRAINT series_study_fkey FOREIGN KEY (study_pk) REFERENCES study
);
COMMENT ON TABLE series IS 'A series of a study with the attributes of its first current instance.';
COMMENT ON COLUMN series.step_date IS 'Performed Procedure Step Start Date.';
COMMENT ON INDEX series_uid_once_in_study IS 'register, locate, search: a series of a study by UID';

CREATE TABLE series_difference (
    series_pk     bigint NOT NULL,
    variant       bigint NOT NULL,
    modality      text COLLATE "C",
    series_number bigint,
    description   text COLLATE "C",
    body_part     text COLLATE "C",
    laterality    text COLLATE "C",
    step_date     date,
    step_time     time,
    fold_version  smallint NOT NULL,
    terms         jsonb NOT NULL,
    answer        text NOT NULL,
    CONSTRAINT series_difference_pkey PRIMARY KEY (series_pk, variant),
    CONSTRAINT series_difference_series_fkey
        FOREIGN KEY (series_pk) REFERENCES series ON DELETE CASCADE
);
COMMENT ON TABLE series_difference IS 'The same for a series.';

-- Every value of Modality ever seen, so that a search for one that is not there ends at once
-- instead of walking every study for it.
CREATE TABLE modality (
    modality text COLLATE "C" NOT NULL,
    CONSTRAINT modality_pkey PRIMARY KEY (modality)
);

CREATE TABLE instance (
    instance_pk         bigint GENERATED BY DEFAULT AS IDENTITY,
    series_pk           bigint NOT NULL,
    sop_instance_uid    text COLLATE "C" NOT NULL,
    current             boolean NOT NULL,
    reason              text NOT NULL DEFAULT '',
    created_us          bigint NOT NULL,
    blob_id             bytea NOT NULL,
    digest              bytea NOT NULL,
    key_id              bytea NOT NULL,
    key_version         integer NOT NULL,
    size                bigint NOT NULL,
    study_variant       bigint NOT NULL,
    series_variant      bigint NOT NULL,
    sop_class_uid       text COLLATE "C" NOT NULL,
    transfer_syntax_uid text COLLATE "C" NOT NULL,
    instance_number     bigint,
    content_date        date,
    content_time        time,
    image_rows          bigint,
    image_columns       bigint,
    bits_allocated      bigint,
    frames              bigint,
    changed_at          timestamptz NOT NULL DEFAULT now(),
    flags               text[],
    terms               jsonb,
    answer              text NOT NULL,
    CONSTRAINT instance_pkey PRIMARY KEY (instance_pk),
    CONSTRAINT instance_blob_once UNIQUE (blob_id),
    CONSTRAINT instance_series_fkey FOREIGN KEY (series_pk) REFERENCES series
);
-- what search and locate walk over; columns that answer a single look-up stand in instance_blob
CREATE UNIQUE INDEX instance_current_once ON instance (sop_instance_uid) WHERE current;
COMMENT ON INDEX instance_current_once IS
    'one current version of a SOP Instance UID in the archive; an instance by its UID';
CREATE INDEX instance_superseded ON instance (sop_instance_uid) WHERE NOT current;
COMMENT ON INDEX instance_superseded IS 'register: the other versions of a SOP Instance UID';
CREATE INDEX instance_in_series
    ON instance (series_pk, COALESCE(instance_number, 9223372036854775807), instance_pk);
COMMENT ON INDEX instance_in_series IS
    'locate, metadata, search: the instances of a series in their order, page by page';
COMMENT ON INDEX instance_blob_once IS 'known, version: the row of a blob';
COMMENT ON TABLE instance IS 'Every version of every SOP Instance; only current ones are found.';
COMMENT ON COLUMN instance.reason IS
    'Why this version stands beside the first: encoding, content, or elsewhere (another study or series).';
COMMENT ON COLUMN instance.study_variant IS 'The hash of the study attributes this instance carries.';
COMMENT ON COLUMN instance.frames IS 'Number of Frames.';

CREATE TABLE instance_blob (
    instance_pk    bigint NOT NULL,
    header         bytea NOT NULL,
    payload_len    bigint NOT NULL,
    checksum       bytea NOT NULL,
    pixel_tag      text COLLATE "C",
    pixel_vr       text COLLATE "C",
    pixel_offset   bigint,
    pixel_length   bigint,
    frame_count    bigint,
    frame_table    bytea,
    bulk           bytea,
    group2         bytea NOT NULL,
    preamble       bytea NOT NULL,
    received_at    timestamptz NOT NULL,
    proto          text NOT NULL,
    calling_ae     text,
    called_ae      text,
    address        text,
    principal      text,
    charset        text NOT NULL,
    CONSTRAINT instance_blob_pkey PRIMARY KEY (instance_pk)
);
-- sealed bytes and tables of numbers: trying to compress them is work for nothing
ALTER TABLE instance_blob ALTER COLUMN frame_table SET STORAGE EXTERNAL;
ALTER TABLE instance_blob ALTER COLUMN header SET STORAGE EXTERNAL;
COMMENT ON TABLE instance_blob IS 'Where and how the bytes of an instance rest, and whence they came.';
COMMENT ON INDEX instance_blob_pkey IS 'locate: the facts of one instance, or of a series';

CREATE TABLE instance_json (
    instance_pk bigint NOT NULL,
    deriver     smallint NOT NULL,
    dict_id     integer NOT NULL DEFAULT 0,
    sealed      bytea NOT NULL,
    CONSTRAINT instance_json_pkey PRIMARY KEY (instance_pk)
) WITH (toast_tuple_target = 8160);
-- up to 8 KiB stay in the row: a series of 1000 is then one walk, not 1000 look-ups more
ALTER TABLE instance_json ALTER COLUMN sealed SET STORAGE EXTERNAL;
COMMENT ON TABLE instance_json IS 'The sealed DICOM JSON of an instance; rebuilt, never edited.';
COMMENT ON INDEX instance_json_pkey IS 'metadata: the sealed JSON of one instance, or of a series';

CREATE TABLE study_state (
    study_pk    bigint NOT NULL,
    instances   integer NOT NULL DEFAULT 0,
    series      integer NOT NULL DEFAULT 0,
    size        bigint NOT NULL DEFAULT 0,
    modalities  text[] COLLATE "C" NOT NULL DEFAULT '{}',
    sop_classes text[] COLLATE "C" NOT NULL DEFAULT '{}',
    first_us    bigint,
    first_blob  bytea,
    revision    bigint NOT NULL DEFAULT 0,
    changed_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT study_state_pkey PRIMARY KEY (study_pk),
    CONSTRAINT study_state_counts_are_not_negative
        CHECK (instances >= 0 AND series >= 0 AND size >= 0),
    CONSTRAINT study_state_study_fkey FOREIGN KEY (study_pk) REFERENCES study ON DELETE CASCADE
) WITH (fillfactor = 50);
COMMENT ON TABLE study_state IS
    'Counts of the current instances of a study; the last rows an ingest transaction locks.';
COMMENT ON COLUMN study_state.first_blob IS 'The first current instance: the study shows its attributes.';

CREATE TABLE series_state (
    series_pk   bigint NOT NULL,
    instances   integer NOT NULL DEFAULT 0,
    size        bigint NOT NULL DEFAULT 0,
    sop_classes text[] COLLATE "C" NOT NULL DEFAULT '{}',
    first_us    bigint,
    first_blob  bytea,
    revision    bigint NOT NULL DEFAULT 0,
    changed_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT series_state_pkey PRIMARY KEY (series_pk),
    CONSTRAINT series_state_counts_are_not_negative CHECK (instances >= 0 AND size >= 0),
    CONSTRAINT series_state_series_fkey
        FOREIGN KEY (series_pk) REFERENCES series ON DELETE CASCADE
) WITH (fillfactor = 50);
COMMENT ON TABLE series_state IS 'Counts of the current instances of a series.';

-- Registration. Functions, because a batch is one call: each statement in one sees what others have
-- committed before it, which one statement with many parts would not. Locks are taken in one order
-- everywhere: patient, study, series, instance, series_state, study_state; ascending within each.

CREATE FUNCTION show_study(of_study bigint, wanted bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO study_difference (
        study_pk, variant, patient_pk, issuer, patient_id, patient_name, patient_codes, birth_date,
        sex, study_date, study_time, accession, study_id, referring, referring_codes, description,
        fold_version, terms, answer)
    SELECT
        study_pk, variant, patient_pk, issuer, patient_id, patient_name, patient_codes, birth_date,
        sex, study_date, study_time, accession, study_id, referring, referring_codes, description,
        fold_version, terms, answer
    FROM study
    WHERE study_pk = of_study AND variant <> wanted
    ON CONFLICT DO NOTHING;

    UPDATE study s
    SET variant = d.variant, patient_pk = d.patient_pk, issuer = d.issuer,
        patient_id = d.patient_id, patient_name = d.patient_name, patient_codes = d.patient_codes,
        birth_date = d.birth_date, sex = d.sex, study_date = d.study_date,
        study_time = d.study_time, accession = d.accession, study_id = d.study_id,
        referring = d.referring, referring_codes = d.referring_codes, description = d.description,
        fold_version = d.fold_version, terms = d.terms, answer = d.answer
    FROM study_difference d
    WHERE s.study_pk = of_study AND d.study_pk = of_study AND d.variant = wanted;

    DELETE FROM study_difference WHERE study_pk = of_study AND variant = wanted;
END
$$;
COMMENT ON FUNCTION show_study IS
    'Exchange the attributes a study shows with recorded ones; the caller holds its state row.';

CREATE FUNCTION show_series(of_series bigint, wanted bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO series_difference (
        series_pk, variant, modality, series_number, description, body_part, laterality, step_date,
        step_time, fold_version, terms, answer)
    SELECT
        series_pk, variant, modality, series_number, description, body_part, laterality, step_date,
        step_time, fold_version, terms, answer
    FROM series
    WHERE series_pk = of_series AND variant <> wanted
    ON CONFLICT DO NOTHING;

    UPDATE series e
    SET variant = d.variant, modality = d.modality, series_number = d.series_number,
        description = d.description, body_part = d.body_part, laterality = d.laterality,
        step_date = d.step_date, step_time = d.step_time, fold_version = d.fold_version,
        terms = d.terms, answer = d.answer
    FROM series_difference d
    WHERE e.series_pk = of_series AND d.series_pk = of_series AND d.variant = wanted;

    DELETE FROM series_difference WHERE series_pk = of_series AND variant = wanted;
END
$$;
COMMENT ON FUNCTION show_series IS
    'Exchange the attributes a series shows with recorded ones; the caller holds its state row.';

CREATE FUNCTION count_study(of_study bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE study_state
    SET (series, modalities) = (
        SELECT count(*), COALESCE(
            array_agg(DISTINCT e.modality ORDER BY e.modality) FILTER (WHERE e.modality <> ''), '{}')
        FROM series e
        JOIN series_state r USING (series_pk)
        WHERE e.study_pk = of_study AND r.instances > 0)
    WHERE study_pk = of_study;
END
$$;
COMMENT ON FUNCTION count_study IS
    'Count series and modalities anew; the caller holds the state row, so all others are committed.';

CREATE FUNCTION count_into_series(
    of_series bigint, more integer, bytes bigint, classes text[], us bigint, blob bytea,
    carries bigint)
    RETURNS boolean
    LANGUAGE plpgsql
    AS $$
DECLARE
    is_fresh boolean;
    leads    boolean;
BEGIN
    UPDATE series_state r
    SET instances = r.instances + more,
        size = r.size + bytes,
        sop_classes = CASE WHEN r.sop_classes @> classes THEN r.sop_classes
            ELSE sorted_union(r.sop_classes, classes) END,
        first_us = CASE WHEN (r.first_us, r.first_blob) <= (us, blob) THEN r.first_us ELSE us END,
        first_blob = CASE WHEN (r.first_us, r.first_blob) <= (us, blob)
            THEN r.first_blob ELSE blob END,
        revision = r.revision + 1,
        changed_at = now()
    WHERE r.series_pk = of_series
    RETURNING r.instances = more, r.first_blob = blob
    INTO is_fresh, leads;
    IF leads AND EXISTS (
        SELECT FROM series e WHERE e.series_pk = of_series AND e.variant <> carries)
    THEN
        PERFORM show_series(of_series, carries);
        RETURN true;
    END IF;
    RETURN is_fresh;
END
$$;
COMMENT ON FUNCTION count_into_series IS
    'Count new instances into a series; true when the study must count its series anew.';

CREATE FUNCTION count_into_study(
    of_study bigint, more integer, bytes bigint, classes text[], us bigint, blob bytea,
    carries bigint, anew boolean)
    RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    leads boolean;
BEGIN
    UPDATE study_state t
    SET instances = t.instances + more,
        size = t.size + bytes,
        sop_classes = CASE WHEN t.sop_classes @> classes THEN t.sop_classes
            ELSE sorted_union(t.sop_classes, classes) END,
        first_us = CASE WHEN (t.first_us, t.first_blob) <= (us, blob) THEN t.first_us ELSE us END,
        first_blob = CASE WHEN (t.first_us, t.first_blob) <= (us, blob)
            THEN t.first_blob ELSE blob END,
        revision = t.revision + 1,
        changed_at = now()
    WHERE t.study_pk = of_study
    RETURNING t.first_blob = blob
    INTO leads;
    IF leads AND EXISTS (SELECT FROM study s WHERE s.study_pk = of_study AND s.variant <> carries)
    THEN
        PERFORM show_study(of_study, carries);
    END IF;
    IF anew THEN
        PERFORM count_study(of_study);
    END IF;
END
$$;
COMMENT ON FUNCTION count_into_study IS 'Count new instances into a study.';

CREATE FUNCTION sorted_union(held text[], more text[]) RETURNS text[]
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT array_agg(DISTINCT u COLLATE "C" ORDER BY u COLLATE "C") FROM unnest(held || more) AS u
$$;

-- One instance as it is handed in: the UIDs of its place, the hashes of the attributes it carries for
-- its study and series, and the columns of its rows. vna/index/batch.py packs it field by field.
CREATE TYPE registration AS (
    study_uid text, study_variant bigint, series_uid text, series_variant bigint,
    sop_uid text, sop_class text, syntax text, created_us bigint, blob_id bytea, digest bytea,
    key_id bytea, key_version integer, size bigint,
    number bigint, content_date date, content_time time, image_rows bigint, image_columns bigint,
    bits bigint, frames bigint, flags text, terms text, answer text,
    header bytea, payload_len bigint, checksum bytea, pixel_tag text, pixel_vr text,
    pixel_offset bigint, pixel_length bigint, frame_count bigint, frame_table bytea, bulk bytea,
    group2 bytea, preamble bytea, received_at timestamptz, proto text, calling_ae text,
    called_ae text, address text, principal text, charset text, sealed bytea, deriver smallint,
    actor_kind text
);

CREATE FUNCTION register_instances(
    items registration[], as_version text, act text,
    OUT known boolean, OUT refused bigint[], OUT differing bigint[])
    LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    AS $$
#variable_conflict use_column
DECLARE
    item     registration;
    above    record;
    last     registration;
    n        bigint := 0;
    pk       bigint;
    studies  bigint[];
    serieses bigint[];
    inserted bigint[];
    anew     bigint[];
BEGIN
    known := false;
    FOREACH item IN ARRAY items LOOP
        n := n + 1;
        IF n = 1 OR (item.study_uid, item.series_uid, item.study_variant, item.series_variant)
            <> (last.study_uid, last.series_uid, last.study_variant, last.series_variant)
        THEN
            last := item;
            SELECT s.study_pk, e.series_pk, s.variant AS study_shows, e.variant AS series_shows,
                   s.variant = item.study_variant AND e.variant = item.series_variant AS is_alike
            INTO above
            FROM study s
            JOIN series e USING (study_pk)
            WHERE s.study_uid = item.study_uid AND e.series_uid = item.series_uid;
            IF NOT FOUND THEN
                RETURN;
            END IF;
            IF NOT above.is_alike AND (
                above.study_shows <> item.study_variant AND NOT EXISTS (
                    SELECT FROM study_difference d
                    WHERE d.study_pk = above.study_pk AND d.variant = item.study_variant)
                OR above.series_shows <> item.series_variant AND NOT EXISTS (
                    SELECT FROM series_difference d
                    WHERE d.series_pk = above.series_pk AND d.variant = item.series_variant))
            THEN
                RETURN;
            END IF;
        END IF;
        studies[n] := above.study_pk;
        serieses[n] := above.series_pk;
        IF NOT above.is_alike THEN
            differing := differing || n;
        END IF;
    END LOOP;
    known := true;

    n := 0;
    FOREACH item IN ARRAY items LOOP
        n := n + 1;
        INSERT INTO instance (
            series_pk, sop_instance_uid, current, reason, created_us, blob_id, digest, key_id,
            key_version, size, study_variant, series_variant, sop_class_uid, transfer_syntax_uid,
            instance_number, content_date, content_time, image_rows, image_columns, bits_allocated,
            frames, flags, terms, answer)
        VALUES (
            serieses[n], item.sop_uid, as_version IS NULL, COALESCE(as_version, ''),
            item.created_us, item.blob_id, item.digest, item.key_id, item.key_version, item.size,
            item.study_variant, item.series_variant, item.sop_class, item.syntax, item.number,
            item.content_date, item.content_time, item.image_rows, item.image_columns, item.bits,
            item.frames, string_to_array(item.flags, ' '), item.terms::jsonb, item.answer)
        ON CONFLICT DO NOTHING
        RETURNING instance_pk INTO pk;
        IF pk IS NULL THEN
            refused := refused || n;
            CONTINUE;
        END IF;
        INSERT INTO instance_blob (
            instance_pk, header, payload_len, checksum, pixel_tag, pixel_vr, pixel_offset,
            pixel_length, frame_count, frame_table, bulk, group2, preamble, received_at, proto,
            calling_ae, called_ae, address, principal, charset)
        VALUES (
            pk, item.header, item.payload_len, item.checksum, item.pixel_tag, item.pixel_vr,
            item.pixel_offset, item.pixel_length, item.frame_count, item.frame_table, item.bulk,
            item.group2, item.preamble, item.received_at, item.proto, item.calling_ae,
            item.called_ae, item.address, item.principal, item.charset);
        IF item.sealed IS NOT NULL THEN
            INSERT INTO instance_json (instance_pk, deriver, sealed)
            VALUES (pk, item.deriver, item.sealed);
        END IF;
        IF act IS NOT NULL THEN
            INSERT INTO audit (
                kind, outcome, principal, actor_kind, address, study, series, instance, detail)
            VALUES (
                act, 'stored', item.principal, item.actor_kind, item.address, item.study_uid,
                item.series_uid, item.sop_uid,
                jsonb_build_object(
                    'proto', item.proto, 'blob', encode(item.blob_id, 'hex'), 'size', item.size));
        END IF;
        inserted := inserted || n;
    END LOOP;
    IF inserted IS NULL OR as_version IS NOT NULL THEN
        RETURN;
    END IF;

    IF n = 1 THEN
        PERFORM count_into_study(
            studies[1], 1, item.size, ARRAY[item.sop_class], item.created_us, item.blob_id,
            item.study_variant, count_into_series(
                serieses[1], 1, item.size, ARRAY[item.sop_class], item.created_us, item.blob_id,
                item.series_variant));
        RETURN;
    END IF;
    FOR above IN
        SELECT serieses[i] AS series_pk, min(studies[i]) AS study_pk, count(*)::integer AS more,
               sum((items[i]).size)::bigint AS size, array_agg(DISTINCT (items[i]).sop_class) AS classes,
               (array_agg(i ORDER BY (items[i]).created_us, (items[i]).blob_id))[1] AS first
        FROM unnest(inserted) AS i
        GROUP BY 1
        ORDER BY 1
    LOOP
        item := items[above.first];
        IF count_into_series(
            above.series_pk, above.more, above.size, above.classes, item.created_us, item.blob_id,
            item.series_variant)
        THEN
            anew := anew || above.study_pk;
        END IF;
    END LOOP;
    FOR above IN
        SELECT studies[i] AS study_pk, count(*)::integer AS more,
               sum((items[i]).size)::bigint AS size, array_agg(DISTINCT (items[i]).sop_class) AS classes,
               (array_agg(i ORDER BY (items[i]).created_us, (items[i]).blob_id))[1] AS first
        FROM unnest(inserted) AS i
        GROUP BY 1
        ORDER BY 1
    LOOP
        item := items[above.first];
        PERFORM count_into_study(
            above.study_pk, above.more, above.size, above.classes, item.created_us, item.blob_id,
            item.study_variant, COALESCE(above.study_pk = ANY (anew), false));
    END LOOP;
END
$$;
COMMENT ON FUNCTION register_instances IS
    'Insert one batch of current instances into known series and count them. known is false, and '
    'nothing was done, when a study, a series or attributes of one are new. Instances listed as '
    'refused meet a version of theirs that is there already. With as_version, the reason, they '
    'go in as versions that are not current and not counted. With act each one inserted is written '
    'into the audit trail as that kind of act.';

CREATE FUNCTION recount(of_series bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    one bigint;
    first record;
BEGIN
    FOR one IN SELECT DISTINCT u FROM unnest(of_series) AS u ORDER BY u LOOP
        PERFORM FROM series_state WHERE series_pk = one FOR UPDATE;
        SELECT i.series_variant,
               CASE WHEN i.current THEN i.created_us END AS created_us,
               CASE WHEN i.current THEN i.blob_id END AS blob_id
        INTO first
        FROM instance i
        WHERE i.series_pk = one
        ORDER BY i.current DESC, i.created_us, i.blob_id
        LIMIT 1;
        UPDATE series_state
        SET (instances, size, sop_classes, first_us, first_blob) = (
                SELECT count(*), COALESCE(sum(i.size), 0),
                       COALESCE(array_agg(DISTINCT i.sop_class_uid ORDER BY i.sop_class_uid), '{}'),
                       first.created_us, first.blob_id
                FROM instance i
                WHERE i.series_pk = one AND i.current),
            revision = revision + 1,
            changed_at = now()
        WHERE series_pk = one;
        PERFORM show_series(one, first.series_variant);
    END LOOP;
    FOR one IN
        SELECT DISTINCT e.study_pk FROM series e WHERE e.series_pk = ANY (of_series) ORDER BY 1
    LOOP
        PERFORM FROM study_state WHERE study_pk = one FOR UPDATE;
        SELECT i.study_variant,
               CASE WHEN i.current THEN i.created_us END AS created_us,
               CASE WHEN i.current THEN i.blob_id END AS blob_id
        INTO first
        FROM instance i
        JOIN series e USING (series_pk)
        WHERE e.study_pk = one
        ORDER BY i.current DESC, i.created_us, i.blob_id
        LIMIT 1;
        UPDATE study_state
        SET (instances, size, sop_classes, first_us, first_blob) = (
                SELECT count(*), COALESCE(sum(i.size), 0),
                       COALESCE(array_agg(DISTINCT i.sop_class_uid ORDER BY i.sop_class_uid), '{}'),
                       first.created_us, first.blob_id
                FROM instance i
                JOIN series e USING (series_pk)
                WHERE e.study_pk = one AND i.current),
            revision = revision + 1,
            changed_at = now()
        WHERE study_pk = one;
        PERFORM show_study(one, first.study_variant);
        PERFORM count_study(one);
    END LOOP;
END
$$;
COMMENT ON FUNCTION recount IS
    'Count series and their studies from their instances, after the current version of one changed.';

CREATE FUNCTION locate_instance(in_study text, in_series text, sop_uid text)
    RETURNS TABLE (
        sop_instance_uid text, sop_class_uid text, transfer_syntax_uid text, blob_id bytea,
        header bytea, payload_len bigint, digest bytea, size bigint, key_id bytea,
        key_version integer, instance_number bigint, frame_count bigint, pixel_tag text,
        pixel_vr text, pixel_offset bigint, pixel_length bigint, bulk bytea, group2 bytea,
        preamble bytea, changed_at timestamptz, frame_table bytea)
    LANGUAGE plpgsql STABLE ROWS 1
    SET plan_cache_mode = force_generic_plan
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT
        i.sop_instance_uid, i.sop_class_uid, i.transfer_syntax_uid, i.blob_id, b.header,
        b.payload_len, i.digest, i.size, i.key_id, i.key_version, i.instance_number,
        b.frame_count, b.pixel_tag, b.pixel_vr, b.pixel_offset, b.pixel_length, b.bulk, b.group2,
        b.preamble, i.changed_at, b.frame_table
    FROM instance i
    JOIN series e USING (series_pk)
    JOIN study s USING (study_pk)
    JOIN instance_blob b USING (instance_pk)
    WHERE i.sop_instance_uid = sop_uid AND i.current
        AND s.study_uid = in_study AND e.series_uid = in_series;
END
$$;
COMMENT ON FUNCTION locate_instance IS
    'The current version of an instance with its frame table. A function for its plan, made once: '
    'connections for reading plan each search for its values, and a frame is asked for every ms.';

-- Imports: what comes in on a disc, by a link or from a guest, and waits in quarantine until a person
-- has said whose it is. New tables only, so nothing is locked.

CREATE TABLE import_batch (
    import_pk  bigint GENERATED ALWAYS AS IDENTITY,
    batch_id   uuid        NOT NULL,
    source     text        NOT NULL,
    state      text        NOT NULL DEFAULT 'receiving',
    made_by    text        NOT NULL,
    note       text        NOT NULL DEFAULT '',
    made_at    timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    ends_at    timestamptz NOT NULL,
    expected   integer,
    decided_by text,
    reason     text        NOT NULL DEFAULT '',
    filed      integer     NOT NULL DEFAULT 0,
    removed    integer     NOT NULL DEFAULT 0,
    CONSTRAINT import_batch_pkey PRIMARY KEY (import_pk),
    CONSTRAINT import_batch_id_once UNIQUE (batch_id),
    CONSTRAINT import_batch_source_is_one CHECK (source IN ('desk', 'request', 'guest')),
    CONSTRAINT import_batch_state_is_one CHECK (state IN
        ('receiving', 'needs_identity', 'confirmed', 'filed', 'rejected', 'purged')),
    CONSTRAINT import_batch_note_is_short CHECK (length(note) <= 200),
    CONSTRAINT import_batch_reason_is_short CHECK (length(reason) <= 400),
    CONSTRAINT import_batch_decided_by_somebody CHECK
        (decided_by IS NOT NULL OR state IN ('receiving', 'needs_identity')),
    CONSTRAINT import_batch_counts CHECK (filed >= 0 AND removed >= 0 AND expected >= 0)
);
COMMENT ON TABLE import_batch IS 'One disc, one answer to a request, one parcel of a guest.';
COMMENT ON COLUMN import_batch.batch_id IS 'Stands in the meta of every blob of it, and in the journal when it is let out.';
COMMENT ON COLUMN import_batch.note IS 'Where it came from, in the words of who began it.';
COMMENT ON COLUMN import_batch.ends_at IS 'Undecided by then, it is rejected.';
COMMENT ON COLUMN import_batch.expected IS 'How many files its sender said there are.';
CREATE INDEX import_batch_open ON import_batch (state, import_pk) WHERE state NOT IN ('filed', 'purged');
COMMENT ON INDEX import_batch_open IS 'desk: what waits; upkeep: what is over its time';

CREATE TABLE import_file (
    file_pk            bigint GENERATED ALWAYS AS IDENTITY,
    import_pk          bigint NOT NULL,
    mark               text COLLATE "C",
    name               text   NOT NULL,
    size               bigint NOT NULL,
    result             text   NOT NULL,
    reason             text   NOT NULL DEFAULT '',
    kind               text,
    is_chosen          boolean NOT NULL DEFAULT true,
    blob_id            bytea,
    key_id             bytea,
    digest             bytea,
    study_uid          text COLLATE "C",
    series_uid         text COLLATE "C",
    sop_instance_uid   text COLLATE "C",
    sop_class_uid      text COLLATE "C",
    person             text COLLATE "C",
    patient_name       text,
    patient_id         text,
    birth_date         text,
    sex                text,
    study_date         text,
    study_description  text,
    series_description text,
    modality           text,
    CONSTRAINT import_file_pkey PRIMARY KEY (file_pk),
    CONSTRAINT import_file_batch_fkey
        FOREIGN KEY (import_pk) REFERENCES import_batch ON DELETE CASCADE,
    CONSTRAINT import_file_result_is_one CHECK (result IN
        ('kept', 'filed', 'removed', 'twice', 'opened', 'other', 'document', 'bad')),
    CONSTRAINT import_file_kind_is_one CHECK (kind IN ('image', 'report', 'object')),
    CONSTRAINT import_file_mark_is_a_digest CHECK (mark ~ '^[0-9a-f]{32}$'),
    CONSTRAINT import_file_name_is_short CHECK (length(name) <= 400),
    CONSTRAINT import_file_reason_is_short CHECK (length(reason) <= 400),
    CONSTRAINT import_file_size_is_one CHECK (size >= 0),
    CONSTRAINT import_file_kept_is_an_object CHECK (result <> 'kept' OR
        num_nulls(blob_id, key_id, digest, kind, person, study_uid, series_uid,
                  sop_instance_uid, sop_class_uid) = 0),
    CONSTRAINT import_file_only_kept_has_a_blob CHECK (blob_id IS NULL OR result IN ('kept', 'filed')),
    CONSTRAINT import_file_bad_has_a_reason CHECK (result <> 'bad' OR reason <> '')
);
COMMENT ON TABLE import_file IS 'Every file of an import, and what became of it.';
COMMENT ON COLUMN import_file.mark IS 'Names the file to its sender, who asks which are there already.';
COMMENT ON COLUMN import_file.name IS 'Shown to people, used for nothing; gone with the import.';
COMMENT ON COLUMN import_file.result IS 'kept: in quarantine; opened: a ZIP or ISO whose files stand beside it; other: no DICOM.';
COMMENT ON COLUMN import_file.person IS 'Digest of folded name, birth date and Patient ID: one a person as written.';
CREATE UNIQUE INDEX import_file_by_blob ON import_file (blob_id) WHERE blob_id IS NOT NULL;
COMMENT ON INDEX import_file_by_blob IS 'recovery: a blob without a row that must stay without';
CREATE UNIQUE INDEX import_file_mark_once ON import_file (import_pk, mark) WHERE mark IS NOT NULL;
COMMENT ON INDEX import_file_mark_once IS 'what of an upload is there already';
CREATE UNIQUE INDEX import_file_object_once
    ON import_file (import_pk, sop_instance_uid, digest) WHERE result = 'kept';
COMMENT ON INDEX import_file_object_once IS 'the same object twice on one disc';
CREATE INDEX import_file_by_result ON import_file (import_pk, result, file_pk);
COMMENT ON INDEX import_file_by_result IS 'desk: what was found, and what could not be read';

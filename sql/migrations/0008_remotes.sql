-- Remote AEs: who may call, what they may do, and where they are called. New tables only, so
-- nothing is locked.

CREATE TABLE remote (
    ae_title          text COLLATE "C" NOT NULL,
    host              text             NOT NULL,
    port              integer          NOT NULL,
    tls               boolean          NOT NULL DEFAULT false,
    may_store         boolean          NOT NULL DEFAULT true,
    may_find          boolean          NOT NULL DEFAULT true,
    may_move          boolean          NOT NULL DEFAULT true,
    destinations      text[] COLLATE "C",
    character_set     text COLLATE "C",
    transfer_syntaxes text[] COLLATE "C" NOT NULL DEFAULT '{}',
    patient_id_issuer text COLLATE "C",
    max_associations  integer          NOT NULL DEFAULT 0,
    parallel          integer          NOT NULL DEFAULT 1,
    changed_at        timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT remote_pkey PRIMARY KEY (ae_title),
    -- PS3.5 6.2 AE: the default repertoire but backslash and control characters; spaces around it
    -- say nothing, so they are not kept
    CONSTRAINT remote_ae_title_is_one
        CHECK (ae_title ~ '^[ -\[\]-~]{1,16}$' AND ae_title = btrim(ae_title)),
    CONSTRAINT remote_host_is_known CHECK (host ~ '^[!-~]{1,255}$'),
    CONSTRAINT remote_port_is_one CHECK (port BETWEEN 1 AND 65535),
    CONSTRAINT remote_transfer_syntaxes_are_known
        CHECK (array_position(transfer_syntaxes, NULL) IS NULL),
    CONSTRAINT remote_destinations_are_known CHECK (array_position(destinations, NULL) IS NULL),
    CONSTRAINT remote_character_set_is_a_term
        CHECK (character_set ~ '^[A-Z0-9_ \\]{1,64}$'),
    CONSTRAINT remote_issuer_is_known CHECK (patient_id_issuer ~ '^[^\s\\]([^\\\n]{0,62}[^\s\\])?$'),
    CONSTRAINT remote_max_associations_is_a_count CHECK (max_associations BETWEEN 0 AND 65535),
    CONSTRAINT remote_parallel_is_a_count CHECK (parallel BETWEEN 1 AND 16)
);

COMMENT ON TABLE remote IS 'A remote AE: who may call with which rights, and where it is called.';
COMMENT ON COLUMN remote.destinations IS 'AE titles it may name in C-MOVE; NULL: any registered one.';
COMMENT ON COLUMN remote.character_set IS 'Specific Character Set it wants in answers; NULL: its own.';
COMMENT ON COLUMN remote.transfer_syntaxes IS 'What it wants to be sent, best first; empty: as stored.';
COMMENT ON COLUMN remote.patient_id_issuer IS 'Assigning authority of the Patient IDs it sends.';
COMMENT ON COLUMN remote.max_associations IS 'It may have open with us; 0: what the settings say.';
COMMENT ON COLUMN remote.parallel IS 'Associations we may open to it at a time for one piece of work.';

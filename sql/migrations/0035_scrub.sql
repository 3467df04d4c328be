-- How far the walk is that reads every blob again from time to time, and what it found damaged. New
-- tables only, so nothing is locked.

CREATE TABLE scrub (
    only_one boolean     NOT NULL DEFAULT true,
    begun_at timestamptz NOT NULL DEFAULT now(),
    reached  bytea       NOT NULL DEFAULT '',
    checked  bigint      NOT NULL DEFAULT 0,
    ended_at timestamptz,
    whole_at timestamptz,
    CONSTRAINT scrub_pkey PRIMARY KEY (only_one),
    CONSTRAINT scrub_only_one CHECK (only_one),
    CONSTRAINT scrub_reached_nothing_or_a_blob CHECK (octet_length(reached) IN (0, 16)),
    CONSTRAINT scrub_ends_after_it_began CHECK (ended_at >= begun_at)
);
COMMENT ON TABLE scrub IS 'The walk over all blobs in the order of their ids: one row once it began.';
COMMENT ON COLUMN scrub.reached IS 'The blob that was read last; empty at the beginning of a walk.';
COMMENT ON COLUMN scrub.ended_at IS 'When this walk came to its end; NULL while it is under way.';
COMMENT ON COLUMN scrub.whole_at IS 'When the walk before it came to its end.';

CREATE TABLE damage (
    blob_id   bytea       NOT NULL,
    why       text        NOT NULL,
    found_at  timestamptz NOT NULL DEFAULT now(),
    looked_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT damage_pkey PRIMARY KEY (blob_id),
    CONSTRAINT damage_blob_id_is_an_id CHECK (octet_length(blob_id) = 16),
    CONSTRAINT damage_why_is_known CHECK (why IN ('missing', 'damaged', 'unopened'))
);
COMMENT ON TABLE damage IS
    'Blobs of the catalogue that cannot be read: noted when found, forgotten when they are whole again.';
COMMENT ON COLUMN damage.why IS
    'The blob is not there, its bytes are not those that were written, or no key opens it.';

-- Guests served by a process without the archive's keys: it opens a blob by the key its share holds.
-- share_item is read once and locked against writing while its index is built: a second or so for a
-- million shared images.

CREATE INDEX share_item_by_blob ON share_item (blob_id, share_id);
COMMENT ON INDEX share_item_by_blob IS 'the data key of a blob, by the shares that are open';

CREATE TABLE share_later_key (
    share_id bigint NOT NULL,
    blob_id  bytea  NOT NULL,
    data_key bytea  NOT NULL,
    CONSTRAINT share_later_key_pkey PRIMARY KEY (blob_id, share_id),
    CONSTRAINT share_later_key_is_wrapped CHECK (octet_length(data_key) = 40),
    CONSTRAINT share_later_key_share_fkey
        FOREIGN KEY (share_id) REFERENCES share ON DELETE CASCADE
);
COMMENT ON TABLE share_later_key IS
    'Data keys under a share''s key, of what a share shows although it came later: added reports, versions that became current. Written when first looked at; may be emptied at any time.';
COMMENT ON INDEX share_later_key_pkey IS 'the data key of a blob, by the shares that are open';
CREATE INDEX share_later_key_by_share ON share_later_key (share_id);
COMMENT ON INDEX share_later_key_by_share IS 'the end of a share';

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

-- A role that is not the archive's own sees of the catalogue what shares may show whose holders are
-- here: with a session behind the door. The owner of these tables, which the archive works as, is not
-- asked; nor does it pay for this.
CREATE FUNCTION is_shared(uid text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path FROM CURRENT
    AS $$
    SELECT EXISTS (
        SELECT FROM share s
          JOIN share_grant g USING (share_id)
          JOIN share_session x USING (grant_id)
         WHERE s.studies @> ARRAY[uid]
           AND s.state IN ('sent', 'verified', 'active') AND s.ends_at > now()
           AND x.level = 1 AND x.ends_at > now())
$$;
COMMENT ON FUNCTION is_shared IS 'Whether a study is part of a share somebody has opened and not left.';
ALTER TABLE study ENABLE ROW LEVEL SECURITY;
CREATE POLICY study_is_shared ON study FOR SELECT USING (is_shared(study_uid));
COMMENT ON POLICY study_is_shared ON study IS 'Who is not the archive sees studies of open shares only.';
ALTER TABLE series ENABLE ROW LEVEL SECURITY;
CREATE POLICY series_is_shared ON series FOR SELECT
    USING (EXISTS (SELECT FROM study s WHERE s.study_pk = series.study_pk));
COMMENT ON POLICY series_is_shared ON series IS 'The same for their series.';
ALTER TABLE instance ENABLE ROW LEVEL SECURITY;
CREATE POLICY instance_is_shared ON instance FOR SELECT
    USING (EXISTS (SELECT FROM series e WHERE e.series_pk = instance.series_pk));
COMMENT ON POLICY instance_is_shared ON instance IS 'The same for their instances.';
ALTER TABLE study_difference ENABLE ROW LEVEL SECURITY;
CREATE POLICY study_difference_is_shared ON study_difference FOR SELECT
    USING (EXISTS (SELECT FROM study s WHERE s.study_pk = study_difference.study_pk));
COMMENT ON POLICY study_difference_is_shared ON study_difference IS 'The same for what is kept of studies beside them.';
ALTER TABLE study_extra ENABLE ROW LEVEL SECURITY;
CREATE POLICY study_extra_is_shared ON study_extra FOR SELECT
    USING (EXISTS (SELECT FROM study s WHERE s.study_pk = study_extra.study_pk));
COMMENT ON POLICY study_extra_is_shared ON study_extra IS 'The same for what is kept of studies beside them.';
ALTER TABLE study_state ENABLE ROW LEVEL SECURITY;
CREATE POLICY study_state_is_shared ON study_state FOR SELECT
    USING (EXISTS (SELECT FROM study s WHERE s.study_pk = study_state.study_pk));
COMMENT ON POLICY study_state_is_shared ON study_state IS 'The same for what is kept of studies beside them.';
ALTER TABLE series_difference ENABLE ROW LEVEL SECURITY;
CREATE POLICY series_difference_is_shared ON series_difference FOR SELECT
    USING (EXISTS (SELECT FROM series e WHERE e.series_pk = series_difference.series_pk));
COMMENT ON POLICY series_difference_is_shared ON series_difference IS 'The same for what is kept of series beside them.';
ALTER TABLE series_extra ENABLE ROW LEVEL SECURITY;
CREATE POLICY series_extra_is_shared ON series_extra FOR SELECT
    USING (EXISTS (SELECT FROM series e WHERE e.series_pk = series_extra.series_pk));
COMMENT ON POLICY series_extra_is_shared ON series_extra IS 'The same for what is kept of series beside them.';
ALTER TABLE series_state ENABLE ROW LEVEL SECURITY;
CREATE POLICY series_state_is_shared ON series_state FOR SELECT
    USING (EXISTS (SELECT FROM series e WHERE e.series_pk = series_state.series_pk));
COMMENT ON POLICY series_state_is_shared ON series_state IS 'The same for what is kept of series beside them.';
ALTER TABLE instance_extra ENABLE ROW LEVEL SECURITY;
CREATE POLICY instance_extra_is_shared ON instance_extra FOR SELECT
    USING (EXISTS (SELECT FROM instance i WHERE i.instance_pk = instance_extra.instance_pk));
COMMENT ON POLICY instance_extra_is_shared ON instance_extra IS 'The same for instances.';
ALTER TABLE study_overlay ENABLE ROW LEVEL SECURITY;
CREATE POLICY study_overlay_is_shared ON study_overlay FOR SELECT USING (is_shared(study_uid));
COMMENT ON POLICY study_overlay_is_shared ON study_overlay IS 'The same for what was corrected.';

-- What such a role leaves for others to do is of these sorts only, and in its own name.
ALTER TABLE audit ENABLE ROW LEVEL SECURITY;
CREATE POLICY audit_of_guests ON audit FOR INSERT WITH CHECK (actor_kind = 'share');
COMMENT ON POLICY audit_of_guests ON audit IS 'Who serves guests writes acts of guests, and reads none.';
ALTER TABLE job ENABLE ROW LEVEL SECURITY;
CREATE POLICY job_of_guests ON job
    USING (kind IN ('notify', 'tell')) WITH CHECK (kind IN ('notify', 'tell'));
COMMENT ON POLICY job_of_guests ON job IS 'Acts of guests send messages and tell programs; nothing else.';
ALTER TABLE message ENABLE ROW LEVEL SECURITY;
CREATE POLICY message_of_guests ON message
    USING (template IN ('code', 'invitation', 'opened', 'locked', 'not-me'))
    WITH CHECK (
        template IN ('code', 'invitation', 'opened', 'locked', 'not-me')
        AND webhook_id IS NULL AND account_id IS NULL);
COMMENT ON POLICY message_of_guests ON message IS 'The messages that acts of guests send.';
ALTER TABLE share_grant ENABLE ROW LEVEL SECURITY;
CREATE POLICY share_grant_is_read ON share_grant FOR SELECT USING (true);
COMMENT ON POLICY share_grant_is_read ON share_grant IS 'A link may be of any grant.';
CREATE POLICY share_grant_is_counted ON share_grant FOR UPDATE USING (true);
COMMENT ON POLICY share_grant_is_counted ON share_grant IS 'Opened, tried, ended.';
CREATE POLICY share_grant_is_forwarded ON share_grant FOR INSERT
    WITH CHECK (parent_id IS NOT NULL);
COMMENT ON POLICY share_grant_is_forwarded ON share_grant IS 'Guests give on; they do not share.';

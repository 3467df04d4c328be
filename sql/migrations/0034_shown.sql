-- What is needed to show an instance, in one question: where it is, its frames, its sealed JSON.
-- New functions only, so nothing is locked.

CREATE FUNCTION locate_shown(in_study text, in_series text, sop_uid text)
    RETURNS TABLE (
        sop_instance_uid text, sop_class_uid text, transfer_syntax_uid text, blob_id bytea,
        header bytea, payload_len bigint, digest bytea, size bigint, key_id bytea,
        key_version integer, instance_number bigint, frame_count bigint, pixel_tag text,
        pixel_vr text, pixel_offset bigint, pixel_length bigint, bulk bytea, group2 bytea,
        preamble bytea, changed_at timestamptz, frame_table bytea, sealed bytea, deriver smallint)
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
        b.preamble, i.changed_at, b.frame_table, j.sealed, j.deriver
    FROM instance i
    JOIN series e USING (series_pk)
    JOIN study s USING (study_pk)
    JOIN instance_blob b USING (instance_pk)
    LEFT JOIN instance_json j USING (instance_pk)
    WHERE i.sop_instance_uid = sop_uid AND i.current
        AND s.study_uid = in_study AND e.series_uid = in_series;
END
$$;
COMMENT ON FUNCTION locate_shown IS
    'As locate_instance, with the sealed JSON an image''s looks are read from.';

CREATE FUNCTION sealed_instance(in_study text, in_series text, sop_uid text)
    RETURNS TABLE (
        sop_instance_uid text, blob_id bytea, key_id bytea, key_version integer, sealed bytea,
        deriver smallint)
    LANGUAGE plpgsql STABLE ROWS 1
    SET plan_cache_mode = force_generic_plan
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT i.sop_instance_uid, i.blob_id, i.key_id, i.key_version, j.sealed, j.deriver
    FROM instance i
    JOIN series e USING (series_pk)
    JOIN study s USING (study_pk)
    LEFT JOIN instance_json j USING (instance_pk)
    WHERE i.sop_instance_uid = sop_uid AND i.current
        AND s.study_uid = in_study AND e.series_uid = in_series;
END
$$;
COMMENT ON FUNCTION sealed_instance IS
    'The sealed JSON of an instance. A function for its plan, made once.';

-- name: held_instances
-- The current versions of some SOP Instance UIDs, wherever they are at home.
SELECT
    s.study_uid, e.series_uid, i.sop_instance_uid, i.sop_class_uid, i.blob_id, b.header,
    b.payload_len, i.digest
FROM instance i
JOIN series e USING (series_pk)
JOIN study s USING (study_pk)
JOIN instance_blob b USING (instance_pk)
WHERE i.sop_instance_uid = ANY (%s) AND i.current;

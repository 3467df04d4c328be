-- name: put_hold
-- Hold a study; what an earlier hold of it said is replaced.
INSERT INTO study_hold (study_uid, until, reason, set_by, set_at)
VALUES (%(study)s, %(until)s, %(reason)s, %(by)s, %(at)s)
ON CONFLICT (study_uid) DO UPDATE
   SET until = EXCLUDED.until, reason = EXCLUDED.reason, set_by = EXCLUDED.set_by,
       set_at = EXCLUDED.set_at;

-- name: drop_hold
-- Let a study go; nothing comes back when it was not held.
DELETE FROM study_hold
 WHERE study_uid = %s
RETURNING study_uid;

-- name: list_holds
-- The hold of one study, or the newest of all with none named.
SELECT study_uid, until, reason, set_by, set_at
  FROM study_hold
 WHERE %(study)s::text IS NULL OR study_uid = %(study)s
 ORDER BY set_at DESC, study_uid
 LIMIT %(most)s;

-- name: is_held
-- Whether nothing of a study may be deleted now.
SELECT EXISTS (SELECT FROM held_study WHERE study_uid = %s);

-- name: change_holds
-- Nobody holds a study, lets one go, or deletes of one, until this transaction is over.
LOCK TABLE study_hold IN SHARE ROW EXCLUSIVE MODE;

-- name: rely_on_holds
-- Nobody holds a study or lets one go until this transaction is over; any number may rely on it.
LOCK TABLE study_hold IN ROW EXCLUSIVE MODE;

-- name: clear_holds
-- Forget all holds, before they are read back from the journal.
DELETE FROM study_hold;

-- name: deleted_of
-- How many objects of a study were deleted and are not being destroyed.
SELECT count(DISTINCT d.blob_id)
  FROM deleted_instance d
  JOIN deletion o USING (deletion_id)
 WHERE d.study_uid = %s AND o.purging_at IS NULL;

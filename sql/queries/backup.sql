-- name: find_needed_blobs
-- Which of these blobs can be found, or brought back, or wait in quarantine.
SELECT blob_id
  FROM instance
 WHERE blob_id = ANY (%(ids)s)
UNION
SELECT d.blob_id
  FROM deleted_instance d
  JOIN deletion o USING (deletion_id)
 WHERE d.blob_id = ANY (%(ids)s) AND o.purging_at IS NULL
UNION
SELECT blob_id
  FROM import_file
 WHERE blob_id = ANY (%(ids)s) AND result IN ('kept', 'document');

-- name: walk_needed_blobs
-- The blobs behind one, in order of their ids, that can be found, or brought back, or wait in quarantine;
-- each with the key it is sealed under.
(SELECT blob_id, key_id
   FROM instance
  WHERE blob_id > %(after)s
  ORDER BY blob_id
  LIMIT %(most)s)
UNION
(SELECT d.blob_id, d.key_id
   FROM deleted_instance d
   JOIN deletion o USING (deletion_id)
  WHERE d.blob_id > %(after)s AND o.purging_at IS NULL
  ORDER BY d.blob_id
  LIMIT %(most)s)
UNION
(SELECT blob_id, key_id
   FROM import_file
  WHERE blob_id > %(after)s AND result IN ('kept', 'document')
  ORDER BY blob_id
  LIMIT %(most)s)
ORDER BY blob_id
LIMIT %(most)s;

-- name: walk_journal_entries
-- The journal entries behind one, in order of their ids, whose effect stands in this database.
SELECT entry_id
  FROM journal_entry
 WHERE entry_id > %(after)s
 ORDER BY entry_id
 LIMIT %(most)s;

-- name: find_needed_keys
-- Which of these study keys something is sealed under that can be found, or brought back, or waits in
-- quarantine.
SELECT key_id
  FROM instance
 WHERE key_id = ANY (%(ids)s)
UNION
SELECT d.key_id
  FROM deleted_instance d
  JOIN deletion o USING (deletion_id)
 WHERE d.key_id = ANY (%(ids)s) AND o.purging_at IS NULL
UNION
SELECT key_id
  FROM import_file
 WHERE key_id = ANY (%(ids)s) AND blob_id IS NOT NULL AND result IN ('kept', 'document');

-- name: list_discs
-- Jobs that make discs, with counts of their instances, the newest first.
SELECT j.job_id, j.payload, j.requested_by, j.state, j.cause, j.cancelling, j.created_at,
       j.finished_at, count(i.number), count(i.number) FILTER (WHERE i.state = 'done'),
       count(i.number) FILTER (WHERE i.state = 'failed')
  FROM job j
  LEFT JOIN job_item i USING (job_id)
 WHERE j.kind = 'disc'
   AND (%(job_id)s::bigint IS NULL OR j.job_id = %(job_id)s)
   AND (%(study)s::text IS NULL OR j.payload -> 'studies' ? %(study)s)
   AND (%(share)s::bigint IS NULL OR j.payload -> 'share' = to_jsonb(%(share)s::bigint))
 GROUP BY j.job_id
 ORDER BY j.job_id DESC
 LIMIT %(most)s;

-- name: note_disc
-- Write down where a disc rests, in the transaction that ends its job.
UPDATE job
   SET payload = payload || %s::jsonb
 WHERE job_id = %s AND epoch = %s AND state = 'running'
RETURNING job_id;

-- name: add_job
-- Ask for work; no row when the token is in use. Held for some seconds it is claimed at birth.
INSERT INTO job (kind, remote, token, payload, requested_by, state, epoch, attempts, leased_until)
VALUES (%(kind)s, %(remote)s, %(token)s, %(payload)s::jsonb, %(requested_by)s,
        CASE WHEN %(held_s)s::float8 IS NULL THEN 'waiting' ELSE 'running' END,
        CASE WHEN %(held_s)s::float8 IS NULL THEN 0 ELSE 1 END,
        CASE WHEN %(held_s)s::float8 IS NULL THEN 0 ELSE 1 END,
        now() + make_interval(secs => %(held_s)s::float8))
    ON CONFLICT (kind, remote, token) DO NOTHING
RETURNING job_id;

-- name: add_items
-- The SOP Instances of a job, in its order.
INSERT INTO job_item (job_id, number, sop_class_uid, sop_instance_uid, study_uid)
SELECT %s, item.number, item.sop_class, item.instance, item.study
  FROM unnest(%s::text[], %s::text[], %s::text[])
       WITH ORDINALITY AS item (sop_class, instance, study, number);

-- name: one_claimer
-- Claims come one after the other: each sees what the ones before it took.
SELECT pg_advisory_xact_lock(hashtextextended('claim a job of ' || current_schema(), 0));

-- name: claim_job
-- Take the job that is due for the longest time and nobody holds. A remote AE is called for one
-- job of a kind at a time, so that one that is slow keeps no other waiting. What waits and what was
-- left are two questions: asked as one, all that is due is sorted for each claim.
WITH busy AS (
    SELECT kind, remote
      FROM job
     WHERE state = 'running' AND leased_until >= now()
), due AS (
    SELECT j.job_id, j.due_at
      FROM job j
     WHERE j.state = 'waiting' AND j.due_at <= now() AND j.kind = ANY (%(kinds)s)
       AND NOT EXISTS (SELECT FROM busy b WHERE b.remote = j.remote AND b.kind = j.kind)
     ORDER BY j.due_at, j.job_id
     LIMIT 1
       FOR UPDATE SKIP LOCKED
), left_behind AS (
    SELECT j.job_id, j.due_at
      FROM job j
     WHERE j.state = 'running' AND j.leased_until < now() AND j.kind = ANY (%(kinds)s)
       AND NOT EXISTS (SELECT FROM busy b WHERE b.remote = j.remote AND b.kind = j.kind)
     ORDER BY j.due_at, j.job_id
     LIMIT 1
       FOR UPDATE SKIP LOCKED
)
UPDATE job
   SET state = 'running', attempts = attempts + 1, epoch = epoch + 1, node = %(node)s,
       leased_until = now() + make_interval(secs => %(lease_s)s)
 WHERE job_id = (
       SELECT job_id
         FROM (SELECT * FROM due UNION ALL SELECT * FROM left_behind) AS one
        ORDER BY due_at, job_id
        LIMIT 1)
RETURNING job_id, kind, remote, token, payload, requested_by, attempts, epoch,
          extract(epoch FROM now() - asked_at)::float8, cancelling, created_at;

-- name: next_due
-- In how many seconds something is to be claimed that is not due now.
SELECT extract(epoch FROM least(
           (SELECT min(due_at) FROM job
             WHERE state = 'waiting' AND due_at > now() AND kind = ANY (%(kinds)s)),
           (SELECT min(leased_until) FROM job
             WHERE state = 'running' AND leased_until > now() AND kind = ANY (%(kinds)s))) - now())::float8;

-- name: hold_job
-- Whether a claim still holds, and whether it is to be cancelled; nobody takes it over meanwhile.
SELECT cancelling
  FROM job
 WHERE job_id = %s AND epoch = %s AND state = 'running'
   FOR UPDATE;

-- name: beat
-- Hold claims for longer.
UPDATE job
   SET leased_until = now() + make_interval(secs => %s)
  FROM unnest(%s::bigint[], %s::integer[]) AS mine (id, at)
 WHERE job_id = mine.id AND epoch = mine.at AND state = 'running'
RETURNING job_id, cancelling;

-- name: settle_items
-- Write down how it went with some instances; one whose turn never came was not tried.
UPDATE job_item
   SET state = went.state, status = went.status, cause = went.cause,
       attempts = attempts + went.tried::integer, changed_at = now()
  FROM unnest(%s::integer[], %s::text[], %s::integer[], %s::text[], %s::boolean[])
    AS went (number, state, status, cause, tried)
 WHERE job_item.job_id = %s AND job_item.number = went.number;

-- name: finish_job
-- End a job.
UPDATE job
   SET state = %s, cause = %s, finished_at = now(), leased_until = NULL, node = NULL,
       cancelling = false
 WHERE job_id = %s AND epoch = %s AND state = 'running'
RETURNING job_id;

-- name: put_off_job
-- Let a job wait until it is due again; an attempt that was not the job's fault is not counted.
UPDATE job
   SET state = 'waiting', cause = %(cause)s, leased_until = NULL, node = NULL,
       due_at = now() + make_interval(secs => %(delay_s)s),
       attempts = attempts - CASE WHEN %(counts)s THEN 0 ELSE 1 END
 WHERE job_id = %(job_id)s AND epoch = %(epoch)s AND state = 'running'
RETURNING job_id;

-- name: name_job
-- Give a job the token its remote AE will know it by; those it had before are kept with it.
UPDATE job
   SET token = %s,
       payload = CASE
           WHEN token IS NULL THEN payload
           ELSE payload || jsonb_build_object(
               'before', coalesce(payload -> 'before', '[]'::jsonb) || to_jsonb(token))
       END
 WHERE job_id = %s AND epoch = %s AND state = 'running'
RETURNING job_id;

-- name: claim_named
-- Take a job by its token, or one it had before, whoever has it: its remote AE answered. One that
-- was given up over instances nothing is known of is taken, too.
UPDATE job
   SET state = 'running', epoch = epoch + 1, node = NULL, finished_at = NULL,
       leased_until = now() + make_interval(secs => %(lease_s)s)
 WHERE kind = %(kind)s AND remote = %(remote)s
   AND (token = %(token)s OR payload -> 'before' @> to_jsonb(%(token)s::text))
   AND (state IN ('waiting', 'running') OR state = 'failed' AND EXISTS (
       SELECT FROM job_item i WHERE i.job_id = job.job_id AND i.state = 'waiting'))
RETURNING job_id, kind, remote, token, payload, requested_by, attempts, epoch,
          extract(epoch FROM now() - asked_at)::float8, cancelling, created_at;

-- name: find_named
-- A job that has not ended by its token.
SELECT job_id
  FROM job
 WHERE kind = %s AND remote = %s AND token = %s AND state IN ('waiting', 'running');

-- name: is_named
-- Whether there is a job of this token, or one that had it before.
SELECT EXISTS (
    SELECT FROM job
     WHERE kind = %(kind)s AND remote = %(remote)s
       AND (token = %(token)s OR payload -> 'before' @> to_jsonb(%(token)s::text)));

-- name: free_jobs
-- Give back what a worker of this node held: it is gone.
UPDATE job
   SET state = 'waiting', due_at = now(), leased_until = NULL, node = NULL
 WHERE state = 'running' AND node = %s
RETURNING job_id;

-- name: prune_jobs
-- Forget some jobs that ended long ago: each may have had many thousand instances.
DELETE FROM job
 WHERE job_id IN (
       SELECT job_id FROM job
        WHERE finished_at < now() - make_interval(secs => %s)
        ORDER BY finished_at
        LIMIT %s
          FOR UPDATE SKIP LOCKED)
RETURNING job_id;

-- name: list_items
-- The instances of a job.
SELECT number, sop_class_uid, sop_instance_uid, study_uid, state, status, cause, attempts
  FROM job_item
 WHERE job_id = %s
 ORDER BY number;

-- name: list_jobs
-- Jobs with counts of their instances, the newest first.
SELECT j.job_id, j.kind, j.remote, j.token, j.requested_by, j.state, j.cause, j.attempts,
       j.cancelling, j.created_at, j.due_at, j.finished_at,
       count(i.number), count(i.number) FILTER (WHERE i.state IN ('done', 'warning')),
       count(i.number) FILTER (WHERE i.state = 'failed')
  FROM job j
  LEFT JOIN job_item i USING (job_id)
 WHERE j.job_id = coalesce(%(job_id)s, j.job_id)
   AND (%(state)s::text IS NULL OR j.state = %(state)s)
 GROUP BY j.job_id
 ORDER BY j.job_id DESC
 LIMIT %(most)s;

-- name: retry_job
-- Begin anew with a job that ended without success, or do one that waits at once.
UPDATE job
   SET state = 'waiting', due_at = now(), asked_at = now(), attempts = 0, cancelling = false,
       finished_at = NULL
 WHERE job_id = %s AND state IN ('waiting', 'failed', 'cancelled')
RETURNING job_id;

-- name: retry_items
-- The instances that failed wait again.
UPDATE job_item
   SET state = 'waiting', status = NULL, cause = NULL, changed_at = now()
 WHERE job_id = %s AND state = 'failed';

-- name: cancel_job
-- Cancel a job that waits; ask the worker of one that runs to leave it.
UPDATE job
   SET state = CASE state WHEN 'waiting' THEN 'cancelled' ELSE state END,
       finished_at = CASE state WHEN 'waiting' THEN now() END,
       cancelling = state = 'running'
 WHERE job_id = %s AND state IN ('waiting', 'running')
RETURNING state;

-- name: find_job
-- The state of a job.
SELECT state
  FROM job
 WHERE job_id = %s;

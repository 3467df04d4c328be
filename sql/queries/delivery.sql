-- name: add_message
-- A message that is to go out.
INSERT INTO message (token, channel, masked, template, language, sealed, channel_id, share_id,
                     grant_id, account_id, webhook_id, requested_by, until_at)
VALUES (%(token)s, %(channel)s, %(masked)s, %(template)s, %(language)s, %(sealed)s, %(channel_id)s,
        %(share_id)s, %(grant_id)s, %(account_id)s, %(webhook_id)s, %(requested_by)s,
        coalesce(%(until)s, now() + make_interval(secs => %(useful_s)s)))
RETURNING message_id;

-- name: set_message_job
-- Which job sends it.
UPDATE message SET job_id = %s WHERE message_id = %s;

-- name: list_messages
-- Messages, the newest first.
SELECT message_id, channel, masked, template, language, state, via, attempts, cause, told,
       share_id, grant_id, account_id, requested_by, created_at, changed_at, next_at
  FROM message
 WHERE message_id = coalesce(%(message_id)s, message_id)
   AND (%(states)s::text[] IS NULL OR state = ANY (%(states)s))
   AND (%(share_id)s::bigint IS NULL OR share_id = %(share_id)s)
   AND (%(before)s::bigint IS NULL OR message_id < %(before)s)
 ORDER BY message_id DESC
 LIMIT %(most)s;

-- name: count_messages
-- How many there are of each state.
SELECT state, count(*) FROM message GROUP BY state;

-- name: is_of_job
-- Whether a job is the one that sends a message: a person may have asked for another one since.
SELECT FROM message WHERE message_id = %s AND job_id = %s;

-- name: leave_message
-- Not sent after all: its share or grant ended while an attempt was under way, which then failed, or
-- the webhook it would call was removed then.
UPDATE message m
   SET state = 'cancelled', sealed = NULL, next_at = NULL, changed_at = now()
 WHERE m.message_id = %s AND m.state IN ('queued', 'failed', 'sending')
   AND (EXISTS (SELECT FROM grant_standing(m.grant_id) st WHERE st.why IN ('revoked', 'refused'))
        OR m.channel = 'webhook' AND m.webhook_id IS NULL)
RETURNING m.message_id;

-- name: hold_message
-- Not sent for now: its share is suspended, and its link would open nothing. Too long, and a person
-- is to send it.
UPDATE message m
   SET state = CASE WHEN %(after_s)s::float8 IS NULL THEN 'dead'
                    WHEN m.state = 'sending' THEN 'queued' ELSE m.state END,
       cause = CASE WHEN %(after_s)s::float8 IS NULL THEN 'not-now' ELSE m.cause END,
       next_at = now() + make_interval(secs => %(after_s)s::float8), changed_at = now()
 WHERE m.message_id = %(message_id)s AND m.state IN ('queued', 'failed', 'sending')
   AND m.until_at > now()
   AND EXISTS (SELECT FROM grant_standing(m.grant_id) st WHERE st.why = 'suspended')
RETURNING m.message_id;

-- name: begin_message
-- An attempt begins; no row when there is nothing to send any more.
UPDATE message
   SET state = 'sending', attempts = attempts + 1, next_at = NULL, changed_at = now()
 WHERE message_id = %s AND state IN ('queued', 'failed', 'sending') AND until_at > now()
RETURNING token, channel, template, language, sealed, attempts,
          extract(epoch FROM until_at - now())::float8;

-- name: expire_message
-- It would be of no use any more.
UPDATE message
   SET state = 'dead', cause = 'expired', sealed = NULL, next_at = NULL, changed_at = now()
 WHERE message_id = %s AND state IN ('queued', 'failed', 'sending') AND until_at <= now()
RETURNING channel;

-- name: accept_message
-- Somebody took it; what stood in it is forgotten, except in the inbox of --dev.
UPDATE message
   SET state = 'accepted', via = %(via)s, provider_ref = %(provider_ref)s, cause = NULL,
       told = %(told)s, sealed = CASE WHEN %(via)s = 'inbox' THEN sealed END, changed_at = now()
 WHERE message_id = %(message_id)s AND state = 'sending'
RETURNING message_id;

-- name: fail_message
-- It is tried again later, or never of itself.
UPDATE message
   SET state = CASE WHEN %(after_s)s::float8 IS NULL THEN 'dead' ELSE 'failed' END,
       cause = %(cause)s, told = %(told)s,
       next_at = now() + make_interval(secs => %(after_s)s::float8), changed_at = now()
 WHERE message_id = %(message_id)s AND state = 'sending'
RETURNING message_id;

-- name: retry_message
-- Send it now; no row when there is nothing to send. Its job, if any, is due at once.
UPDATE message
   SET state = 'queued', attempts = 0, next_at = now(), changed_at = now()
 WHERE message_id = %s AND state IN ('failed', 'dead') AND sealed IS NOT NULL AND until_at > now()
RETURNING job_id, share_id;

-- name: dead_messages
-- What can be tried again, the oldest first.
SELECT message_id
  FROM message
 WHERE state IN ('failed', 'dead') AND sealed IS NOT NULL AND until_at > now()
 ORDER BY message_id
 LIMIT %s;

-- name: cancel_messages
-- What was not sent is not sent: its grant is over.
UPDATE message
   SET state = 'cancelled', sealed = NULL, next_at = NULL, changed_at = now()
 WHERE grant_id = %s AND state IN ('queued', 'failed', 'dead')
RETURNING message_id;

-- name: deliver_message
-- The provider says it arrived, which may be before we have noted that they took it.
UPDATE message
   SET via = coalesce(via, CASE channel WHEN 'email' THEN 'smtp' ELSE channel END),
       sealed = CASE WHEN state = 'accepted' THEN sealed END, state = 'delivered', cause = NULL,
       changed_at = now()
 WHERE token = %s AND state IN ('sending', 'accepted')
RETURNING message_id, channel;

-- name: bounce_message
-- The provider says it did not arrive, now or after all, or before we have noted that they took it.
UPDATE message
   SET via = coalesce(via, CASE channel WHEN 'email' THEN 'smtp' ELSE channel END),
       state = 'bounced', cause = 'bounced', told = %(told)s, sealed = NULL, changed_at = now()
 WHERE token = %(token)s AND state IN ('sending', 'accepted', 'delivered')
RETURNING message_id, channel, channel_id, share_id;

-- name: find_message
-- The state of a message.
SELECT state, sealed IS NOT NULL AND until_at > now() FROM message WHERE message_id = %s;

-- name: inbox
-- What the inbox of --dev keeps, the newest first.
SELECT message_id, token, channel, template, language, sealed, created_at
  FROM message
 WHERE via = 'inbox' AND sealed IS NOT NULL AND message_id = coalesce(%(message_id)s, message_id)
 ORDER BY message_id DESC
 LIMIT %(most)s;

-- name: sweep_messages
-- Contents past their use are forgotten; what still waited is dead.
UPDATE message
   SET sealed = NULL, next_at = NULL, changed_at = now(),
       cause = CASE WHEN state IN ('queued', 'sending', 'failed') THEN 'expired' ELSE cause END,
       state = CASE WHEN state IN ('queued', 'sending', 'failed') THEN 'dead' ELSE state END
 WHERE sealed IS NOT NULL AND until_at < now() - interval '1 hour'
RETURNING message_id;

-- name: list_webhooks
-- The programs that are told.
SELECT webhook_id, token, host, sealed, events, created_by, created_at
  FROM webhook
 ORDER BY webhook_id;

-- name: keep_webhooks
-- Those of some webhooks that are there still; they stay until the transaction ends.
SELECT webhook_id FROM webhook WHERE webhook_id = ANY (%s) ORDER BY webhook_id FOR KEY SHARE;

-- name: add_webhook
-- One more.
INSERT INTO webhook (token, host, sealed, events, created_by)
VALUES (%s, %s, %s, %s, %s)
RETURNING webhook_id;

-- name: cancel_calls
-- What a webhook was not told yet it is not told.
UPDATE message
   SET state = 'cancelled', sealed = NULL, next_at = NULL, changed_at = now()
 WHERE webhook_id = %s AND state IN ('queued', 'failed', 'dead');

-- name: remove_webhook
-- It is told nothing more.
DELETE FROM webhook WHERE webhook_id = %s RETURNING webhook_id;

-- name: sent_lately
-- How many exchanges a mailbox began, and how many another was sent, within a day.
SELECT
    (SELECT count(*) FROM guest_exchange
     WHERE sender_mac = %(sender)s AND made_at > now() - interval '1 day'),
    (SELECT count(*) FROM guest_exchange
     WHERE recipient_mac = %(recipient)s AND sent_at IS NOT NULL
         AND made_at > now() - interval '1 day');

-- name: add
-- Begin an exchange; addresses are sealed to its number, and so written after it is known.
INSERT INTO guest_exchange (
    number, sender_mac, sender_masked, recipient_mac, recipient_masked, for_patient, language,
    until_at)
VALUES (
    %(number)s, %(sender_mac)s, %(sender_masked)s, %(recipient_mac)s, %(recipient_masked)s,
    %(for_patient)s, %(language)s, now() + make_interval(secs => %(draft_s)s))
RETURNING exchange_pk;

-- name: seal
-- Write the sealed addresses, and the hash of the code that was sent.
UPDATE guest_exchange SET sender = %(sender)s, recipient = %(recipient)s, code_mac = %(code_mac)s
WHERE exchange_pk = %(exchange_pk)s;

-- name: add_session
-- Let a browser in.
INSERT INTO guest_session (session, exchange_pk, side, until_at)
VALUES (%s, %s, %s, now() + make_interval(secs => %s));

-- name: session
-- Whose a session is.
SELECT exchange_pk FROM guest_session WHERE session = %s AND side = %s AND until_at > now();

-- name: leave
-- End a session.
DELETE FROM guest_session WHERE session = %s;

-- name: end_sessions
-- End all sessions of one side of an exchange.
DELETE FROM guest_session WHERE exchange_pk = %s AND side = %s;

-- name: exchanges
-- An exchange and how far it is, by its key or by the import it fills.
SELECT
    e.exchange_pk, e.number, e.import_pk, e.sender_masked, e.recipient_masked, e.for_patient,
    e.language, e.made_at, e.until_at, e.proven_at, e.sent_at, e.opened_at, e.opens, e.fetched_at,
    e.stopped_at, e.stopped_by, e.wrong, b.state, m.state, e.over_at
FROM guest_exchange e
LEFT JOIN import_batch b USING (import_pk)
LEFT JOIN message m USING (message_id)
WHERE e.exchange_pk = %(exchange_pk)s OR e.import_pk = %(import_pk)s;

-- name: hold
-- Take an exchange in hand: what is counted and decided on it waits for this transaction.
SELECT
    code_mac, code_wrong, codes, extract(epoch FROM now() - code_at)::float8, proven_at, sent_at,
    stopped_at, sender, recipient
FROM guest_exchange WHERE exchange_pk = %s FOR UPDATE;

-- name: wrong_code
-- Count a wrong code.
UPDATE guest_exchange SET code_wrong = code_wrong + 1 WHERE exchange_pk = %s;

-- name: another_code
-- A new code makes the old one void.
UPDATE guest_exchange SET code_mac = %s, code_at = now(), code_wrong = 0, codes = codes + 1
WHERE exchange_pk = %s;

-- name: proven
-- The sender's mailbox is theirs: files may come.
UPDATE guest_exchange SET proven_at = now(), import_pk = %s, code_mac = NULL WHERE exchange_pk = %s;

-- name: count_items
-- How many items an exchange has, and how many of these are among them.
SELECT count(*), count(*) FILTER (WHERE item = ANY (%s)) FROM guest_item WHERE exchange_pk = %s;

-- name: add_items
-- Note items of an exchange.
INSERT INTO guest_item (exchange_pk, item)
SELECT %s, item FROM unnest(%s::bytea[]) AS item
ON CONFLICT DO NOTHING;

-- name: hold_mailbox
-- One at a time sends to whom an exchange goes: whoever comes second counts what the first sent.
SELECT pg_advisory_xact_lock(
    hashtextextended('send to ' || current_schema() || ' ' || encode(recipient_mac, 'hex'), 0))
FROM guest_exchange WHERE exchange_pk = %s;

-- name: sent_to_whom
-- How many exchanges went to the recipient of this one within a day.
SELECT count(*)
FROM guest_exchange e JOIN guest_exchange o USING (recipient_mac)
WHERE e.exchange_pk = %s AND o.sent_at > now() - interval '1 day';

-- name: send
-- The exchange is sent: from here on a link and a passcode open it.
UPDATE guest_exchange SET
    sent_at = now(), until_at = %(until)s, locator = %(locator)s,
    status_locator = %(status_locator)s, passcode = %(passcode)s, message_id = %(message)s
WHERE exchange_pk = %(exchange_pk)s;

-- name: by_locator
-- What a link's secret finds.
SELECT exchange_pk, passcode FROM guest_exchange WHERE locator = %s;

-- name: by_status_locator
-- What the secret of a sender's link finds.
SELECT exchange_pk FROM guest_exchange WHERE status_locator = %s;

-- name: charge
-- Count a try before it is made, so that many at once cannot pass the limit together.
UPDATE guest_exchange e SET wrong = e.wrong + 1
FROM import_batch b
WHERE e.exchange_pk = %s AND e.wrong < %s AND e.stopped_at IS NULL AND e.until_at > now()
    AND b.import_pk = e.import_pk AND b.state = 'needs_identity'
RETURNING e.wrong;

-- name: forgive
-- The try was right: it does not count. Says how often it was opened before.
UPDATE guest_exchange SET
    wrong = wrong - 1, opened_at = coalesce(opened_at, now()), opens = opens + 1
WHERE exchange_pk = %s
RETURNING opens - 1;

-- name: locked
-- Note that the sender is told of the lock; nothing when they were.
UPDATE guest_exchange SET locked_at = now() WHERE exchange_pk = %s AND locked_at IS NULL
RETURNING number;

-- name: sender
-- The sealed mailbox of the sender; nothing once it is over.
SELECT sender FROM guest_exchange WHERE exchange_pk = %s;

-- name: fetched
-- Note the first download; nothing when there was one.
UPDATE guest_exchange SET fetched_at = now() WHERE exchange_pk = %s AND fetched_at IS NULL
RETURNING number;

-- name: stop
-- End an exchange; nothing when it was stopped before.
UPDATE guest_exchange SET stopped_at = now(), stopped_by = %s
WHERE exchange_pk = %s AND stopped_at IS NULL
RETURNING number;

-- name: held
-- The objects of an import as they are handed on.
SELECT blob_id FROM import_file
WHERE import_pk = %s AND result = 'kept'
ORDER BY study_date DESC NULLS LAST, study_uid, series_uid, file_pk;

-- name: held_series
-- Those of one series.
SELECT blob_id FROM import_file
WHERE import_pk = %s AND result = 'kept' AND study_uid = %s AND series_uid = %s
ORDER BY file_pk;

-- name: held_one
-- One of them.
SELECT blob_id FROM import_file
WHERE import_pk = %s AND result = 'kept' AND sop_instance_uid = %s AND study_uid = %s
    AND series_uid = %s
ORDER BY file_pk LIMIT 1;

-- name: documents
-- The documents beside them.
SELECT file_pk, name, media, size, blob_id
FROM import_file
WHERE import_pk = %s AND result = 'document' AND blob_id IS NOT NULL
ORDER BY file_pk;

-- name: sweep_sessions
-- Forget sessions that are over.
DELETE FROM guest_session WHERE until_at <= now();

-- name: sweep_drafts
-- Forget exchanges whose sender never proved their mailbox.
DELETE FROM guest_exchange WHERE proven_at IS NULL AND made_at < now() - interval '1 day';

-- name: over
-- Exchanges that nobody can open any more, and whose addresses are still kept.
SELECT e.exchange_pk
FROM guest_exchange e
JOIN import_batch b USING (import_pk)
WHERE e.over_at IS NULL
    AND (e.until_at <= now() OR e.stopped_at IS NOT NULL
         OR b.state NOT IN ('receiving', 'needs_identity'))
ORDER BY e.exchange_pk LIMIT %s;

-- name: forget
-- Forget who it was between, and what opened it; that it was stays. Nothing when it is not over: it
-- may have been sent since somebody looked.
UPDATE guest_exchange e SET
    over_at = now(), sender = NULL, recipient = NULL, passcode = NULL, code_mac = NULL
WHERE e.exchange_pk = %s AND e.over_at IS NULL
    AND (e.until_at <= now() OR e.stopped_at IS NOT NULL
         OR EXISTS (SELECT FROM import_batch b
                    WHERE b.import_pk = e.import_pk AND b.state NOT IN ('receiving', 'needs_identity')))
RETURNING e.number;

-- name: forget_for_good
-- Forget exchanges that were over long ago, masks and all.
DELETE FROM guest_exchange WHERE over_at < now() - make_interval(days => %s);

-- What recipients of a share have sent on to an archive of theirs, and which archives they may choose.
-- remote, peer, job and job_item are locked for a moment, which waits for work under way on them; no
-- table is read or written over.

ALTER TABLE remote ADD COLUMN offered_as text
    CONSTRAINT remote_offered_as_is_a_name CHECK (offered_as ~ '^\S(.{0,78}\S)?$');
COMMENT ON COLUMN remote.offered_as IS
    'What recipients of shares read when they choose it; NULL: it is not offered to them.';
CREATE UNIQUE INDEX remote_offered_once ON remote (offered_as) WHERE offered_as IS NOT NULL;
COMMENT ON INDEX remote_offered_once IS 'two archives of one name could not be told apart';
ALTER TABLE peer ADD COLUMN offered_as text
    CONSTRAINT peer_offered_as_is_a_name CHECK (offered_as ~ '^\S(.{0,78}\S)?$');
COMMENT ON COLUMN peer.offered_as IS
    'What recipients of shares read when they choose it; NULL: it is not offered to them.';
CREATE UNIQUE INDEX peer_offered_once ON peer (offered_as) WHERE offered_as IS NOT NULL;
COMMENT ON INDEX peer_offered_once IS 'two archives of one name could not be told apart';

CREATE TABLE share_sending (
    sending_id bigint           NOT NULL,
    share_id   bigint           NOT NULL,
    grant_id   bigint           NOT NULL,
    job_id     bigint           NOT NULL,
    remote     text COLLATE "C",
    peer       text COLLATE "C",
    offered_as text             NOT NULL,
    created_at timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT share_sending_pkey PRIMARY KEY (sending_id),
    CONSTRAINT share_sending_grant_fkey
        FOREIGN KEY (grant_id) REFERENCES share_grant ON DELETE CASCADE,
    CONSTRAINT share_sending_share_fkey
        FOREIGN KEY (share_id) REFERENCES share ON DELETE CASCADE,
    CONSTRAINT share_sending_is_to_one CHECK (num_nonnulls(remote, peer) = 1)
);
-- jobs are forgotten after a while: no foreign key
COMMENT ON TABLE share_sending IS
    'What the holder of a grant asked to be sent to an archive: to which, and the job that does it.';
COMMENT ON COLUMN share_sending.offered_as IS 'What it was called when it was chosen.';
COMMENT ON INDEX share_sending_pkey IS 'the job: for whom it sends';
CREATE INDEX share_sending_by_share ON share_sending (share_id, grant_id);
COMMENT ON INDEX share_sending_by_share IS 'what was sent on of a share, by one of its grants';
CREATE INDEX share_sending_by_grant ON share_sending (grant_id);
COMMENT ON INDEX share_sending_by_grant IS 'the end of a grant';

CREATE FUNCTION share_sendings(of_share bigint)
    RETURNS TABLE (
        sending_id bigint, grant_id bigint, offered_as text, created_at timestamptz, state text,
        cause text, items bigint, done bigint, failed bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path FROM CURRENT
    AS $$
    SELECT s.sending_id, s.grant_id, s.offered_as, s.created_at, j.state, j.cause,
           count(i.number), count(i.number) FILTER (WHERE i.state IN ('done', 'warning')),
           count(i.number) FILTER (WHERE i.state = 'failed')
      FROM share_sending s
      JOIN job j USING (job_id)
      LEFT JOIN job_item i USING (job_id)
     WHERE s.share_id = of_share
     GROUP BY s.sending_id, j.job_id
$$;
COMMENT ON FUNCTION share_sendings IS
    'What was sent on of a share and how far each is, as long as its job is remembered. As their owner: who serves guests may not read jobs.';

-- Who serves guests sees what is offered, and may ask for what somebody who is there may have sent.
ALTER TABLE remote ENABLE ROW LEVEL SECURITY;
CREATE POLICY remote_is_offered ON remote FOR SELECT USING (offered_as IS NOT NULL);
COMMENT ON POLICY remote_is_offered ON remote IS 'Who is not the archive sees those that are offered.';
ALTER TABLE peer ENABLE ROW LEVEL SECURITY;
CREATE POLICY peer_is_offered ON peer FOR SELECT USING (offered_as IS NOT NULL);
COMMENT ON POLICY peer_is_offered ON peer IS 'Who is not the archive sees those that are offered.';
ALTER TABLE share_sending ENABLE ROW LEVEL SECURITY;
CREATE POLICY share_sending_of_who_is_there ON share_sending FOR INSERT
    WITH CHECK (EXISTS (
        SELECT FROM share_session x
         WHERE x.grant_id = share_sending.grant_id AND x.level = 1 AND x.ends_at > now()));
COMMENT ON POLICY share_sending_of_who_is_there ON share_sending IS
    'Only of a grant whose holder has proven who they are.';
ALTER POLICY job_of_guests ON job
    USING (kind IN ('notify', 'tell', 'hand-over'))
    WITH CHECK (kind IN ('notify', 'tell', 'hand-over'));
COMMENT ON POLICY job_of_guests ON job IS
    'Acts of guests send messages, tell programs, and hand over what was shared; nothing else.';
ALTER TABLE job_item ENABLE ROW LEVEL SECURITY;
CREATE POLICY job_item_of_guests ON job_item FOR INSERT
    WITH CHECK (EXISTS (
        SELECT FROM job j WHERE j.job_id = job_item.job_id AND j.kind = 'hand-over'));
COMMENT ON POLICY job_item_of_guests ON job_item IS 'What is to be handed over.';

-- Routing: where what comes in is sent on to. New tables only, so nothing is locked.

CREATE TABLE peer (
    peer_id           bigint GENERATED ALWAYS AS IDENTITY,
    name              text COLLATE "C" NOT NULL,
    url               text COLLATE "C" NOT NULL,
    token             bytea,
    authority         text,
    transfer_syntaxes text[] COLLATE "C" NOT NULL DEFAULT '{}',
    changed_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT peer_pkey PRIMARY KEY (peer_id),
    CONSTRAINT peer_name_once UNIQUE (name),
    CONSTRAINT peer_name_is_one CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    CONSTRAINT peer_url_is_one CHECK (url ~ '^https?://[!-~]+$' AND length(url) <= 1000),
    CONSTRAINT peer_transfer_syntaxes_are_known
        CHECK (array_position(transfer_syntaxes, NULL) IS NULL)
);
COMMENT ON TABLE peer IS 'A DICOMweb archive that instances are stored to by STOW-RS.';
COMMENT ON COLUMN peer.url IS 'The base URI of its Studies service, without /studies.';
COMMENT ON COLUMN peer.token IS 'The bearer token it is shown, sealed under the archive key.';
COMMENT ON COLUMN peer.authority IS 'Certificates (PEM) its own must come from; NULL: those of the system.';
COMMENT ON COLUMN peer.transfer_syntaxes IS 'What it wants to be sent, best first; empty: as stored.';

CREATE TABLE route (
    route_id   bigint GENERATED ALWAYS AS IDENTITY,
    name       text COLLATE "C" NOT NULL,
    remote     text COLLATE "C",
    peer       text COLLATE "C",
    callers    text[] COLLATE "C" NOT NULL DEFAULT '{}',
    keys       text[] NOT NULL DEFAULT '{}',
    commit     boolean NOT NULL DEFAULT false,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT route_pkey PRIMARY KEY (route_id),
    CONSTRAINT route_name_once UNIQUE (name),
    CONSTRAINT route_name_is_one CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    CONSTRAINT route_leads_to_one CHECK (num_nonnulls(remote, peer) = 1),
    CONSTRAINT route_goes_not_back CHECK (remote IS NULL OR NOT remote = ANY (callers)),
    CONSTRAINT route_commit_is_of_remotes CHECK (remote IS NOT NULL OR NOT commit),
    CONSTRAINT route_lists_are_known
        CHECK (array_position(callers, NULL) IS NULL AND array_position(keys, NULL) IS NULL),
    CONSTRAINT route_remote_fkey FOREIGN KEY (remote) REFERENCES remote,
    CONSTRAINT route_peer_fkey FOREIGN KEY (peer) REFERENCES peer (name)
);
COMMENT ON TABLE route IS 'A rule: which instances that come in are sent on, and to whom.';
COMMENT ON COLUMN route.callers IS 'AE titles or names it must come from; empty: anybody.';
COMMENT ON COLUMN route.keys IS 'Matching Keys, ATTRIBUTE=VALUE, all of which must match.';
COMMENT ON COLUMN route.commit IS 'Ask for Storage Commitment afterwards.';

-- What comes in within a few seconds of a study goes out together: one job, which the transactions
-- that take the instances in fill one after the other until it is due.
CREATE TABLE route_job (
    route_id  bigint NOT NULL,
    study_uid text COLLATE "C" NOT NULL,
    job_id    bigint,
    CONSTRAINT route_job_pkey PRIMARY KEY (route_id, study_uid),
    CONSTRAINT route_job_route_fkey FOREIGN KEY (route_id) REFERENCES route ON DELETE CASCADE,
    CONSTRAINT route_job_job_fkey FOREIGN KEY (job_id) REFERENCES job ON DELETE CASCADE
);
COMMENT ON TABLE route_job IS 'The job that gathers what a rule sends of a study.';
COMMENT ON INDEX route_job_pkey IS 'route_instances: the job that still gathers';
CREATE INDEX route_job_by_job ON route_job (job_id);
COMMENT ON INDEX route_job_by_job IS 'prune: rows of jobs that are forgotten';

CREATE FUNCTION route_instances(
    of_route bigint[], studies text[], classes text[], instances text[], gather_s float8)
    RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
    one  record;
    rule route%ROWTYPE;
    job  bigint;
    made integer := 0;
BEGIN
    FOR one IN
        SELECT u.r AS route_id, u.s AS study
        FROM unnest(of_route, studies) AS u (r, s)
        GROUP BY 1, 2
        ORDER BY 1, 2
    LOOP
        SELECT * INTO rule FROM route r WHERE r.route_id = one.route_id FOR KEY SHARE;
        CONTINUE WHEN NOT FOUND;
        INSERT INTO route_job AS j (route_id, study_uid)
        VALUES (rule.route_id, one.study)
        ON CONFLICT (route_id, study_uid) DO UPDATE SET study_uid = EXCLUDED.study_uid
        RETURNING j.job_id INTO job;
        -- held until this transaction ends: no worker takes a job that is still being filled
        PERFORM FROM job j
        WHERE j.job_id = job AND j.state = 'waiting' AND j.attempts = 0 AND j.due_at > now()
            AND j.remote = coalesce(rule.remote, rule.peer)
        FOR UPDATE;
        IF NOT FOUND THEN
            INSERT INTO job AS j (kind, remote, payload, requested_by, due_at)
            VALUES (
                CASE WHEN rule.remote IS NULL THEN 'stow' ELSE 'forward' END,
                coalesce(rule.remote, rule.peer),
                jsonb_build_object('study', one.study, 'commit', rule.commit, 'route', rule.name),
                'route:' || rule.name, now() + make_interval(secs => gather_s))
            RETURNING j.job_id INTO job;
            UPDATE route_job j SET job_id = job
            WHERE j.route_id = rule.route_id AND j.study_uid = one.study;
            INSERT INTO audit (kind, outcome, principal, actor_kind, study, detail)
            VALUES (
                'job.queued', 'done', 'route:' || rule.name, 'system', one.study,
                jsonb_build_object('job', job, 'to', coalesce(rule.remote, rule.peer)));
            made := made + 1;
        END IF;
        INSERT INTO job_item (job_id, number, sop_class_uid, sop_instance_uid, study_uid)
        SELECT job, (SELECT coalesce(max(h.number), 0) FROM job_item h WHERE h.job_id = job)
               + row_number() OVER (ORDER BY u.i), u.c, u.i, one.study
        FROM unnest(of_route, studies, classes, instances) AS u (r, s, c, i)
        WHERE u.r = rule.route_id AND u.s = one.study
            AND NOT EXISTS (
                SELECT FROM job_item h WHERE h.job_id = job AND h.sop_instance_uid = u.i);
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION route_instances IS
    'Put instances into the jobs of their rules, in the transaction that takes them in; counts the '
    'jobs that are new. A rule that was removed meanwhile sends nothing.';

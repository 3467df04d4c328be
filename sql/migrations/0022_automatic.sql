-- Sharing without hands: what a consent lets go out, once its study came to rest; notices that were
-- sent. New tables, and a trigger on study: that table is locked against writing for a moment.

CREATE TABLE auto_share (
    consent_id bigint      NOT NULL,
    study_uid  text COLLATE "C" NOT NULL,
    lane       text        NOT NULL,
    state      text        NOT NULL DEFAULT 'waiting',
    due_at     timestamptz NOT NULL DEFAULT now(),
    revision   bigint,
    cause      text,
    share_id   bigint,
    made_at    timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT auto_share_pkey PRIMARY KEY (consent_id, study_uid),
    CONSTRAINT auto_share_lane_is_known CHECK (lane IN ('now', 'tonight', 'urgent')),
    CONSTRAINT auto_share_state_is_known CHECK (state IN ('waiting', 'shared', 'blocked', 'left')),
    CONSTRAINT auto_share_shared_has_a_share CHECK (state <> 'shared' OR share_id IS NOT NULL),
    CONSTRAINT auto_share_blocked_has_a_cause CHECK (state <> 'blocked' OR cause IS NOT NULL),
    CONSTRAINT auto_share_cause_is_short CHECK (length(cause) <= 400),
    CONSTRAINT auto_share_consent_fkey FOREIGN KEY (consent_id) REFERENCES consent ON DELETE CASCADE,
    CONSTRAINT auto_share_share_fkey FOREIGN KEY (share_id) REFERENCES share ON DELETE CASCADE
);
COMMENT ON TABLE auto_share IS
    'A study that a consent lets go out by itself: when, whether it did, what is in the way.';
COMMENT ON COLUMN auto_share.revision IS 'Of the study, when it was shared or could not be.';
CREATE INDEX auto_share_waiting ON auto_share (due_at) WHERE state = 'waiting';
COMMENT ON INDEX auto_share_waiting IS 'what is due';
CREATE INDEX auto_share_lately ON auto_share (changed_at);
COMMENT ON INDEX auto_share_lately IS 'board; what came since to a study that went out';
CREATE INDEX auto_share_by_study ON auto_share (study_uid);
COMMENT ON INDEX auto_share_by_study IS 'page of a study';

-- A study is looked at once, when it appears or turns out to be another patient's or order's.
CREATE FUNCTION expect_study() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO auto_share (consent_id, study_uid, lane)
    SELECT c.consent_id, NEW.study_uid, p.lane
      FROM patient t
      JOIN consent c ON c.issuer = t.issuer AND c.patient_id = t.patient_id
      JOIN consent_plan p ON p.consent_id = c.consent_id
     WHERE t.patient_pk = NEW.patient_pk AND c.state = 'active' AND c.allowed
       AND (c.accession IS NULL OR c.accession = NEW.accession)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION expect_study IS 'Expect the sharing of a study that came, where a consent allows it.';
CREATE TRIGGER study_is_expected AFTER INSERT ON study
    FOR EACH ROW EXECUTE FUNCTION expect_study();
CREATE TRIGGER study_is_expected_elsewhere AFTER UPDATE OF patient_pk, accession ON study
    FOR EACH ROW
    WHEN ((OLD.patient_pk, OLD.accession) IS DISTINCT FROM (NEW.patient_pk, NEW.accession))
    EXECUTE FUNCTION expect_study();

-- And the other way round: images may be there before the consent is. One for all of a person's
-- examinations speaks of what comes, and of today's.
CREATE FUNCTION expect_studies() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO auto_share (consent_id, study_uid, lane)
    SELECT c.consent_id, s.study_uid, NEW.lane
      FROM consent c
      JOIN patient t ON t.issuer = c.issuer AND t.patient_id = c.patient_id
      JOIN study s ON s.patient_pk = t.patient_pk
      JOIN study_state u USING (study_pk)
     WHERE c.consent_id = NEW.consent_id AND c.state = 'active' AND c.allowed
       AND (c.accession = s.accession OR c.accession IS NULL
            AND to_timestamp(u.first_us / 1e6) > c.valid_from - interval '1 day')
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION expect_studies IS 'Expect the sharing of studies that are there already.';
CREATE TRIGGER consent_plan_is_expected AFTER INSERT ON consent_plan
    FOR EACH ROW EXECUTE FUNCTION expect_studies();

CREATE TABLE share_notice (
    grant_id  bigint      NOT NULL,
    kind      text        NOT NULL,
    issued_at timestamptz NOT NULL,
    sent_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT share_notice_pkey PRIMARY KEY (grant_id, kind, issued_at),
    CONSTRAINT share_notice_kind_is_known CHECK (kind IN ('unopened', 'expiring')),
    CONSTRAINT share_notice_grant_fkey
        FOREIGN KEY (grant_id) REFERENCES share_grant ON DELETE CASCADE
);
COMMENT ON TABLE share_notice IS 'What the holder of a link was reminded of, once for each link.';
COMMENT ON COLUMN share_notice.issued_at IS 'Of the link: a new one may be reminded of again.';

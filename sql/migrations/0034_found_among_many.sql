-- What is looked up in tables that only ever grow, and was found by reading the whole of them. Each
-- table is locked against writing while its index is built: some seconds for a million rows, before
-- anything is served. At the end what guests may see is asked at less cost.

CREATE INDEX study_difference_by_patient ON study_difference (patient_pk);
COMMENT ON INDEX study_difference_by_patient IS
    'the end of a study, a correction: whether an identity is needed still; its foreign key';
CREATE INDEX person_account_of_account ON person_account (account_id);
COMMENT ON INDEX person_account_of_account IS
    'carers: whether who gave their trust was somebody else; ended bindings, too';
CREATE INDEX identity_act_of_first ON identity_act (first);
COMMENT ON INDEX identity_act_of_first IS
    'what was decided of an identity; under which names a patient shared before';
CREATE INDEX identity_act_of_second ON identity_act (second) WHERE second IS NOT NULL;
COMMENT ON INDEX identity_act_of_second IS 'what was decided of an identity';
CREATE INDEX study_identity_in_alert ON study_identity (study_uid) WHERE alert IS NOT NULL;
COMMENT ON INDEX study_identity_in_alert IS 'the worklist: studies made after their patient had died';
CREATE INDEX study_label_by_end ON study_label (until) WHERE until IS NOT NULL;
COMMENT ON INDEX study_label_by_end IS 'every process, twice a second: when the next embargo ends';
CREATE INDEX share_of_person ON share (issuer, patient_id);
COMMENT ON INDEX share_of_person IS 'offer: where a person was reached before';
CREATE INDEX share_by_making ON share (created_at);
COMMENT ON INDEX share_by_making IS 'board: the shares of a day; figures';
CREATE INDEX message_of_mornings ON message (created_at) WHERE template = 'morning';
COMMENT ON INDEX message_of_mornings IS 'every half minute of a morning: whether the night was told of';

-- Asked of each row that guests read: of a series of 20,000 images 20,000 times. Connections for reading
-- plan each search for its values, and so they planned this anew for each row: 15 s; 1 s with one plan.
CREATE OR REPLACE FUNCTION is_shared(uid text) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path FROM CURRENT
    SET plan_cache_mode = force_generic_plan
    AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM share s
          JOIN share_grant g USING (share_id)
          JOIN share_session x USING (grant_id)
         WHERE s.studies @> ARRAY[uid]
           AND s.state IN ('sent', 'verified', 'active') AND s.ends_at > now()
           AND x.level = 1 AND x.ends_at > now());
END
$$;

-- A second person lets an emergency see studies that are labelled sensitive. A new table and view;
-- `emergency` gets a unique key (a small table, locked while it is built), and its view is replaced.

ALTER TABLE emergency ADD CONSTRAINT emergency_is_somebody_s UNIQUE (emergency_id, login);

CREATE TABLE emergency_second (
    emergency_id bigint NOT NULL,
    login        text COLLATE "C" NOT NULL,
    agreed_by    text COLLATE "C" NOT NULL,
    agreed_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT emergency_second_pkey PRIMARY KEY (emergency_id),
    CONSTRAINT emergency_second_emergency_fkey
        FOREIGN KEY (emergency_id, login) REFERENCES emergency (emergency_id, login)
        ON DELETE CASCADE,
    CONSTRAINT emergency_second_is_another CHECK (agreed_by <> login)
);
COMMENT ON TABLE emergency_second IS
    'Who agreed, as a second person, that an emergency sees studies labelled sensitive.';
COMMENT ON COLUMN emergency_second.login IS 'Whose emergency it is: nobody is their own second person.';

CREATE VIEW emergency_locked AS
SELECT e.emergency_id, e.session_id, s.study_uid
  FROM emergency e
  JOIN patient p ON p.issuer = e.issuer AND p.patient_id = e.patient_id AND p.study_uid = ''
  JOIN study s USING (patient_pk)
  JOIN study_label l ON l.study_uid = s.study_uid AND l.label = 'sensitive'
 WHERE e.ended_at IS NULL AND e.ends_at > now()
   AND NOT EXISTS (SELECT FROM emergency_second a WHERE a.emergency_id = e.emergency_id);
COMMENT ON VIEW emergency_locked IS 'The studies an emergency sees only once a second person agrees.';

CREATE OR REPLACE VIEW emergency_reach AS
SELECT e.session_id, e.emergency_id, e.ends_at, s.study_uid
  FROM emergency e
  JOIN patient p ON p.issuer = e.issuer AND p.patient_id = e.patient_id AND p.study_uid = ''
  JOIN study s USING (patient_pk)
 WHERE e.ended_at IS NULL AND e.ends_at > now()
   AND NOT EXISTS (SELECT FROM emergency_locked l
                    WHERE l.emergency_id = e.emergency_id AND l.study_uid = s.study_uid);
COMMENT ON VIEW emergency_reach IS 'The studies lent to a session in an emergency.';

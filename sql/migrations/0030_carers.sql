-- Carers: accounts that act for another person. Whom they act for, by whose word, how far and until
-- when. New tables, functions and views; `session` gets a column without a default, which changes
-- no row and locks it for a moment.

CREATE TABLE carer (
    carer_id    bigint      NOT NULL,
    account_id  bigint,
    login       text COLLATE "C" NOT NULL,
    former      text[] COLLATE "C" NOT NULL DEFAULT '{}',
    identity_id bytea       NOT NULL,
    relation    text        NOT NULL,
    given_as    text        NOT NULL,
    evidence    text[]      NOT NULL,
    may_view    boolean     NOT NULL,
    may_share   boolean     NOT NULL,
    called      bytea       NOT NULL,
    until_age   smallint,
    zone        text        NOT NULL,
    given_at    timestamptz NOT NULL,
    given_by    text        NOT NULL,
    ends_at     timestamptz,
    ended_at    timestamptz,
    ended_by    text,
    reason      text,
    CONSTRAINT carer_pkey PRIMARY KEY (carer_id),
    CONSTRAINT carer_account_fkey
        FOREIGN KEY (account_id) REFERENCES account ON DELETE SET NULL,
    CONSTRAINT carer_number_is_positive CHECK (carer_id > 0),
    CONSTRAINT carer_identity_is_one CHECK (octet_length(identity_id) = 16),
    CONSTRAINT carer_relation_is_known CHECK (relation IN ('parent', 'guardian', 'trusted')),
    CONSTRAINT carer_given_as_is_known CHECK (given_as IN ('desk', 'patient')),
    -- a desk says what it was shown; a patient gives trust, and nothing else, by their own word
    CONSTRAINT carer_desk_was_shown_something
        CHECK ((given_as = 'desk') = (cardinality(evidence) > 0)),
    CONSTRAINT carer_patient_gives_trust CHECK (given_as = 'desk' OR relation = 'trusted'),
    CONSTRAINT carer_may_do_something CHECK (may_view OR may_share),
    CONSTRAINT carer_parent_until_of_age CHECK ((relation = 'parent') = (until_age IS NOT NULL)),
    CONSTRAINT carer_age_is_one CHECK (until_age BETWEEN 1 AND 30),
    CONSTRAINT carer_has_an_end CHECK (relation = 'parent' OR ends_at IS NOT NULL),
    CONSTRAINT carer_ends_later CHECK (ends_at > given_at),
    CONSTRAINT carer_end_is_whole CHECK (num_nulls(ended_at, ended_by, reason) IN (0, 3)),
    CONSTRAINT carer_reason_is_short CHECK (length(reason) BETWEEN 1 AND 500)
);
COMMENT ON TABLE carer IS
    'Accounts that act for another person: by whose word, how far, until when. Journalled.';
COMMENT ON COLUMN carer.carer_id IS 'Drawn, so that a lost database gives it to nobody else.';
COMMENT ON COLUMN carer.account_id IS 'None: the account was lost with the database; a desk gives another.';
COMMENT ON COLUMN carer.former IS 'Logins of accounts they had before, lost with a database: what they did stands under those.';
COMMENT ON COLUMN carer.identity_id IS 'Whom they act for, with all that is linked to it. No reference: a reindex makes identities anew.';
COMMENT ON COLUMN carer.evidence IS 'What a desk was shown: sorts of papers, never what stands in them.';
COMMENT ON COLUMN carer.called IS 'What the carer is called, as the person they act for is told; sealed.';
COMMENT ON COLUMN carer.until_age IS 'A parent''s ends at midnight of this birthday, by the birth date as it is then.';
CREATE INDEX carer_of_account ON carer (account_id) WHERE ended_at IS NULL;
COMMENT ON INDEX carer_of_account IS 'for whom somebody acts';
CREATE INDEX carer_of_identity ON carer (identity_id);
COMMENT ON INDEX carer_of_identity IS 'who acts for a person; identities that stay';

CREATE TABLE carer_hidden (
    study_uid text COLLATE "C" NOT NULL,
    hidden_at timestamptz NOT NULL,
    hidden_by text NOT NULL,
    CONSTRAINT carer_hidden_pkey PRIMARY KEY (study_uid),
    CONSTRAINT carer_hidden_uid_is_uid CHECK (study_uid ~ '^[0-9.]{1,64}$')
);
COMMENT ON TABLE carer_hidden IS 'Studies a person keeps from whoever acts for them. Journalled.';

CREATE FUNCTION comes_of_age(born date, years integer, zone text) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE STRICT
    -- who was born on 29 February has the birthday on 1 March where there is none
    RETURN greatest((born + make_interval(years => years))::date,
                    (born - 1 + make_interval(years => years))::date + 1)::timestamp
           AT TIME ZONE zone;
COMMENT ON FUNCTION comes_of_age IS 'Midnight of a birthday, where the archive is.';

CREATE VIEW carer_standing AS
SELECT c.*, me.person_id, b.born,
       CASE WHEN c.relation <> 'parent' THEN c.ends_at
            WHEN b.born IS NULL THEN c.given_at
            ELSE least(c.ends_at, comes_of_age(b.born, c.until_age, c.zone)) END AS until,
       c.ended_at IS NULL
       -- trust given by an account that was ended, since it was somebody else's, is worth nothing
       AND NOT (c.given_as = 'patient'
                AND EXISTS (SELECT FROM account a
                              JOIN person_account x ON x.account_id = a.account_id
                             WHERE a.login = c.given_by AND x.ended_at IS NOT NULL))
       AND CASE WHEN c.relation <> 'parent' THEN c.ends_at > now()
                WHEN b.born IS NULL THEN false
                ELSE least(c.ends_at, comes_of_age(b.born, c.until_age, c.zone)) > now()
           END AS holds,
       c.login || '#for-' || c.carer_id AS acts_as,
       ARRAY(SELECT n || '#for-' || c.carer_id
               FROM unnest(c.login || c.former) AS n) AS acted_as
  FROM carer c
  LEFT JOIN identity me USING (identity_id)
  LEFT JOIN LATERAL (SELECT min(i.birth_date) AS born
                       FROM identity i
                      WHERE i.person_id = me.person_id AND NOT i.quarantined) b ON true;
COMMENT ON VIEW carer_standing IS
    'Whether each carer may act now, and until when: never longer for a parent than the birth date says today.';

CREATE VIEW carer_reach AS
SELECT c.carer_id, s.study_uid
  FROM carer_standing c
  JOIN identity i ON i.person_id = c.person_id
  JOIN study_identity s ON s.identity_id = i.identity_id
 WHERE c.holds AND NOT i.quarantined AND s.alert IS NULL
   AND NOT EXISTS (SELECT FROM identity_due d WHERE d.study_uid = s.study_uid)
   AND NOT EXISTS (SELECT FROM carer_hidden h WHERE h.study_uid = s.study_uid);
COMMENT ON VIEW carer_reach IS
    'The studies each carer may act on: as their person sees them, less what the person keeps from carers.';

CREATE FUNCTION owners_of(owner text) RETURNS text[]
    LANGUAGE sql STABLE
    RETURN ARRAY[owner] || ARRAY(
        SELECT DISTINCT n.name
          FROM account a
          JOIN person_account b USING (account_id)
          JOIN identity me ON me.identity_id = b.identity_id
          JOIN identity i ON i.person_id = me.person_id
         CROSS JOIN LATERAL (
             -- carers, who act or acted for the person
             SELECT unnest(c.login || c.former) || '#for-' || c.carer_id AS name
               FROM carer c
              WHERE c.identity_id = i.identity_id
              UNION ALL
             -- accounts that were the person's in a database that was lost: the journal has their names
             SELECT substr(t.reason, length('account ') + 1)
               FROM identity_act t
              WHERE t.op = 'identity-bound' AND t.first = i.identity_id
                AND NOT EXISTS (SELECT FROM account known
                                 WHERE known.login = substr(t.reason, length('account ') + 1))) n
         WHERE a.login = owner AND b.ended_at IS NULL AND b.confirmed_at IS NOT NULL);
COMMENT ON FUNCTION owners_of IS
    'Under which names a patient shared and asked: their own, those of carers who act or acted for them, and of accounts that were lost.';

ALTER TABLE session ADD COLUMN carer_id bigint;
COMMENT ON COLUMN session.carer_id IS
    'For whom it acts now. No reference: what is not there any more shows nothing, never one''s own.';

-- Links between two identities that show more of somebody to others wait for a second person. A new
-- table, function and view; `identity_pair` and `identity_act` get a column without a default, which
-- changes no row and locks them for a moment.

ALTER TABLE identity_pair ADD COLUMN proposed_by text;
COMMENT ON COLUMN identity_pair.proposed_by IS 'Who proposed what decided_by agreed to; none: one person decided.';
ALTER TABLE identity_act ADD COLUMN proposed_by text;
COMMENT ON COLUMN identity_act.proposed_by IS 'Who proposed what the actor agreed to; none: one person decided.';

CREATE TABLE identity_proposal (
    proposal_id  bigint GENERATED ALWAYS AS IDENTITY,
    first        bytea       NOT NULL,
    second       bytea       NOT NULL,
    seen         bytea       NOT NULL,
    reason       text        NOT NULL,
    proposed_by  text COLLATE "C" NOT NULL,
    proposed_at  timestamptz NOT NULL DEFAULT now(),
    by_developer boolean     NOT NULL,
    ends_at      timestamptz NOT NULL,
    ended_at     timestamptz,
    ended_by     text COLLATE "C",
    outcome      text,
    remark       text,
    CONSTRAINT identity_proposal_pkey PRIMARY KEY (proposal_id),
    CONSTRAINT identity_proposal_is_of_two CHECK (first < second),
    CONSTRAINT identity_proposal_seen_is_hashed CHECK (octet_length(seen) = 32),
    CONSTRAINT identity_proposal_reason_is_short CHECK (length(reason) BETWEEN 1 AND 500),
    CONSTRAINT identity_proposal_ends_later CHECK (ends_at > proposed_at),
    CONSTRAINT identity_proposal_end_is_whole
        CHECK (num_nulls(ended_at, ended_by, outcome) IN (0, 3)),
    CONSTRAINT identity_proposal_outcome_is_known
        CHECK (outcome IN ('agreed', 'refused', 'withdrawn', 'decided', 'changed', 'lapsed')),
    CONSTRAINT identity_proposal_refused_for_a_reason
        CHECK (outcome IS DISTINCT FROM 'refused' OR length(remark) BETWEEN 1 AND 500),
    -- everybody at the shell is one person; a developer's archive has one person alone
    CONSTRAINT identity_proposal_second_is_another
        CHECK (outcome IS DISTINCT FROM 'agreed' OR by_developer
               OR regexp_replace(ended_by, '^shell(:.*)?$', 'shell')
                  <> regexp_replace(proposed_by, '^shell(:.*)?$', 'shell'))
);
COMMENT ON TABLE identity_proposal IS
    'Two identities somebody says are one person, where it takes a second person to link them. Not journalled: a lost one links nothing.';
COMMENT ON COLUMN identity_proposal.first IS 'No reference: a reindex makes identities anew.';
COMMENT ON COLUMN identity_proposal.seen IS 'Hash of what was known of both persons when it was proposed.';
COMMENT ON COLUMN identity_proposal.by_developer IS 'Proposed under --dev, where nobody else is: the one exception of the second person.';
CREATE UNIQUE INDEX identity_proposal_once ON identity_proposal (first, second)
    WHERE ended_at IS NULL;
COMMENT ON INDEX identity_proposal_once IS 'one proposal for two at a time; what waits for a second person';
CREATE INDEX identity_proposal_refused ON identity_proposal (first, second, ended_at)
    WHERE outcome = 'refused';
COMMENT ON INDEX identity_proposal_refused IS 'the worklist: why somebody refused before';

CREATE FUNCTION identities_seen(one bytea, other bytea) RETURNS bytea
    LANGUAGE sql STABLE
    RETURN sha256(convert_to(coalesce((
        SELECT string_agg(jsonb_build_array(
                   encode(i.identity_id, 'hex'), encode(i.person_id, 'hex'), i.name, i.birth_date,
                   i.sex, i.numbers, encode(i.address, 'hex'), i.death_date,
                   i.quarantined)::text, E'\n' ORDER BY i.identity_id)
          FROM identity i
         WHERE i.person_id IN (
               SELECT p.person_id FROM identity p WHERE p.identity_id IN (one, other))), ''),
        'UTF8'));
COMMENT ON FUNCTION identities_seen IS
    'Hash of what is known of the persons of two identities: it differs once anything of it does.';

CREATE VIEW identity_proposal_standing AS
SELECT p.*,
       CASE WHEN p.ended_at IS NOT NULL THEN p.outcome
            WHEN p.ends_at <= now() THEN 'lapsed'
            WHEN p.seen <> identities_seen(p.first, p.second) THEN 'changed'
            ELSE 'open' END AS standing
  FROM identity_proposal p;
COMMENT ON VIEW identity_proposal_standing IS
    'How each proposal stands now: it ends by its time, and by a change of what was compared.';

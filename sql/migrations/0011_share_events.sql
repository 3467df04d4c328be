-- What happened with one share, for its page. The table is read once and locked against writing
-- meanwhile: some seconds for a million rows, before anything is served.

CREATE INDEX audit_by_share ON audit ((detail ->> 'share'), id) WHERE detail ? 'share';
COMMENT ON INDEX audit_by_share IS 'the history of one share';

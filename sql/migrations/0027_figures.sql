-- How many discs were asked for, month by month, without a walk through the whole trail. Writers of
-- `audit` wait while its index is built.

CREATE INDEX audit_discs_asked ON audit (at) WHERE kind = 'disc.asked';
COMMENT ON INDEX audit_discs_asked IS 'figures: discs of a month';

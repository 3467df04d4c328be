-- name: insert_audit
-- Write down any number of acts in one statement. Rows without a time of their own take that of
-- the transaction they belong to.
INSERT INTO audit
    (at, kind, outcome, principal, actor_kind, address, study, series, instance, detail)
SELECT coalesce(act.at, now()), act.kind, act.outcome, act.principal, act.actor_kind, act.address,
       act.study, act.series, act.instance, act.detail::jsonb
  FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
              %s::text[], %s::text[], %s::text[], %s::text[])
       WITH ORDINALITY
    AS act (at, kind, outcome, principal, actor_kind, address, study, series, instance, detail,
            number)
 ORDER BY act.number;

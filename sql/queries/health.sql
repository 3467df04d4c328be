-- name: read_health
-- What is cheap to see of a server and of what the archive's role may do there. Sessions are counted
-- by database: of those of others a role without rights sees no more.
SELECT current_setting('server_version_num')::int,
       current_setting('transaction_read_only') = 'on',
       current_setting('server_encoding'),
       current_setting('fsync') = 'on',
       current_setting('full_page_writes') = 'on',
       current_setting('synchronous_commit') <> 'off',
       (SELECT d.datcollversion <> pg_database_collation_actual_version(d.oid)
          FROM pg_database d WHERE d.datname = current_database()) IS TRUE,
       current_setting('max_connections')::int
           - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true)::int, 0),
       (SELECT coalesce(sum(s.numbackends), 0)::int FROM pg_stat_database s),
       to_regnamespace(quote_ident(%(schema)s)) IS NOT NULL,
       CASE WHEN to_regnamespace(quote_ident(%(schema)s)) IS NULL
            THEN has_database_privilege(current_database(), 'CREATE')
            ELSE has_schema_privilege(to_regnamespace(quote_ident(%(schema)s)), 'CREATE')
             AND has_schema_privilege(to_regnamespace(quote_ident(%(schema)s)), 'USAGE')
       END,
       (SELECT count(*)::int FROM pg_class c
         WHERE c.relnamespace = to_regnamespace(quote_ident(%(schema)s))
           AND c.relkind = 'r'
           AND NOT pg_has_role(c.relowner, 'USAGE')),
       EXISTS (SELECT FROM pg_available_extensions e WHERE e.name = 'pg_trgm');

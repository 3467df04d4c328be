-- What a function does as its owner it does in tables of the archive. A path that does not name the
-- schema of temporary tables has it first: who serves guests could make a table or a view called share
-- there, see each study by it, and have programs of theirs run as the owner. Nor is public needed.
-- No table is locked, and nothing waits.

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
ALTER FUNCTION is_shared(text) SET search_path FROM CURRENT;
ALTER FUNCTION share_sendings(bigint) SET search_path FROM CURRENT;

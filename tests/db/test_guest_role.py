"""The role guests are served with: what it may do is what is written down, and nothing more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.conftest import SCHEMA, TestPostgres
from vna.db import account, guest_role
from vna.db.pool import Database
from vna.errors import ConfigError

# everything is imported before: the other user may not read where Python lies
_BECOME = """
import sys
import psycopg
from vna.db import account
psycopg.connect(sys.argv[3]).close()
account.named(account.GUESTS).become()
try:
    open(sys.argv[1]).read()
except PermissionError:
    print("closed")
for dsn in sys.argv[2:]:
    try:
        with psycopg.connect(dsn) as conn:
            print(conn.execute("SELECT current_user").fetchone()[0])
    except psycopg.OperationalError:
        print("refused")
"""


@pytest.fixture
def guests(postgres: TestPostgres, database: Database) -> Iterator[psycopg.Connection]:
    """A connection as the role, to an archive of this test alone."""
    guest_role.make(postgres.cluster.admin_dsn())
    guest_role.make(postgres.cluster.admin_dsn())  # it is there
    guest_role.give(database.dsn, SCHEMA)
    guest_role.give(database.dsn, SCHEMA)  # and has its rights
    dsn = make_conninfo(
        database.dsn, user=guest_role.ROLE, options=f"-c search_path={SCHEMA},public"
    )
    with psycopg.connect(dsn, autocommit=True) as conn:
        yield conn


def test_no_table_and_no_column_may_be_used_but_those_that_are_named(
    guests: psycopg.Connection,
) -> None:
    columns = guests.execute(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'v') "
        "AND a.attnum > 0 AND NOT a.attisdropped",
        (SCHEMA,),
    ).fetchall()
    assert len(columns) > 500
    for table, column in columns:
        rights = guest_role.RIGHTS.get(table, {})
        for verb in ("SELECT", "INSERT", "UPDATE", "REFERENCES"):
            named = verb in rights and column in (rights[verb] or (column,))
            row = guests.execute(
                "SELECT has_column_privilege(%s, %s, %s)", (table, column, verb)
            ).fetchone()
            assert row == (named,), (table, column, verb)
    for table in {table for table, _ in columns}:
        for verb in ("DELETE", "TRUNCATE", "TRIGGER"):
            row = guests.execute("SELECT has_table_privilege(%s, %s)", (table, verb)).fetchone()
            assert row == (verb in guest_role.RIGHTS.get(table, {}),), (table, verb)


def test_every_right_is_of_a_table_there_is(guests: psycopg.Connection) -> None:
    tables = {
        row[0]
        for row in guests.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace", (SCHEMA,)
        )
    }
    assert set(guest_role.RIGHTS) <= tables


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT detail FROM audit",
        "UPDATE study SET patient_name = ''",
        "DELETE FROM instance",
        "SELECT owner_key FROM share",
        "SELECT signature FROM consent",
        "SELECT sealed FROM message",
        "SELECT passphrase FROM account",
        "SELECT * FROM session",
        "SELECT sealed FROM webhook",
        "INSERT INTO job (kind, requested_by) VALUES ('forward', 'share/1/1')",
        "INSERT INTO audit (kind, outcome, principal, actor_kind) "
        "VALUES ('study.deleted', 'done', 'alice', 'person')",
        "INSERT INTO message (token, channel, masked, template, language, requested_by, until_at) "
        "VALUES ('', 'email', '', 'reset', 'en', '', now())",
        "SELECT set_config('role', 'vna', false)",
        "CREATE TABLE mine (number integer)",
        "SELECT count_study(1), pg_read_file('/etc/passwd')",
    ],
)
def test_what_no_guest_needs_is_refused(guests: psycopg.Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        guests.execute(sql.SQL(statement))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_os_user_comes_in_as_this_role_alone_and_reads_none_of_our_files(
    postgres: TestPostgres, database: Database, tmp_path: Path
) -> None:
    guest_role.make(postgres.cluster.admin_dsn())
    assert account.for_guests().name == account.GUESTS
    key = tmp_path / "root.key"
    key.write_bytes(b"secret")
    key.chmod(0o400)
    theirs = guest_role.dsn_as(database.dsn)
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            _BECOME,
            str(key),
            theirs,
            database.dsn,
            postgres.cluster.admin_dsn(),
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["closed", "vna_share", "refused", "refused"]


def test_where_another_user_cannot_read_the_program_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    found = account.for_guests(hidden)
    assert found == account.current()
    assert bool(caplog.records) == (os.geteuid() == 0)


def test_a_role_nobody_made_is_named_with_the_way_to_make_it(database: Database) -> None:
    with pytest.raises(ConfigError, match="CREATE ROLE nobody_made_it LOGIN"):
        guest_role.give(database.dsn, SCHEMA, "nobody_made_it")


# A path that does not name the temporary schema has it first, whatever it says (PostgreSQL,
# "Writing SECURITY DEFINER Functions Safely")
_SHADOWS = """
CREATE TEMP TABLE share (share_id bigint, studies text[], state text, ends_at timestamptz);
CREATE TEMP TABLE share_grant (share_id bigint, grant_id bigint);
CREATE TEMP TABLE share_session (grant_id bigint, level integer, ends_at timestamptz);
INSERT INTO pg_temp.share VALUES (1, '{1.2.3}', 'active', 'infinity');
INSERT INTO pg_temp.share_grant VALUES (1, 1);
INSERT INTO pg_temp.share_session VALUES (1, 1, 'infinity');
GRANT SELECT ON pg_temp.share, pg_temp.share_grant, pg_temp.share_session TO PUBLIC;
"""
_PROGRAM = """
CREATE FUNCTION pg_temp.run() RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'as %', current_user; END $$;
DROP TABLE pg_temp.share;
CREATE TEMP VIEW share AS
    SELECT 1::bigint AS share_id, ARRAY['1.2.3'] AS studies, pg_temp.run() AS state,
           'infinity'::timestamptz AS ends_at;
GRANT SELECT ON pg_temp.share TO PUBLIC;
"""


def test_tables_of_their_own_show_guests_no_study_that_nobody_shares(
    guests: psycopg.Connection,
) -> None:
    guests.execute(_SHADOWS)
    row = guests.execute("SELECT is_shared('1.2.3')").fetchone()
    assert row == (False,)


def test_no_program_of_theirs_runs_as_the_owner_of_the_tables(guests: psycopg.Connection) -> None:
    guests.execute(_SHADOWS)
    guests.execute(_PROGRAM)
    row = guests.execute("SELECT is_shared('1.2.3')").fetchone()  # theirs would raise
    assert row == (False,)


def test_what_is_done_as_the_owner_is_done_in_tables_of_the_archive_alone(
    guests: psycopg.Connection,
) -> None:
    paths = guests.execute(
        "SELECT proconfig FROM pg_proc WHERE prosecdef AND pronamespace = %s::regnamespace",
        (SCHEMA,),
    ).fetchall()
    assert paths
    for (settings,) in paths:
        assert f"search_path={SCHEMA}, pg_temp" in settings

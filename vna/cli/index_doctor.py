"""What `vna doctor` looks at in a PostgreSQL that is somebody else's (`postgres.url`)."""

from __future__ import annotations

from collections.abc import Iterator

from vna import app
from vna.cli.finding import FAIL, OK, WARN, Finding
from vna.config import Settings
from vna.db import health, migrate
from vna.db.health import Health
from vna.db.pool import Database
from vna.errors import ConfigError, VNAError

_WHAT = "postgres"
_LOOK_S = 5.0
_OF_RELEASE = "look at postgres.url, postgres.schema, the role's rights, and at this release"
_ANSWERS = (
    "see that the server runs, what its log says, and where postgres.url (VNA_DATABASE_URL) leads"
)


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at the server, at its settings, at the role's rights and at the schema."""
    database = app.connected(settings, settings.postgres.url)
    try:
        with database.reading(statement_s=_LOOK_S) as conn:
            migrate.require_recent(conn)  # an older one does not know what is asked for
            found = health.read(conn, settings.postgres.schema)
        yield from judged(found, settings)
        yield _schema(database, found)
    except VNAError as exc:  # one of the configuration says itself what is to be done
        advice = "" if isinstance(exc, ConfigError) else _ANSWERS
        yield Finding(_WHAT, FAIL, str(exc), advice)
    finally:
        database.close()


def judged(found: Health, settings: Settings) -> Iterator[Finding]:
    """Say what is wrong with a server; that nothing is, too."""
    wrong = [*_of_server(found), *_of_disk(found, settings), *_of_rights(found)]
    wrong += _of_room(found, settings.postgres.connections)
    seen = f"server {found.version // 10000} at postgres.url"
    yield from wrong or [Finding(_WHAT, OK, f"{seen}, durable, {_free(found)} connections free")]


def _schema(database: Database, found: Health) -> Finding:
    """Say whether the schema is that of this release."""
    if not found.has_schema:
        return Finding("schema", WARN, "there is none of this archive yet", "vna init")
    try:
        with database.reading(statement_s=_LOOK_S) as conn:
            missing = migrate.pending(conn)
    except ConfigError as exc:
        return Finding("schema", FAIL, str(exc), _OF_RELEASE)
    if missing:
        seen = f"{len(missing)} behind: {missing[0].name} is the first that is not applied"
        return Finding("schema", WARN, seen, "vna init; `vna serve` does it as well when it starts")
    return Finding("schema", OK, "up to date")


def _of_server(found: Health) -> Iterator[Finding]:
    if found.is_read_only:
        advice = "name the primary in postgres.url (target_session_attrs=read-write finds it)"
        yield Finding(_WHAT, FAIL, "it takes no changes: a standby, or read only", advice)
    if found.encoding != "UTF8":
        seen = f"the database holds {found.encoding}: not every patient's name can be written there"
        yield Finding(_WHAT, FAIL, seen, "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0")
    if found.is_collation_changed:
        seen = "the system's rules of sorting changed under its indexes"
        advice = "REINDEX DATABASE, then ALTER DATABASE ... REFRESH COLLATION VERSION"
        yield Finding(_WHAT, WARN, seen, advice)


def _of_disk(found: Health, settings: Settings) -> Iterator[Finding]:
    """What was acknowledged has to outlive a power cut; for trying out it need not."""
    state = WARN if settings.dev else FAIL
    if not found.is_synced:
        seen = "fsync is off: a power cut may take the index, not only its last rows"
        yield Finding(_WHAT, state, seen, "set it on")
    if not found.is_commit_durable:
        seen = "synchronous_commit is off: what was acknowledged may be lost"
        advice = "set it on, for the server, for the database and for the role (pg_db_role_setting)"
        yield Finding(_WHAT, state, seen, advice)
    if not found.has_full_pages:
        seen = "full_page_writes is off: a page torn by a power cut cannot be mended"
        yield Finding(_WHAT, WARN, seen, "set it on, unless its file system writes pages whole")


def _of_rights(found: Health) -> Iterator[Finding]:
    if not found.may_change:
        where = "the schema" if found.has_schema else "the database"
        seen = f"the archive's role may not make anything in {where}: migrations would fail"
        kind = "SCHEMA" if found.has_schema else "DATABASE"
        yield Finding(_WHAT, FAIL, seen, f"GRANT ALL ON {kind} ... TO the role of postgres.url")
    if found.of_others:
        seen = f"{found.of_others} tables of the schema belong to another role"
        advice = "ALTER TABLE ... OWNER TO the role of postgres.url, or make it a member of theirs"
        yield Finding(_WHAT, FAIL, seen, advice)
    if not found.has_trigrams:
        advice = "install what the system calls postgresql-contrib on the server"
        yield Finding(_WHAT, FAIL, "the extension pg_trgm is not there", advice)


def _of_room(found: Health, wanted: int) -> Iterator[Finding]:
    if _free(found) < wanted:
        seen = f"{_free(found)} of {found.places} connections are free"
        advice = f"each process of the archive takes up to {wanted}: raise max_connections"
        yield Finding(_WHAT, WARN, seen, advice)


def _free(found: Health) -> int:
    return max(found.places - found.taken, 0)

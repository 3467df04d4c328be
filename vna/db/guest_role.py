"""What the database lets the process do that serves guests: a role of its own, and its rights.

Rows of the catalogue that no share shows are kept from it by policies (0028_apart.sql); here are
the tables and columns. What is not named is refused: audit rows cannot be read, nor accounts,
consents, messages or the archive's keys of shares, and nothing of the catalogue can be changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from vna.db.faults import translating
from vna.db.pool import conninfo
from vna.errors import ConfigError

ROLE = "vna_share"

Rights = Mapping[LiteralString, Sequence[str] | None]
"""Columns by verb; None is all of them."""

_ALL: Rights = {"SELECT": None}
RIGHTS: Mapping[str, Rights] = {
    # the catalogue, to be read
    "study": _ALL,
    "series": _ALL,
    "instance": _ALL,
    "study_state": _ALL,
    "series_state": _ALL,
    "study_difference": _ALL,
    "series_difference": _ALL,
    "study_extra": _ALL,
    "series_extra": _ALL,
    "instance_extra": _ALL,
    "instance_json": {"SELECT": ("instance_pk", "deriver", "dict_id", "sealed")},
    "instance_blob": {
        "SELECT": (
            *("instance_pk", "header", "payload_len", "pixel_tag", "pixel_vr", "pixel_offset"),
            *("pixel_length", "frame_count", "frame_table", "bulk", "group2", "preamble"),
        )
    },
    "modality": _ALL,
    "searchable": _ALL,
    "study_overlay": {"SELECT": ("study_uid", "version", "corrected_at", "changes")},
    "study_label": {"SELECT": ("study_uid", "label", "until")},
    "label_revision": _ALL,
    # shares: what is shown to whom; not who may share, nor the archive's copies of keys
    "share": {
        "SELECT": (
            *("share_id", "number", "purpose", "consent_id", "person", "studies", "reports"),
            *("download", "forward", "ends_at", "max_opens", "opens", "notify", "language"),
            "state",
        ),
        "UPDATE": ("opens", "state"),
    },
    "share_item": _ALL,
    "share_later_key": _ALL,
    "consent": {"SELECT": ("consent_id", "state", "valid_to")},
    "share_grant": {
        "SELECT": None,
        "INSERT": None,
        "UPDATE": (
            *("state", "wrong", "opens", "first_open_at", "last_open_at"),
            *("ended_at", "ended_by", "reason"),
        ),
    },
    "share_session": {"SELECT": None, "INSERT": None, "UPDATE": None, "DELETE": None},
    "capability": {"SELECT": None, "INSERT": None, "UPDATE": None, "DELETE": None},
    "one_time_code": {"SELECT": None, "INSERT": None, "UPDATE": ("state", "tries")},
    "contact_channel": {
        "SELECT": None,
        "INSERT": None,
        "UPDATE": ("state", "verified_at", "verified_by"),
    },
    # archives that are offered, and what is to be sent there
    "remote": {"SELECT": ("ae_title", "offered_as")},
    "peer": {"SELECT": ("name", "offered_as")},
    "share_sending": {"INSERT": None},
    "job_item": {"INSERT": None},
    "rate": {"SELECT": None, "INSERT": None, "UPDATE": None, "DELETE": None},
    # what is left for others to do: never to be read again
    "audit": {"INSERT": None},
    "journal_entry": {"SELECT": ("entry_id",), "INSERT": None},
    "job": {"SELECT": ("job_id", "kind", "remote", "token"), "INSERT": None},
    "message": {
        "SELECT": ("message_id", "grant_id", "state"),
        "INSERT": None,
        "UPDATE": ("job_id", "state", "sealed", "next_at", "changed_at"),
    },
}


def dsn_as(dsn: str, role: str = ROLE) -> str:
    """Say how to connect as the role, at the same server. Raises `ConfigError`."""
    try:
        return make_conninfo(dsn, user=role)
    except psycopg.ProgrammingError as exc:
        raise ConfigError("postgres.url is not a PostgreSQL connection URL.") from exc


def role_of(dsn: str) -> str:
    """Say as whom a URL connects. Raises `ConfigError` when it names nobody."""
    try:
        role = conninfo_to_dict(dsn).get("user")
    except psycopg.ProgrammingError as exc:
        raise ConfigError("sharing.database_url is not a PostgreSQL connection URL.") from exc
    if not role:
        raise ConfigError("sharing.database_url names no user.")
    return str(role)


def make(admin_dsn: str, role: str = ROLE) -> None:
    """Make the role where it is missing; asked of who may make roles. Raises `Unavailable`."""
    with translating(), psycopg.connect(admin_dsn, autocommit=True) as conn:
        if not _is_there(conn, role):
            conn.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))


def give(dsn: str, schema: str, role: str = ROLE) -> None:
    """Give the role its rights, and take from it what else it has. Raises `ConfigError`."""
    with translating(), psycopg.connect(conninfo(dsn)) as conn:
        if not _is_there(conn, role):
            raise ConfigError(
                f"The database has no role {role}; its administrator makes it: "
                f"CREATE ROLE {role} LOGIN PASSWORD '...'."
            )
        conn.execute("SELECT pg_advisory_xact_lock(hashtext('vna rights'), hashtext(%s))", [schema])
        conn.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(schema)))
        for statement in _statements(schema, role):
            conn.execute(statement)


def _is_there(conn: psycopg.Connection[tuple[object, ...]], role: str) -> bool:
    return conn.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).rowcount > 0


def _statements(schema: str, role: str) -> list[sql.Composed]:
    of, within = sql.Identifier(role), sql.Identifier(schema)
    made = [
        sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}").format(within, of),
        sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(within, of),
    ]
    for table, rights in RIGHTS.items():
        for verb, columns in rights.items():
            said = sql.Composed([])
            if columns is not None:
                said = sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Identifier, columns)))
            named = sql.Identifier(table)
            made.append(sql.SQL("GRANT {} {} ON {} TO {}").format(sql.SQL(verb), said, named, of))
    return made

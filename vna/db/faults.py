"""What PostgreSQL's errors mean to us: SQLSTATE -> our error, in one table.

PostgreSQL's own text is never passed on: it may quote a value, and a value may be a patient's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from vna.errors import (
    ConfigError,
    Conflict,
    Contended,
    Corrupt,
    InvalidRequest,
    Unavailable,
    VNAError,
)

_AWAY = "The index database cannot be reached; try again later."
_BUSY = "The index database is busy with the same records; try again."
_FULL = "The index database is out of disk space, memory or connections; try again later."
_NOT_LET_IN = "The index database does not let the archive in; look at postgres.url."
POOLED = (
    "A connection pooler lies between the archive and its index database and drops what each "
    "connection asks for; postgres.url must name the server itself."
)

# PostgreSQL's Appendix A. A full code is looked up first, then its class of two characters.
_FAULTS: dict[str, tuple[type[VNAError], str]] = {
    "08": (Unavailable, _AWAY),
    "22": (InvalidRequest, "A value is not one the index can hold or compare."),
    "23": (Conflict, "The change contradicts what the index holds."),
    "23503": (Contended, _BUSY),  # what a row points to was removed by another transaction
    "23505": (Conflict, "The index holds this already."),
    "25006": (Unavailable, "The index database takes no changes now; try again later."),
    "28": (ConfigError, _NOT_LET_IN),
    "3D000": (ConfigError, "The index database named in postgres.url does not exist."),
    "40": (Contended, _BUSY),
    "42501": (ConfigError, "The archive's database role lacks a right it needs."),
    "42P01": (ConfigError, "The index database has no schema of this archive; run `vna init`."),
    "53": (Unavailable, _FULL),
    "55": (Unavailable, _BUSY),
    "57": (Unavailable, _AWAY),
    "57014": (Unavailable, "The index database took longer than the limit; narrow the request."),
    "58": (Unavailable, "The index database has trouble with its disk; try again later."),
    "XX001": (Corrupt, "The index database found damaged data; run `vna reindex`."),
    "XX002": (Corrupt, "The index database found a damaged index; run `vna reindex`."),
}

_OF_VALUES = ("22", "23", "42804", "42883")  # the last two: of another type than their column

# A connection that is refused has no code in the driver, only the server's own words in English.
# All may be over at once: whoever renews a password changes it in two places, one after the other.
_REFUSALS: dict[str, tuple[type[VNAError], str]] = {
    "authentication failed": (Unavailable, _NOT_LET_IN),
    "no pg_hba.conf entry": (Unavailable, _NOT_LET_IN),
    "is not permitted to log in": (Unavailable, _NOT_LET_IN),
    "no password supplied": (Unavailable, _NOT_LET_IN),
    "unsupported startup parameter": (Unavailable, POOLED),
    "No space left on device": (Unavailable, _FULL),
    "too many clients already": (Unavailable, _FULL),
    "connection slots are reserved": (Unavailable, _FULL),
    "invalid page in block": (
        Unavailable,
        "The index database is damaged and lets nobody in: restore it from a backup, or have it "
        "made anew (docs/operations.md, Losing things).",
    ),
}


def translate(exc: psycopg.Error) -> VNAError:
    """Say in our words what PostgreSQL or its driver reported."""
    state = exc.sqlstate
    if state is None:
        return _of_the_driver(exc)
    kind, message = _FAULTS.get(state) or _FAULTS.get(state[:2]) or (VNAError, "")
    return kind(message or f"The index database reported an unexpected error ({state}).")


@contextmanager
def translating() -> Iterator[None]:
    """Let no error of the driver pass."""
    try:
        yield
    except psycopg.Error as exc:
        raise translate(exc) from exc


def is_of_values(exc: BaseException) -> bool:
    """Say whether values were not taken, today or ever, and it is no matter of the server's state.

    The same would be refused again: what holds the values is at fault.
    """
    cause = exc.__cause__
    if not isinstance(cause, psycopg.Error):
        return False
    if cause.sqlstate is None:  # the driver itself could not send them
        return not isinstance(cause, (errors.OperationalError, errors.InterfaceError))
    return cause.sqlstate.startswith(_OF_VALUES)


def _of_the_driver(exc: psycopg.Error) -> VNAError:
    """Errors without a code never reached the server, or lost it on the way."""
    if isinstance(exc, (errors.OperationalError, errors.InterfaceError)):
        said = str(exc)
        kind, message = next((m for t, m in _REFUSALS.items() if t in said), (Unavailable, _AWAY))
        return kind(message)
    if isinstance(exc, errors.DataError):  # a zero byte in a text, for example
        kind, message = _FAULTS["22"]
        return kind(message)
    return VNAError("The index database's driver reported an unexpected error.")

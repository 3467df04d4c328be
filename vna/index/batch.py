"""A batch of registrations on its way to the server: one array of one composite type.

A row has 44 fields. Packed here, field by field in the binary form of the type `registration`, it
costs 20 us; as an array a column, each through the driver, a single row cost 120 us.
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import pq
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.types import TypeInfo

from vna.db.once import run_once
from vna.db.pool import Connection
from vna.db.statements import load
from vna.errors import ConfigError
from vna.index import faces
from vna.index.registration import Registration

SQL = load("index")
TYPE = "registration"


@dataclass(frozen=True, slots=True)
class Entry:
    """One registration with its attributes parted by level."""

    item: Registration
    study: dict[str, Any]  # DICOM JSON elements
    series: dict[str, Any]
    study_variant: int
    series_variant: int
    row: bytes  # a value of the type

    @property
    def age(self) -> tuple[int, bytes]:
        """The place of the blob in time: the smallest of a study shows its attributes."""
        return self.item.created_us, self.item.blob_id


@dataclass(frozen=True, slots=True)
class Inserted:
    """Which of a batch did not go in, and which are unlike what their study or series shows."""

    refused: frozenset[int]
    unlike: frozenset[int]


def entry(item: Registration) -> Entry:
    """Part the attributes of one registration and lay out its row."""
    study, series, own = faces.part(item.attributes, item.issuer)
    study_variant, series_variant = faces.variant(study), faces.variant(series)
    row = _pack(
        *(item.ref.study, study_variant, item.ref.series, series_variant, item.ref.instance),
        *(item.sop_class, item.transfer_syntax, item.created_us, item.blob_id, item.digest),
        *(item.key_id, item.key_version, item.size),
        *faces.instance_columns(own, sorted(item.flags)),
        *(item.header, item.payload_len, item.checksum, *(item.pixel or (None,) * 4)),
        *(item.frame_count, item.frames, item.bulk, item.group2, item.preamble),
        *(item.received_at, item.proto, item.calling_ae, item.called_ae, item.address),
        *(item.principal, item.charset, item.metadata, item.deriver, item.actor_kind),
    )
    return Entry(item, study, series, study_variant, series_variant, row)


def insert(
    tx: Connection,
    entries: Sequence[Entry],
    *,
    reason: str | None = None,
    act: str | None = None,
) -> Inserted | None:
    """Insert instances into known series; None, and nothing done, when something above is new.

    With a reason they go in as versions that are not current and not counted. With an act each
    one inserted leaves a row of that kind in the audit trail.
    """
    order = _order(entries)
    rows = _Rows(entries[n].row for n in order)
    _learn_type(tx)
    cursor = tx.cursor(binary=True)
    cursor.execute(SQL.register_instances, [rows, reason, act], prepare=True)
    known, refused, unlike = cursor.fetchone() or (False, None, None)
    return _inserted(order, bool(known), refused, unlike)


def insert_at_once(
    conn: Connection,
    entries: Sequence[Entry],
    *,
    act: str | None,
    meanwhile: Callable[[], None],
) -> Inserted | None:
    """Insert as `insert` does, in a transaction of its own on a connection that has none open.

    `meanwhile` runs beside the statement and before its commit (db/once.py).
    """
    order = _order(entries)
    if conn.adapters.types.get(TYPE) is None:
        _learn_type(conn)
        conn.rollback()
    rows = _array(_type(conn), [entries[n].row for n in order])
    values = [rows, None, None if act is None else act.encode()]
    found = run_once(conn, _ONCE, SQL.register_instances, values, meanwhile=meanwhile)
    known, refused, unlike = found or (b"\0", None, None)
    return _inserted(order, known == b"\1", _longs(refused), _longs(unlike))


def _order(entries: Sequence[Entry]) -> list[int]:
    # by UID, so that two batches wait for each other's UIDs in one order; of several versions of a
    # UID the oldest first, since it is the one that stays
    return sorted(range(len(entries)), key=lambda n: (entries[n].item.ref.instance, entries[n].age))


def _inserted(
    order: Sequence[int], known: bool, refused: list[int] | None, unlike: list[int] | None
) -> Inserted | None:
    if not known:
        return None
    return Inserted(*(frozenset(order[n - 1] for n in found or ()) for found in (refused, unlike)))


class _Rows(list[bytes]):
    """A registration[], each row packed already."""


class _RowsDumper(Dumper):
    format = pq.Format.BINARY

    def __init__(self, cls: type, context: AdaptContext | None = None) -> None:
        super().__init__(cls, context)
        self._type = _type(context)
        self.oid = self._type.array_oid

    def dump(self, obj: _Rows) -> bytes:
        return _array(self._type, obj)


psycopg.adapters.register_dumper(_Rows, _RowsDumper)


def _learn_type(conn: Connection) -> None:
    """Ask once a connection for the number this database gave the type."""
    if conn.adapters.types.get(TYPE) is None:
        info = TypeInfo.fetch(conn, TYPE)
        if info is not None:
            info.register(conn)


def _type(context: AdaptContext | None) -> TypeInfo:
    info = context.adapters.types.get(TYPE) if context else None
    if info is None:
        raise ConfigError("The index database has no schema of this archive; run `vna init`.")
    return info


def _array(of: TypeInfo, rows: Sequence[bytes]) -> bytes:
    parts = [_HEAD.pack(1, 0, of.oid, len(rows), 1)]
    for row in rows:
        parts.append(_LENGTH.pack(len(row)))
        parts.append(row)
    return b"".join(parts)


def _longs(data: bytes | None) -> list[int]:
    """Read a bigint[] without nulls: twenty bytes of head, then each with its length."""
    return [] if data is None else [n for _, n in _LONG.iter_unpack(data[_HEAD.size :])]


_HEAD = struct.Struct("!iiIii")  # dimensions, has nulls, element type, length, lower bound
_LENGTH = struct.Struct("!i")
_LONG = struct.Struct("!iq")
_ONCE = b"vna_register_instances"
_EPOCH_DATE = dt.date(2000, 1, 1).toordinal()  # PostgreSQL counts days and microseconds from here
_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def _field(oid: int, code: str) -> Callable[[Any], bytes]:
    layout = struct.Struct(f"!Ii{code}")
    size = layout.size - 8
    return lambda value: layout.pack(oid, size, value)


_FIELD = struct.Struct("!Ii")
_bigint, _integer, _smallint = _field(20, "q"), _field(23, "i"), _field(21, "h")
_days, _micros, _instant = _field(1082, "i"), _field(1083, "q"), _field(1184, "q")


def _text(value: str) -> bytes:
    data = value.encode()
    return _FIELD.pack(25, len(data)) + data


def _bytea(value: bytes) -> bytes:
    return _FIELD.pack(17, len(value)) + value


def _date(value: dt.date) -> bytes:
    return _days(value.toordinal() - _EPOCH_DATE)


def _time(value: dt.time) -> bytes:
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return _micros(seconds * 1_000_000 + value.microsecond)


def _moment(value: dt.datetime) -> bytes:
    return _instant((value - _EPOCH) // _MICROSECOND)


_TEXT, _BYTEA, _BIGINT = (25, _text), (17, _bytea), (20, _bigint)
_FIELDS: tuple[tuple[Callable[[Any], bytes], bytes], ...] = tuple(
    (pack, _FIELD.pack(oid, -1))
    for oid, pack in (
        *(_TEXT, _BIGINT, _TEXT, _BIGINT, _TEXT, _TEXT, _TEXT, _BIGINT, _BYTEA, _BYTEA),
        *(_BYTEA, (23, _integer), _BIGINT, _BIGINT, (1082, _date), (1083, _time), _BIGINT, _BIGINT),
        *(_BIGINT, _BIGINT, _TEXT, _TEXT, _TEXT, _BYTEA, _BIGINT, _BYTEA, _TEXT, _TEXT, _BIGINT),
        *(_BIGINT, _BIGINT, _BYTEA, _BYTEA, _BYTEA, _BYTEA, (1184, _moment), _TEXT, _TEXT, _TEXT),
        *(_TEXT, _TEXT, _TEXT, _BYTEA, (21, _smallint), _TEXT),
    )
)
_COUNT = struct.pack("!i", len(_FIELDS))


def _pack(*values: Any) -> bytes:
    """Pack one row in the binary form of a composite type: type, length and value of each field."""
    packed = [
        null if value is None else pack(value)
        for value, (pack, null) in zip(values, _FIELDS, strict=True)
    ]
    return _COUNT + b"".join(packed)

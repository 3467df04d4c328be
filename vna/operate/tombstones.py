"""Deletions and their undoing as journal entries: written before the answer, read by reindex.

An act may need several entries of at most 1 MiB; it is one act all the same, and without effect
while one of its parts is missing. An undoing names the deletions it revokes, so that the order in
which entries of different processes are read decides nothing (docs/crypto.md 6).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vna.blobs.journal import Entry, Journal
from vna.blobs.layout import created_at
from vna.dicom.refs import Ref, uid
from vna.errors import Corrupt, InvalidUID
from vna.index.deleted import Deletion, Grave, Pair, names, ref_of

DELETE = "delete"
UNDELETE = "undelete"

_GRAVES = 4000  # of one entry: each takes up to 200 bytes
_PAIRS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Undeletion:
    """One act of undoing: which blobs are no longer named by which deletions."""

    id: bytes
    ref: Ref
    at: dt.datetime
    actor: str
    revoked: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Act:
    """A whole act, and the journal entries it was written in."""

    what: Deletion | Undeletion
    entries: tuple[bytes, ...]


@dataclass(slots=True)
class Reading:
    """Puts acts together from their entries, in whatever order these come."""

    _parts: dict[bytes, dict[int, Entry]] = field(default_factory=dict)

    def take(self, entry: Entry) -> Act | None:
        """Take an entry; give the act it completes. Raises `Corrupt`."""
        if entry.op not in (DELETE, UNDELETE):
            return None
        try:
            act, part, of = bytes.fromhex(entry.args["act"]), entry.args["part"], entry.args["of"]
            parts = self._parts.setdefault(act, {})
            parts[part] = entry
            if len(parts) < of:
                return None
            del self._parts[act]
            whole = [parts[n] for n in range(of)]
            return Act(_act(act, whole), tuple(one.id for one in whole))
        except (KeyError, TypeError, ValueError, IndexError, InvalidUID) as exc:
            raise Corrupt("A journal entry does not say what was deleted.") from exc

    def incomplete(self) -> list[Entry]:
        """The entries of acts that lack a part: whoever wrote them died before the last."""
        return [entry for parts in self._parts.values() for entry in parts.values()]


def write_deletion(journal: Journal, deletion: Deletion) -> Act:
    """Write a deletion down; durable, and done for good, on return. Raises `Unavailable`."""
    parts = list(_pieces(deletion.graves, _GRAVES))
    due = deletion.due.isoformat()
    contents = [{"due": due, **_graves(part)} for part in parts]
    return Act(deletion, _write(journal, DELETE, deletion.id, deletion, contents))


def write_undeletion(journal: Journal, undeletion: Undeletion) -> Act:
    """Write an undoing down; durable, and done for good, on return. Raises `Unavailable`."""
    contents = []
    for part in _pieces(undeletion.revoked, _PAIRS):
        revoked: dict[str, list[str]] = {}
        for deletion, blob in part:
            revoked.setdefault(deletion.hex(), []).append(blob.hex())
        contents.append({"revoked": revoked})
    return Act(undeletion, _write(journal, UNDELETE, undeletion.id, undeletion, contents))


def read(entries: Iterable[Entry]) -> Iterator[Act]:
    """Give the whole acts among entries. Raises `Corrupt`."""
    reading = Reading()
    for entry in entries:
        if (act := reading.take(entry)) is not None:
            yield act


def without(deletion: Deletion, revoked: frozenset[Pair] | set[Pair]) -> Deletion:
    """Leave out the blobs that were brought back."""
    left = tuple(g for g in deletion.graves if (deletion.id, g.blob_id) not in revoked)
    return replace(deletion, graves=left)


def _write(
    journal: Journal,
    op: str,
    act: bytes,
    said: Deletion | Undeletion,
    contents: Sequence[dict[str, Any]],  # JSON
) -> tuple[bytes, ...]:
    target = {name: value for name, value in names(said.ref).items() if value is not None}
    head = {"act": act.hex(), "of": len(contents)}
    return tuple(
        journal.append(op, target, {**head, "part": part, **content}, said.actor)
        for part, content in enumerate(contents)
    )


def _graves(graves: Sequence[Grave]) -> dict[str, Any]:
    """Write blobs by series and instance; a study has few keys, so each is written once."""
    keys = sorted({grave.key_id for grave in graves})
    number = {key: n for n, key in enumerate(keys)}
    blobs: dict[str, dict[str, list[list[Any]]]] = {}
    for grave in graves:
        of_series = blobs.setdefault(grave.series, {})
        row = [grave.blob_id.hex(), number[grave.key_id], grave.size]
        of_series.setdefault(grave.instance, []).append(row)
    return {"keys": [key.hex() for key in keys], "blobs": blobs}


def _act(act: bytes, parts: Sequence[Entry]) -> Deletion | Undeletion:
    first = parts[0]
    target = first.target
    ref = ref_of(
        uid(target["study"]),
        *(uid(target[n]) if n in target else None for n in ("series", "instance")),
    )
    if first.op == UNDELETE:
        revoked = tuple(
            (bytes.fromhex(deletion), bytes.fromhex(blob))
            for part in parts
            for deletion, blobs in part.args["revoked"].items()
            for blob in blobs
        )
        return Undeletion(
            id=act, ref=ref, at=created_at(act), actor=first.actor, revoked=revoked
        )  # fmt: skip
    return Deletion(
        id=act,
        ref=ref,
        at=created_at(act),
        due=dt.datetime.fromisoformat(first.args["due"]),
        actor=first.actor,
        graves=tuple(grave for part in parts for grave in _read_graves(part.args)),
    )


def _read_graves(args: dict[str, Any]) -> Iterator[Grave]:
    keys = [bytes.fromhex(key) for key in args["keys"]]
    for series, instances in args["blobs"].items():
        for instance, rows in instances.items():
            for blob, number, size in rows:
                yield Grave(
                    series=uid(series),
                    instance=uid(instance),
                    blob_id=bytes.fromhex(blob),
                    key_id=keys[number],
                    size=int(size),
                )


def _pieces(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]

"""Make instances visible: insert a batch, count it, and settle versions of the same UID.

One transaction should register one batch: the order of locks (patient, study, series, instance,
state) holds within a call, and two calls in one transaction would begin it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vna.db.pool import Connection
from vna.dicom.refs import UID, InstanceRef
from vna.errors import Contended
from vna.index import searchable
from vna.index.arrays import Blobs, Longs, Texts
from vna.index.batch import SQL, Entry, Inserted, entry, insert, insert_at_once
from vna.index.registration import Existing, Registered, Registration, Verdict
from vna.index.uppers import ensure
from vna.index.versions import ELSEWHERE, Version, settle

__all__ = ["Existing", "Registered", "Registration", "Verdict", "clear", "digests", "known"]
__all__ += ["recount", "register", "register_at_once", "register_version", "settle_again"]


def register_at_once(
    conn: Connection,
    items: Sequence[Registration],
    *,
    act: str | None,
    meanwhile: Callable[[], None] = lambda: None,
) -> dict[int, Registered]:
    """Register what is new in known series, in one statement that is its own transaction.

    Answers by position in `items`. Those without one are for `register`: their study or series is
    new, their SOP Instance UID is known, or there is more to write than that statement does.
    `meanwhile`, which may be called never, once or again, runs while the server works; nothing is
    committed before it returns.
    """
    if any(item.extra is not None or item.routes for item in items):
        return {}
    entries = [entry(item) for item in items]
    done = insert_at_once(conn, entries, act=act, meanwhile=meanwhile)
    if done is None:
        return {}
    return {
        n: _new(one, n in done.unlike) for n, one in enumerate(entries) if n not in done.refused
    }


def register(
    tx: Connection, items: Sequence[Registration], *, policy: str, act: str | None = None
) -> list[Registered]:
    """Register one batch; the answers stand in the order of the items.

    Of several versions of one SOP Instance UID that arrive at once exactly one is NEW; the others
    are SAME or DIFFERS. With an act each one inserted as new leaves a row in the audit trail.
    """
    if not items:
        return []
    entries = [entry(item) for item in items]
    done = _insert(tx, entries, act=act)
    answers = {
        n: _new(one, n in done.unlike) for n, one in enumerate(entries) if n not in done.refused
    }
    if done.refused:
        answers |= _meet(tx, {n: entries[n] for n in done.refused}, policy)
    return [answers[n] for n in range(len(entries))]


def register_version(tx: Connection, item: Registration, *, reason: str, policy: str) -> Registered:
    """Register a version beside the others of its UID. `reason` is `encoding` or `content`."""
    one = entry(item)
    tx.execute(SQL.lock_versions, [item.ref.instance])
    versions = _versions(tx, [item.ref.instance])[item.ref.instance]
    if not versions:  # deleted since it was met: then it is simply new
        return register(tx, [item], policy=policy)[0]
    if same := _same(item, versions):
        return same
    return _add_version(tx, one, reason, policy)


def settle_again(
    tx: Connection, uids: Collection[str], *, policy: str
) -> tuple[set[int], list[InstanceRef]]:
    """Choose the current versions anew after some have gone; the caller holds the locks.

    Gives the series to be counted anew, and what is shown now by another version than before.
    """
    places: set[int] = set()
    risen: list[InstanceRef] = []
    for rows in _versions(tx, uids).values():
        if rows:
            versions = [row.version for row in rows]
            settled = settle(versions, policy)
            places |= _settle(tx, versions, settled)
            risen += [
                row.existing.ref
                for row in rows
                if settled[row.existing.blob_id][1] and not row.existing.current
            ]
    return places, risen


def recount(tx: Connection, places: Collection[int]) -> None:
    """Count series and their studies from their instances."""
    if places:
        tx.execute(SQL.recount, [Longs(sorted(places))])


def known(conn: Connection, blob_ids: Sequence[bytes]) -> set[bytes]:
    """Tell which blobs have a row."""
    cursor = conn.cursor(binary=True)
    return {blob for (blob,) in cursor.execute(SQL.find_blobs, [Blobs(blob_ids)])}


def digests(conn: Connection, pairs: Sequence[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
    """Tell which pairs of SOP Instance UID and digest a version has, current or not."""
    if not pairs:
        return set()
    uids, asked = zip(*pairs, strict=True)
    cursor = conn.cursor(binary=True)
    rows = cursor.execute(SQL.find_digests, {"uids": Texts(uids), "digests": Blobs(asked)})
    return {(uid, digest) for uid, digest in rows}


def clear(tx: Connection) -> None:
    """Empty the catalogue, before it is rebuilt from the blobs."""
    tx.execute(SQL.clear)


@dataclass(frozen=True, slots=True)
class _Row:
    """A version as it stands in the index."""

    existing: Existing
    version: Version


def _insert(
    tx: Connection,
    entries: Sequence[Entry],
    *,
    reason: str | None = None,
    act: str | None = None,
) -> Inserted:
    done = insert(tx, entries, reason=reason, act=act)
    if done is None:
        ensure(tx, entries)
        done = insert(tx, entries, reason=reason, act=act)
    if done is None:
        raise Contended("The study was changed by another process; try again.")
    searchable.put(
        tx,
        [
            (one.item.blob_id, one.item.extra)
            for n, one in enumerate(entries)
            if one.item.extra is not None and n not in done.refused
        ],
    )
    return done


def _new(one: Entry, unlike: bool) -> Registered:
    return Registered(
        verdict=Verdict.NEW, blob_id=one.item.blob_id, current=True, unlike_study=unlike
    )


def _meet(tx: Connection, entries: Mapping[int, Entry], policy: str) -> dict[int, Registered]:
    """Answer for instances whose SOP Instance UID has a current version already."""
    answers: dict[int, Registered] = {}
    found = _versions(tx, {e.item.ref.instance for e in entries.values()})
    for n, one in sorted(entries.items(), key=lambda pair: pair[1].item.ref.instance):
        answer = _judge(one, found[one.item.ref.instance])
        if answer is None:  # known in another series or study only
            tx.execute(SQL.lock_versions, [one.item.ref.instance])
            again = _versions(tx, [one.item.ref.instance])[one.item.ref.instance]
            answer = _judge(one, again) or _add_version(tx, one, ELSEWHERE, policy)
        answers[n] = answer
    return answers


def _judge(one: Entry, versions: Sequence[_Row]) -> Registered | None:
    if not versions:
        raise Contended("The instance was being removed; try again.")
    if same := _same(one.item, versions):
        return same
    here = tuple(row.existing for row in versions if row.existing.ref == one.item.ref)
    if not here:
        return None
    stands = next((e for e in here if e.current), here[0])
    return Registered(
        verdict=Verdict.DIFFERS, blob_id=stands.blob_id, current=stands.current, existing=here
    )


def _same(item: Registration, versions: Iterable[_Row]) -> Registered | None:
    for row in versions:
        if row.existing.digest == item.digest:
            return Registered(
                verdict=Verdict.SAME,
                blob_id=row.existing.blob_id,
                current=row.existing.current,
                elsewhere=row.version.reason == ELSEWHERE,
                existing=(row.existing,),
            )
    return None


def _add_version(tx: Connection, one: Entry, reason: str, policy: str) -> Registered:
    """Insert a version and settle which is current; the caller holds the lock on its UID."""
    uid = one.item.ref.instance
    done = _insert(tx, [one], reason=reason)
    rows = _versions(tx, [uid])[uid]
    settled = settle([row.version for row in rows], policy)
    _apply(tx, [row.version for row in rows], settled, one.item.blob_id)
    now_reason, current = settled[one.item.blob_id]
    elsewhere = now_reason == ELSEWHERE
    return Registered(
        verdict=Verdict.NEW if reason == ELSEWHERE else Verdict.VERSION,
        blob_id=one.item.blob_id,
        current=current,
        elsewhere=elsewhere or reason == ELSEWHERE,
        unlike_study=bool(done.unlike),
        existing=tuple(r.existing for r in rows if r.existing.blob_id != one.item.blob_id),
    )


def _apply(
    tx: Connection,
    versions: Sequence[Version],
    settled: Mapping[bytes, tuple[str, bool]],
    added: bytes,
) -> None:
    places = _settle(tx, versions, settled)
    arrived = [v.place for v in versions if v.blob_id == added]
    places |= {pk for (pk,) in tx.execute(SQL.without_instances, [Longs(arrived)])}
    recount(tx, places)


def _settle(
    tx: Connection, versions: Sequence[Version], settled: Mapping[bytes, tuple[str, bool]]
) -> set[int]:
    """Write down which versions are current, and why; give the series that are to be counted."""
    blobs = Blobs(settled)
    tx.execute(SQL.explain_versions, [blobs, Texts(reason for reason, _ in settled.values())])
    retired = [v for v in versions if v.current and not settled[v.blob_id][1]]
    promoted = [v for v in versions if not v.current and settled[v.blob_id][1]]
    tx.execute(SQL.retire_versions, [Blobs(v.blob_id for v in retired)])
    tx.execute(SQL.promote_versions, [Blobs(v.blob_id for v in promoted)])
    return {v.place for v in (*retired, *promoted)}


def _versions(tx: Connection, uids: Iterable[str]) -> dict[str, list[_Row]]:
    found: dict[str, list[_Row]] = {uid: [] for uid in uids}
    cursor = tx.cursor(binary=True)
    for row in cursor.execute(SQL.find_versions, [Texts(sorted(found))]):
        found[row[4]].append(_row(row))
    return found


def _row(row: tuple[Any, ...]) -> _Row:
    _, series_pk, study, series, uid, current, reason, created_us, blob_id = row[:9]
    digest, key_id, key_version, transfer_syntax, header, payload_len = row[9:]
    existing = Existing(
        ref=InstanceRef(UID(study), UID(series), UID(uid)),
        blob_id=blob_id,
        header=header,
        payload_len=payload_len,
        key_id=key_id,
        key_version=key_version,
        digest=digest,
        transfer_syntax=transfer_syntax,
        current=current,
    )
    version = Version(
        created_us=created_us, blob_id=blob_id, place=series_pk, reason=reason, current=current
    )
    return _Row(existing, version)

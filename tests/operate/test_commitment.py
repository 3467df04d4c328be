"""Committed is what was read back whole; everything else has its reason."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests import factories
from tests.archive import Archive, open_archive
from vna.access.principal import Action, Kind, Principal, Scope
from vna.blobs.layout import blob_name, key_name
from vna.db.pool import Database
from vna.dicom.refs import StudyRef, uid
from vna.errors import NotPermitted, Unavailable
from vna.operate.commitment import Claim, Committed, FailedRef, Reason
from vna.operate.transactions import Result, Working


def claim(made: factories.Instance, **other: str) -> Claim:
    """What a sender asks after it sent this."""
    given = {"sop_class": made.sop_class, "instance": made.instance, **other}
    return Claim(**{name: uid(value) for name, value in given.items()})


def blob_of(archive: Archive, made: factories.Instance) -> tuple[bytes, Path]:
    """The blob of an instance, and its file."""
    located = archive.retrieve.instances(archive.who, StudyRef(uid(made.study)))
    blob = next(one.blob_id for one in located if one.ref.instance == made.instance)
    return blob, archive.settings.data / "blobs" / blob_name(blob)


def reason(archive: Archive, asked: Claim) -> Reason | None:
    """Why one claim fails; None when it is committed."""
    (verdict,) = archive.commitment.check(archive.who, [asked])
    assert verdict.claim == asked
    return verdict.reason if isinstance(verdict, FailedRef) else None


def damage(path: Path, at: int) -> None:
    """Turn one bit of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def test_what_was_stored_is_committed_in_the_order_asked(archive: Archive) -> None:
    made = [
        factories.ct(1, 1, 1),
        factories.ct(1, 1, 2, rows=300, columns=300),
        factories.ct(2, 1, 1, transfer_syntax=factories.DEFLATED),
    ]
    for one in made:
        archive.take(one.part10())
    asked = [claim(one) for one in reversed(made)]
    assert archive.commitment.check(archive.who, asked) == [Committed(one) for one in asked]
    size = sum(len(one.dataset()) for one in made)
    assert archive.commitment.bytes_of(archive.who, asked) == size


def test_study_and_series_are_compared_where_they_are_said(archive: Archive) -> None:
    made = factories.ct()
    archive.take(made.part10())
    assert reason(archive, claim(made, study=made.study, series=made.series)) is None
    for other in ({"study": factories.uid(9)}, {"study": made.study, "series": factories.uid(9)}):
        assert reason(archive, claim(made, **other)) is Reason.NO_SUCH_INSTANCE


def test_an_unknown_instance_and_another_class_have_reasons_of_their_own(archive: Archive) -> None:
    made = factories.ct()
    archive.take(made.part10())
    assert reason(archive, claim(made, instance="1.2.3")) is Reason.NO_SUCH_INSTANCE
    other = claim(made, sop_class=factories.MULTI_FRAME)
    assert reason(archive, other) is Reason.CLASS_CONFLICT


@pytest.mark.parametrize("at", [300, 70_000, -400])
def test_one_bit_turned_on_the_disk_is_not_committed(archive: Archive, at: int) -> None:
    made = factories.ct(rows=300, columns=300)
    archive.take(made.part10())
    _, path = blob_of(archive, made)
    damage(path, at)
    assert reason(archive, claim(made)) is Reason.PROCESSING_FAILURE


def test_another_object_in_the_place_of_the_blob_is_not_committed(archive: Archive) -> None:
    made = factories.ct()
    archive.take(made.part10())
    archive.take(factories.ct(instance=2).part10())
    _, path = blob_of(archive, made)
    _, other = blob_of(archive, factories.ct(instance=2))
    path.unlink()
    path.write_bytes(other.read_bytes())
    assert reason(archive, claim(made)) is Reason.PROCESSING_FAILURE


def test_a_row_that_says_another_digest_is_not_committed(archive: Archive) -> None:
    made = factories.ct()
    archive.take(made.part10())
    with archive.database.transaction() as tx:
        tx.execute("UPDATE instance SET digest = %s", [bytes(32)])
    assert reason(archive, claim(made)) is Reason.PROCESSING_FAILURE


def test_a_lost_blob_and_a_lost_key_are_not_committed(archive: Archive) -> None:
    lost, locked = factories.ct(1), factories.ct(2)
    archive.take(lost.part10())
    archive.take(locked.part10())
    blob_of(archive, lost)[1].unlink()
    key = archive.store.reader(blob_of(archive, locked)[0]).key_id
    archive.store.keys.destroy(key)
    assert not (archive.settings.data / "blobs" / key_name(key)).exists()
    assert reason(archive, claim(lost)) is Reason.PROCESSING_FAILURE
    assert reason(archive, claim(locked)) is Reason.PROCESSING_FAILURE


def test_while_the_store_is_away_nothing_is_said(archive: Archive) -> None:
    made = factories.ct()
    archive.take(made.part10())
    blobs = archive.settings.data / "blobs"
    blobs.rename(blobs.with_name("unmounted"))
    with pytest.raises(Unavailable):
        archive.commitment.check(archive.who, [claim(made)])


def test_what_lies_outside_the_scope_looks_unknown(archive: Archive) -> None:
    made = [factories.ct(1), factories.ct(2)]
    for one in made:
        archive.take(one.part10())
    scope = Scope(studies=frozenset([uid(made[0].study)]))
    who = Principal(kind=Kind.AE, name="CT1", actions=frozenset([Action.COMMIT]), scope=scope)
    verdicts = archive.commitment.check(who, [claim(one) for one in made])
    assert [isinstance(one, Committed) for one in verdicts] == [True, False]
    assert verdicts[1] == FailedRef(claim(made[1]), Reason.NO_SUCH_INSTANCE)
    with pytest.raises(NotPermitted):
        archive.commitment.check(
            dataclasses.replace(who, actions=frozenset([Action.STORE])), [claim(made[0])]
        )


def test_how_long_it_will_take_tells_nothing_of_what_lies_outside(
    tmp_path: Path, database: Database
) -> None:
    """A large instance is answered with 202 and a time to come again, one that is not at once."""
    with open_archive(tmp_path, database, commitment={"ready_bytes": 100}) as archive:
        own, other = factories.ct(1), factories.ct(2)
        for one in (own, other):
            archive.take(one.part10())
        scope = Scope(studies=frozenset([uid(own.study)]))
        who = Principal(kind=Kind.AE, name="CT1", actions=frozenset([Action.COMMIT]), scope=scope)

        def answer(number: int, asked: Claim) -> Result | Working:
            transaction = uid(factories.uid(9, number))
            return archive.transactions.request(who, transaction, [asked], by_study=False)

        assert isinstance(answer(1, claim(own)), Working)
        unknown = answer(2, claim(other, instance="1.2.3"))
        assert isinstance(unknown, Result)
        assert isinstance(answer(3, claim(other)), Result)


def test_more_than_one_question_to_the_index_keeps_the_order(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vna.operate.commitment._AT_ONCE", 2)
    made = [factories.ct(1, 1, number) for number in range(1, 6)]
    for one in made:
        archive.take(one.part10())
    asked = [claim(made[n]) for n in (4, 0, 2, 2, 1, 3)]
    assert archive.commitment.check(archive.who, asked) == [Committed(one) for one in asked]

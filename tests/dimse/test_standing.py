"""What is under way on an association ends with the right to it, whoever is sending."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.archive import Archive, open_archive
from tests.dimse import shelf
from tests.dimse.asker import STUDY_GET, STUDY_MOVE, associated, identifier, move
from tests.dimse.certificates import Authority
from tests.dimse.edge import Edge, wait_for
from tests.dimse.holding import fill, pairs_of, served
from tests.dimse.puller import GET, MOVE, Puller
from tests.dimse.test_tls import known, remote
from tests.factories import CT, EXPLICIT, ct, ct_of_bytes
from vna.access.principal import Label, system
from vna.access.remotes import Remote
from vna.db.pool import Database
from vna.dicom.refs import StudyRef, uid
from vna.dimse.association import Association
from vna.dimse.callers import Standing
from vna.dimse.messages import Command, Field
from vna.dimse.scu import Requestor
from vna.errors import Unavailable
from vna.retrieve import retrieval

Serve = Callable[..., Edge]
WHO = system("test")
HELD = [ct(1, 1, n) for n in range(1, 31)]
KEYS = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": HELD[0].study}
LARGE = ct_of_bytes(4 << 20, patient_id="L1")


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database) as archive:
        for title in ("ASKER", "OTHER"):
            archive.remotes.add(WHO, Remote(ae_title=title, host="127.0.0.1", port=104))
        yield archive


@pytest.fixture
def edge(archive: Archive, serve: Serve) -> Edge:
    return served(archive, serve, dev=False, labels=archive.people.labels)


def sending(edge: Edge, calling: str) -> Requestor:
    contexts = [(CT, [EXPLICIT])]
    return Requestor("127.0.0.1", edge.port, calling=calling, called="VNA", contexts=contexts)


def pieces(then: Callable[[], None]) -> Iterator[bytes]:
    """Give half of an object, let something happen, and give the rest."""
    data = LARGE.dataset()
    half = len(data) // 2
    yield data[:half]
    then()
    for at in range(half, len(data), 1 << 16):
        yield data[at : at + (1 << 16)]


def stored(archive: Archive, instance: str) -> bool:
    with archive.database.reading() as conn:
        row = conn.execute(
            "SELECT FROM instance WHERE sop_instance_uid = %s", (instance,)
        ).fetchone()
    return row is not None


def outcomes(archive: Archive) -> list[str]:
    archive.audit.flush()
    with archive.database.reading() as conn:
        rows = conn.execute("SELECT outcome FROM audit WHERE kind = 'sent' ORDER BY id").fetchall()
    return [row[0] for row in rows]


def left(edge: Edge, count: int) -> Callable[[], bool]:
    """Whether so many associations stand: one that was cut may still be at work on its end."""
    return lambda: sum(one.is_open for one in edge.workers[0]._associations()) == count


def test_a_store_under_way_is_cut_when_its_ae_is_removed(edge: Edge, archive: Archive) -> None:
    def gone() -> None:
        archive.remotes.remove(WHO, "ASKER")
        wait_for(left(edge, 1))

    with sending(edge, "OTHER") as other:
        with pytest.raises(Unavailable), sending(edge, "ASKER") as it:
            it.store(CT, LARGE.instance, EXPLICIT, pieces(gone))
        assert not stored(archive, LARGE.instance)
        small = ct(9)
        assert other.store(CT, small.instance, EXPLICIT, [small.dataset()]).code == 0


def test_a_store_under_way_is_cut_when_its_right_is_taken(edge: Edge, archive: Archive) -> None:
    def narrowed() -> None:
        less = Remote(ae_title="ASKER", host="127.0.0.1", port=104, may_store=False)
        archive.remotes.add(WHO, less)
        wait_for(left(edge, 0))

    with pytest.raises(Unavailable), sending(edge, "ASKER") as it:
        it.store(CT, LARGE.instance, EXPLICIT, pieces(narrowed))
    assert not stored(archive, LARGE.instance)


@pytest.mark.parametrize("before", [None, ("OTHER", "THIRD")])
def test_who_may_have_it_moved_elsewhere_no_more_is_cut(
    edge: Edge, archive: Archive, before: tuple[str, ...] | None
) -> None:
    def may_move_to(*titles: str) -> None:
        destinations = titles or None
        asker = Remote(ae_title="ASKER", host="127.0.0.1", port=104, destinations=destinations)
        archive.remotes.add(WHO, asker)

    may_move_to(*(before or ()))
    with sending(edge, "OTHER"), sending(edge, "ASKER"):
        wait_for(left(edge, 2))
        may_move_to("OTHER")
        wait_for(left(edge, 1))


def test_who_may_have_it_moved_further_is_not_cut(edge: Edge, archive: Archive) -> None:
    narrow = Remote(ae_title="ASKER", host="127.0.0.1", port=104, destinations=("OTHER",))
    archive.remotes.add(WHO, narrow)
    with sending(edge, "OTHER"), sending(edge, "ASKER") as it:
        wait_for(left(edge, 2))
        archive.remotes.add(WHO, replace(narrow, destinations=("OTHER", "THIRD")))
        archive.remotes.remove(WHO, "OTHER")
        wait_for(left(edge, 1))  # the one beside it is cut: a look was taken
        small = ct(9)
        assert it.store(CT, small.instance, EXPLICIT, [small.dataset()]).code == 0


def test_a_change_that_takes_no_right_cuts_nobody(edge: Edge, archive: Archive) -> None:
    def changed() -> None:
        archive.remotes.add(WHO, Remote(ae_title="ASKER", host="127.0.0.2", port=105))
        archive.remotes.remove(WHO, "OTHER")
        wait_for(left(edge, 1))  # the one beside it is cut: a look was taken

    with sending(edge, "OTHER"), sending(edge, "ASKER") as it:
        assert it.store(CT, LARGE.instance, EXPLICIT, pieces(changed)).code == 0


def test_while_nothing_changes_nobody_is_asked_for_again(
    edge: Edge, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With hundreds of idle associations that was 3 % of a processor."""
    asked: list[Association] = []
    may_stand = Association.may_stand

    def counted(one: Association) -> bool:
        asked.append(one)
        return may_stand(one)

    monkeypatch.setattr(Association, "may_stand", counted)
    with sending(edge, "OTHER"), sending(edge, "ASKER") as it:
        wait_for(lambda: len(asked) == 2)  # each once: it may have changed as they came
        looks = Looks(edge)
        wait_for(lambda: looks.count >= 4)
        assert len(asked) == 2
        archive.remotes.remove(WHO, "OTHER")
        wait_for(lambda: len(asked) == 4)
        wait_for(left(edge, 1))
        small = ct(9)
        assert it.store(CT, small.instance, EXPLICIT, [small.dataset()]).code == 0


class Looks:
    """Counts the looks a worker takes from now on."""

    def __init__(self, edge: Edge) -> None:
        self.count = 0
        callers = edge.workers[0]._house.callers
        look = callers.look

        def counted(within_s: float) -> Standing | None:
            self.count += 1
            return look(within_s)

        callers.look = counted  # type: ignore[method-assign]  # the same, and counted


class Pulling(Puller):
    """An association that pulls, until it is cut; `taken` is called for each object."""

    def __init__(self, edge: Edge, model: str, taken: Callable[[], object]) -> None:
        takes = (CT, EXPLICIT) if model == GET else None
        super().__init__(edge.port, model, takes, calling="ASKER")
        self._taken = taken
        self.objects = 0

    def until_cut(self, *, to: str = "") -> None:
        """Ask for the study; what comes is no final answer but the end of the connection."""
        asked = {"00080052": "STUDY", "0020000D": HELD[0].study}
        with closing(self._sock), pytest.raises((AssertionError, ConnectionError)):
            self.ask(asked, to=to)

    def _command(self) -> Command:
        command = super()._command()
        if command.field == Field.C_STORE:
            self.objects += 1
            self._taken()
        return command


def test_a_get_under_way_is_cut_and_the_trail_says_so(edge: Edge, archive: Archive) -> None:
    fill(archive, *HELD)

    def gone() -> None:
        if archive.remotes.find("ASKER") is not None:
            archive.remotes.remove(WHO, "ASKER")
            wait_for(left(edge, 0))

    pulling = Pulling(edge, GET, gone)
    pulling.until_cut()
    assert 0 < pulling.objects < 5
    wait_for(lambda: outcomes(archive) == ["broken off"])


def test_a_move_under_way_ends_with_its_asker(edge: Edge, archive: Archive, serve: Serve) -> None:
    fill(archive, *HELD)

    def gone() -> object:
        if archive.remotes.find("ASKER") is not None:
            archive.remotes.remove(WHO, "ASKER")
            wait_for(left(edge, 0))
        return shelf.STORED

    sink = shelf.Shelf(gone)  # type: ignore[arg-type]  # what it returns is an outcome
    there = serve(shelf.served(ingest=sink))
    archive.remotes.add(WHO, Remote(ae_title="SINK", host="127.0.0.1", port=there.port))
    Pulling(edge, MOVE, lambda: None).until_cut(to="SINK")
    wait_for(lambda: outcomes(archive) == ["broken off"])
    assert len(sink.taken) < 5


def test_a_move_under_way_ends_with_its_destination(
    edge: Edge, archive: Archive, serve: Serve
) -> None:
    fill(archive, *HELD)

    def gone() -> object:
        if archive.remotes.find("SINK") is not None:
            archive.remotes.remove(WHO, "SINK")
        return shelf.STORED

    sink = shelf.Shelf(gone)  # type: ignore[arg-type]  # what it returns is an outcome
    there = serve(shelf.served(ingest=sink))
    archive.remotes.add(WHO, Remote(ae_title="SINK", host="127.0.0.1", port=there.port))
    moved = move(edge.port, "SINK", model=STUDY_MOVE, keys=KEYS)
    assert len(sink.taken) < 5
    assert moved.status == 0xB000
    assert len(moved.failed) == len(HELD) - len(sink.taken)


def test_what_is_withheld_meanwhile_is_not_sent_any_more(edge: Edge, archive: Archive) -> None:
    fill(archive, *HELD)

    def label(_: object) -> int:
        if not archive.people.labels.of(uid(HELD[0].study)):
            archive.labels.put(WHO, uid(HELD[0].study), Label.SENSITIVE, reason="a test")
            archive.people.labels._looked = float("-inf")  # it is half a second old at most
        return 0

    with associated(edge.port, STUDY_GET, pairs_of(HELD), on_store=label) as (assoc, got):
        answers = list(assoc.send_c_get(identifier(**KEYS), STUDY_GET))
    assert int(answers[-1][0].Status) == 0xB000
    assert len(got.objects) == 1


def test_what_is_deleted_meanwhile_is_not_sent_any_more(
    edge: Edge, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval, "LOOK_S", -1.0)  # what is half a second old at most
    fill(archive, *HELD)

    def delete(_: object) -> int:
        if not archive.lifecycle.is_gone(WHO, StudyRef(uid(HELD[0].study))):
            archive.lifecycle.delete(WHO, StudyRef(uid(HELD[0].study)))
        return 0

    with associated(edge.port, STUDY_GET, pairs_of(HELD), on_store=delete) as (assoc, got):
        answers = list(assoc.send_c_get(identifier(**KEYS), STUDY_GET))
    assert int(answers[-1][0].Status) == 0xB000
    assert len(got.objects) == 1


def test_a_certificate_that_is_struck_off_ends_its_association(
    serve: Serve, archive: Archive, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    ours, mine = authority.sign("archive"), authority.sign("ct1")
    path = known(tmp_path, mine, "ASKER")
    tls = authority.settings(ours)
    edge = served(archive, serve, dev=False, tls=tls, identities=path)
    with remote(edge, authority.settings(mine), "ASKER") as it:
        assert it.echo() == 0
        known(tmp_path, authority.sign("ct2"), "ASKER")
        wait_for(left(edge, 0))
        with pytest.raises(Unavailable):
            it.echo()


def test_an_idle_association_of_a_removed_ae_ends_too(edge: Edge, archive: Archive) -> None:
    with sending(edge, "ASKER") as it:
        archive.remotes.remove(WHO, "ASKER")
        wait_for(left(edge, 0))
        with pytest.raises(Unavailable):
            it.store(CT, LARGE.instance, EXPLICIT, [LARGE.dataset()])

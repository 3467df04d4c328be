"""What was shared goes on to an archive its recipient chose, and stops when the sharing does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.archive import Archive
from tests.conftest import TestPostgres
from tests.dimse.edge import Edge
from tests.dimse.holding import fill
from tests.dimse.shelf import STORED, Shelf
from tests.dimse.shelf import served as shelved
from tests.factories import ct
from tests.jobs.conftest import WHO, register, worker_of
from tests.sharing.conftest import CLERK, Desk, in_days
from tests.sharing.test_consents import consent
from tests.web.conftest import serving
from tests.web.people import token_of
from vna.access import labels
from vna.access.peers import Peer
from vna.access.principal import Label
from vna.access.remotes import Remote
from vna.access.trail import Trail
from vna.dicom.refs import SeriesRef, StudyRef, uid
from vna.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound, NotPermitted
from vna.ingest.outcome import Outcome
from vna.jobs import hand_over, reading
from vna.jobs.board import Board
from vna.jobs.worker import Worker
from vna.retrieve import retrieval
from vna.sharing import sendings
from vna.sharing.sendings import State
from vna.sharing.values import Purpose, Recipient

Serve = Callable[..., Edge]

STUDY = uid(ct(1).study)
HELD = [ct(1, 1, number) for number in range(1, 7)]
OTHER_SERIES = ct(1, 2)
OFFERED = "Example Clinic, radiology"


@pytest.fixture(autouse=True)
def looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is half a second old at most is always new here."""
    for module in (labels, reading, retrieval, hand_over):
        monkeypatch.setattr(module, "LOOK_S", -1.0)


@pytest.fixture
def desk(archive: Archive) -> Desk:
    fill(archive, *HELD, OTHER_SERIES)
    return Desk(archive, HELD)


def shelf_at(archive: Archive, serve: Serve, happens: Callable[[], object] | None = None) -> Shelf:
    """Offer DEST, where something happens while the second instance is taken in."""

    def answer() -> Outcome:
        if happens is not None and len(shelf.taken) == 2:
            happens()
        return STORED

    shelf = Shelf(answer)
    register(archive, "DEST", serve(shelved(ingest=shelf)).port, offered_as=OFFERED)
    return shelf


def asked(desk: Desk, key: str = "remote:DEST", **changed: Any) -> str:
    """Share, open, and ask for it to be sent; return the secret of the session."""
    desk.offer(**changed)
    session, _ = desk.proven()
    desk.engine.sendings.ask(session, key)
    return session


def sender(archive: Archive) -> Worker:
    """A worker that sends what was shared, and leaves messages to others."""
    engines: Any = archive
    return worker_of(archive, {"hand-over": hand_over.handing_over(engines, archive.settings)})


def taken(shelf: Shelf) -> set[str]:
    return {str(one.expected.sop_instance) for one in shelf.taken}


def test_a_recipient_has_what_was_shared_sent_and_nothing_else(
    archive: Archive, board: Board, desk: Desk, serve: Serve
) -> None:
    shelf = shelf_at(archive, serve)
    register(archive, "SECRET", 104)  # not offered: not shown, not to be named
    series = SeriesRef(STUDY, uid(HELD[0].series))
    offered = desk.offer(studies=frozenset(), series=frozenset({series}))
    session, guest = desk.proven()
    engine = desk.engine.sendings
    assert [(one.key, one.name) for one in engine.offered(session)] == [("remote:DEST", OFFERED)]
    for key in ("remote:SECRET", "peer:DEST", "remote:", "", "remote:NOBODY"):
        with pytest.raises(NotFound):
            engine.ask(session, key)
    engine.ask(session, "remote:DEST")
    with pytest.raises(Conflict, match="on its way"):
        engine.ask(session, "remote:DEST")
    assert engine.listed(session)[0].state is State.WAITING

    assert sender(archive).do_one()
    assert taken(shelf) == {one.instance for one in HELD}
    (found,) = engine.listed(session)
    assert (found.state, found.items, found.done, found.name) == (State.DONE, 6, 6, OFFERED)
    assert engine.of_share(CLERK, offered.share_id) == [found]
    (job,) = [one for one in board.entries(WHO, state=None, most=10) if one.kind == "hand-over"]
    assert (job.state.value, job.remote, job.requested_by) == ("done", "DEST", guest.principal.name)
    # a disclosure: who, what, to whom; and in the history of the share
    archive.audit.flush()
    disclosed = list(Trail(archive.database, archive.audit).disclosures(WHO, STUDY))
    (sent,) = [row for row in disclosed if row.kind == "sent"]
    assert (sent.principal, sent.actor_kind) == (guest.principal.name, "share")
    assert (sent.detail["to"], sent.detail["completed"]) == ("DEST", 6)
    happened = desk.engine.detail(CLERK, offered.share_id).happened
    assert next(one for one in happened if one.kind == "grant.sending").detail["to"] == "DEST"


def test_it_goes_to_a_dicomweb_archive_as_well(
    archive: Archive, desk: Desk, postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(postgres, tmp_path_factory.mktemp("there"), dev=False) as there:
        token = token_of(there, "vna", actions=["store"])
        archive.peers.add(WHO, Peer(name="there", url=there.root, token=token, offered_as=OFFERED))
        session = asked(desk, "peer:there")
        sender(archive).do_one()
        (found,) = desk.engine.sendings.listed(session)
        assert (found.state, found.done, found.cause) == (State.DONE, 7, None)
        assert len(there.archive.retrieve.instances(WHO, StudyRef(STUDY))) == 7
        with pytest.raises(Conflict):
            archive.remotes.add(WHO, Remote(ae_title="X", host="h", port=104, offered_as=OFFERED))


def _revoked(desk: Desk) -> None:
    (share,) = desk.engine.shares(CLERK)
    desk.engine.revoke(CLERK, share.share_id, reason="a test")


def _withdrawn(desk: Desk) -> None:
    (held,) = desk.engine.consents.of_person(CLERK, "LOCAL", "P-0001")
    desk.engine.consents.withdraw(CLERK, held.consent_id)


def _embargoed(desk: Desk) -> None:
    labelled = desk.archive.labels.put
    labelled(WHO, STUDY, Label.EMBARGOED, reason="a test", until=in_days(3))


def _expired(desk: Desk) -> None:
    desk.run(
        "UPDATE share SET created_at = created_at - interval '40 days', "
        "ends_at = now() - interval '1 second'"
    )


def _taken_back(desk: Desk) -> None:
    desk.archive.remotes.add(WHO, Remote(ae_title="DEST", host="127.0.0.1", port=1))


HAPPENS: dict[str, tuple[Callable[[Desk], None], str]] = {
    "revoked": (_revoked, sendings.ENDED),
    "withdrawn": (_withdrawn, sendings.HELD),
    "expired": (_expired, sendings.EXPIRED),
    "embargoed": (_embargoed, reading.WITHHELD),
    "no longer offered": (_taken_back, sendings.NOT_OFFERED),
}


@pytest.mark.parametrize("what", HAPPENS)
def test_it_stops_at_the_next_instance_when_the_sharing_does(
    archive: Archive, board: Board, desk: Desk, serve: Serve, what: str
) -> None:
    happens, cause = HAPPENS[what]
    shelf = shelf_at(archive, serve, lambda: happens(desk))
    number = desk.engine.consents.record(CLERK, consent())
    asked(desk, consent_id=number, legal_basis=None)
    worker = sender(archive)
    worker.do_one()
    assert len(shelf.taken) == 2
    (job,) = [one for one in board.entries(WHO, state=None, most=10) if one.kind == "hand-over"]
    assert (job.state.value, job.done, job.failed) == ("failed", 2, 5)
    assert job.cause == f"5 of 7 instances were not taken. {cause}"
    # and it does not go on when somebody tries it again
    board.retry(WHO, job.job_id)
    worker.do_one()
    assert len(shelf.taken) == 2
    assert cause in str(board.entry(WHO, job.job_id)[0].cause)


def test_what_ended_before_its_turn_sends_nothing(
    archive: Archive, board: Board, desk: Desk, serve: Serve
) -> None:
    shelf = shelf_at(archive, serve)
    asked(desk)
    _revoked(desk)
    sender(archive).do_one()
    (job,) = [one for one in board.entries(WHO, state=None, most=10) if one.kind == "hand-over"]
    assert (job.state.value, job.cause, shelf.taken) == ("failed", sendings.ENDED, [])


@pytest.mark.parametrize(
    "changed",
    [
        {"purpose": Purpose.INSURANCE},
        {"purpose": Purpose.LEGAL},
        {"purpose": Purpose.RESEARCH},
        {"recipient": Recipient(name="Kim")},  # of no provider
        {"recipient": Recipient(name="Kim", organisation="  ")},
        {"download": False},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_who_may_not_send_on_is_offered_nothing(
    archive: Archive, desk: Desk, serve: Serve, changed: dict[str, Any]
) -> None:
    shelf_at(archive, serve)
    desk.offer(**changed)
    session, _ = desk.proven()
    assert desk.engine.sendings.offered(session) == []
    with pytest.raises(NotPermitted):
        desk.engine.sendings.ask(session, "remote:DEST")
    assert desk.rows("SELECT count(*) FROM job WHERE kind = 'hand-over'") == [(0,)]
    assert desk.rows("SELECT count(*) FROM share_sending") == [(0,)]


def test_nobody_sends_on_before_the_proof_or_after_the_end(
    archive: Archive, desk: Desk, serve: Serve
) -> None:
    shelf_at(archive, serve)
    desk.offer()
    session, _ = desk.opened()
    assert desk.engine.sendings.offered(session) == []
    with pytest.raises(NotPermitted):
        desk.engine.sendings.ask(session, "remote:DEST")
    with pytest.raises(NotAuthenticated):
        desk.engine.sendings.ask("A" * 43, "remote:DEST")
    session, _ = desk.proven(archive.posted.secret())
    desk.run("UPDATE share SET download = false")
    with pytest.raises(NotPermitted):  # although what was believed of the session says so
        desk.engine.sendings.ask(session, "remote:DEST")


def test_a_grant_sends_so_often_and_no_more(
    archive: Archive, desk: Desk, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sendings, "_MOST", 2)
    shelf_at(archive, serve)
    session = asked(desk)
    worker = sender(archive)
    worker.do_one()
    desk.engine.sendings.ask(session, "remote:DEST")
    worker.do_one()
    with pytest.raises(Conflict, match="often enough"):
        desk.engine.sendings.ask(session, "remote:DEST")


@pytest.mark.parametrize("name", ["", " x", "x ", "x" * 81, "a\nb", "a\u202eb"])
def test_an_archive_is_offered_by_a_name_people_can_read(archive: Archive, name: str) -> None:
    with pytest.raises(InvalidRequest):
        Remote(ae_title="X", host="h", port=104, offered_as=name)
    with pytest.raises(InvalidRequest):
        Peer(name="x", url="https://x.example", offered_as=name)

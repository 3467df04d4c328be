"""Storage Commitment Push Model, row by row: PS3.4 Annex J, reasons of PS3.3 C.14.1.1."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt

from tests.archive import Archive, open_archive
from tests.dimse.certificates import Authority
from tests.dimse.committer import PUSH, WELL_KNOWN, Peer, Told, action, ask, pairs, references
from tests.dimse.conftest import serve
from tests.dimse.edge import Edge, wait_for
from tests.dimse.holding import fill, served
from tests.factories import CT, EXPLICIT, IMPLICIT, SECONDARY_CAPTURE, ct
from vna.access.principal import system
from vna.access.remotes import Remote
from vna.blobs.layout import blob_name
from vna.db.pool import Database
from vna.db.work import State
from vna.dimse import commit_scu, tls
from vna.dimse.commitments import write_report, write_request
from vna.dimse.messages import Field, notice
from vna.dimse.pdu import Role, UserIdentity
from vna.dimse.scu import Requestor
from vna.jobs.board import Board
from vna.jobs.kinds import handlers
from vna.jobs.worker import Worker
from vna.operate.pushes import Named, Report

__all__ = ["serve"]

WHO = system("test")
Serve = Callable[..., Edge]
FAST = {"first_retry_s": 0.0, "last_retry_s": 0.0, "report_s": 0.0}
SMALL = {"instances": 300}


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    dicom = {"response_s": 3.0}
    with open_archive(tmp_path, database, dicom=dicom, jobs=FAST, commitment=SMALL) as archive:
        yield archive


@pytest.fixture
def edge(archive: Archive, serve: Serve) -> Edge:
    return served(archive, serve, dev=False, response_s=3.0)


@pytest.fixture
def board(archive: Archive) -> Board:
    return Board(archive.database, archive.audit, archive.remotes, most_instances=1000)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less for a report that does not come on the association of its request."""
    monkeypatch.setattr(commit_scu, "_WAIT_S", 0.5)


def register(archive: Archive, port: int, title: str = "CT1", **differs: Any) -> None:
    remote = Remote(ae_title=title, host="127.0.0.1", port=port, **differs)
    archive.remotes.add(WHO, remote)


def worker_of(archive: Archive) -> Worker:
    engines: Any = archive
    does = handlers(engines, archive.settings)
    return Worker(archive.database, does, archive.settings.jobs, node="here")


def newest(board: Board) -> tuple[State, str | None]:
    found = board.entries(WHO, state=None, most=1)[0]
    return found.state, found.cause


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def asked_and_left(edge: Edge, *instances: tuple[str, str], transaction: str | None = None) -> int:
    """Ask, and release before any report."""
    with Peer().associated(edge.port) as assoc:
        return ask(assoc, action(instances, transaction))


# J.3.2: the request


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_a_request_is_answered_and_reported_on_its_association(
    edge: Edge, archive: Archive, board: Board, syntax: str
) -> None:
    """J.3.2, J.3.3, Table J.3-2: all committed is Event Type 1 with the Transaction UID."""
    register(archive, closed_port())
    made = [ct(1, 1, 1), ct(1, 1, 2)]
    fill(archive, *made)
    peer, asked = Peer(), action(pairs(*made))
    with peer.associated(edge.port, syntax=syntax) as assoc:
        assert ask(assoc, asked) == 0x0000
        told = peer.told()
        # the peer answers once its handler is through: a release before that would overtake it
        wait_for(lambda: newest(board) == (State.DONE, None))
    assert told == Told(
        event_type=1,
        transaction=str(asked.TransactionUID),
        committed=pairs(*made),
        failed=[],
        called_by="CT1",
        is_requestor=False,
    )
    assert not worker_of(archive).do_one()


def test_success_says_that_it_was_received_and_no_more(
    edge: Edge, archive: Archive, board: Board
) -> None:
    """J.3.2.3: 0000H whether or not anything can be committed; the request is kept by then."""
    register(archive, closed_port())
    assert asked_and_left(edge, (CT, "1.2.3")) == 0x0000
    found = board.entries(WHO, state=None, most=10)
    assert [(one.kind, one.remote) for one in found] == [("commitment-report", "CT1")]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"action_type": 2}, 0x0123),
        ({"instance": "1.2.840.10008.1.20.1.2"}, 0x0112),
    ],
)
def test_what_is_not_the_request_of_the_service_is_refused(
    edge: Edge, archive: Archive, change: dict[str, Any], status: int
) -> None:
    """PS3.7 10.1.4.1.10: no such action, no such SOP Instance (the well-known one, J.3.5)."""
    register(archive, closed_port())
    with Peer().associated(edge.port) as assoc:
        assert ask(assoc, action([(CT, "1.2.3")]), **change) == status


@pytest.mark.parametrize("missing", ["TransactionUID", "ReferencedSOPSequence"])
def test_type_1_attributes_must_be_there(edge: Edge, archive: Archive, missing: str) -> None:
    """Table J.3-1: Transaction UID and Referenced SOP Sequence are 1/1."""
    register(archive, closed_port())
    asked = action([(CT, "1.2.3")])
    del asked[missing]
    with Peer().associated(edge.port) as assoc:
        assert ask(assoc, asked) == 0x0115


def test_a_reference_that_is_none_is_refused(edge: Edge, archive: Archive) -> None:
    """Table J.3-1: Referenced SOP Class and Instance UID are 1/1."""
    register(archive, closed_port())
    with Peer().associated(edge.port) as assoc:
        for broken in (("", "1.2.3"), (CT, "")):
            assert ask(assoc, action([broken])) == 0x0115
        empty = action([])
        assert ask(assoc, empty) == 0x0115


def test_a_request_without_a_data_set_is_refused(edge: Edge, archive: Archive) -> None:
    register(archive, closed_port())
    contexts = [(PUSH, [EXPLICIT])]
    with Requestor(
        "127.0.0.1", edge.port, calling="CT1", called="VNA", contexts=contexts
    ) as remote:
        status = remote.notify(Field.N_ACTION, PUSH, WELL_KNOWN, 1, lambda _: b"")
        assert status.code == 0x0115


def test_too_large_a_request_is_a_resource_limitation(edge: Edge, archive: Archive) -> None:
    """PS3.7 10.1.4.1.10: 0213H."""
    register(archive, closed_port())
    with Peer().associated(edge.port) as assoc:
        assert ask(assoc, action([(CT, f"1.2.{n}") for n in range(301)])) == 0x0213


def test_who_may_not_store_may_not_ask(edge: Edge, archive: Archive) -> None:
    """PS3.7 C.5.19: 0124H."""
    register(archive, closed_port(), may_store=False)
    with Peer().associated(edge.port) as assoc:
        assert ask(assoc, action([(CT, "1.2.3")])) == 0x0124


def test_other_sop_classes_are_not_asked_for_commitment(edge: Edge, archive: Archive) -> None:
    """PS3.7 10.1.4.1.10: the SOP Class must be that of the Presentation Context's service."""
    register(archive, closed_port())
    contexts = [(PUSH, [EXPLICIT])]
    with Requestor(
        "127.0.0.1", edge.port, calling="CT1", called="VNA", contexts=contexts
    ) as remote:
        context_id = remote._context(PUSH, None)
        command = notice(Field.N_ACTION, 7, CT, WELL_KNOWN, 1)
        remote._send(remote._layer.message(context_id, command, b""))
        assert remote._final(Field.N_ACTION, 7).code == 0x0118


# J.3.3: the report


def test_each_instance_stands_in_one_of_the_two_with_its_reason(
    edge: Edge, archive: Archive
) -> None:
    """Table J.3-2 Event Type 2; PS3.3 C.14.1.1: 0112H, 0119H, 0110H."""
    register(archive, closed_port())
    good, damaged = ct(1, 1, 1), ct(1, 1, 2)
    fill(archive, good, damaged)
    _damage(archive, damaged.instance)
    peer = Peer()
    with peer.associated(edge.port) as assoc:
        unknown, wrong = (CT, "1.2.3.4"), (SECONDARY_CAPTURE, ct(1, 1, 1).instance)
        asked = action([*pairs(good), unknown, wrong, *pairs(damaged)])
        assert ask(assoc, asked) == 0x0000
        told = peer.told()
    assert told.event_type == 2
    assert told.committed == pairs(good)
    assert told.failed == [
        (*unknown, 0x0112),
        (*wrong, 0x0119),
        (CT, damaged.instance, 0x0110),
    ]


def test_nothing_committed_is_told_without_a_list_of_what_is(edge: Edge, archive: Archive) -> None:
    """Table J.3-2: Referenced SOP Sequence is 1C, there only if something was committed."""
    register(archive, closed_port())
    peer = Peer()
    with peer.associated(edge.port) as assoc:
        ask(assoc, action([(CT, "1.2.3.4")]))
        told = peer.told()
    assert (told.event_type, told.committed) == (2, [])
    assert told.failed == [(CT, "1.2.3.4", 0x0112)]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_after_a_release_it_comes_on_a_new_association(
    edge: Edge, archive: Archive, board: Board, syntax: str
) -> None:
    """J.3.3: on an association the SCP opens, in the SCP role, under the same AE title."""
    fill(archive, ct(1))
    with Peer().listening(syntax=syntax) as peer:
        register(archive, peer.port)
        assert asked_and_left(edge, *pairs(ct(1))) == 0x0000
        _given_back(board)
        assert worker_of(archive).do_one()
        told = peer.told()
    assert (told.event_type, told.committed) == (1, pairs(ct(1)))
    assert (told.called_by, told.is_requestor) == ("VNA", True)
    assert newest(board) == (State.DONE, None)


def test_what_is_not_taken_on_its_association_comes_on_a_new_one(
    edge: Edge, archive: Archive, board: Board
) -> None:
    """J.3.3: an asker that takes reports elsewhere says so with a failure status."""
    fill(archive, ct(1))
    refusing = Peer(status=0x0110)
    with Peer().listening() as peer:
        register(archive, peer.port)
        with refusing.associated(edge.port) as assoc:
            ask(assoc, action(pairs(ct(1))))
            assert refusing.told().is_requestor is False
        _given_back(board)
        assert worker_of(archive).do_one()
        assert peer.told().is_requestor
    assert refusing.reports.empty()
    assert newest(board) == (State.DONE, None)


def test_a_report_nobody_takes_is_tried_again(edge: Edge, archive: Archive, board: Board) -> None:
    """J.3.3: the SCP goes on trying; it is a job that can be seen."""
    fill(archive, ct(1))
    register(archive, closed_port())
    asked_and_left(edge, *pairs(ct(1)))
    _given_back(board)
    worker = worker_of(archive)
    worker.do_one()
    assert newest(board) == (State.WAITING, "The remote AE cannot be reached.")
    with Peer(status=0x0110).listening() as refusing:
        register(archive, refusing.port)
        worker.do_one()
        refusing.told()
    assert newest(board) == (State.WAITING, "The report was answered with status 0110H.")
    with Peer().listening() as peer:
        register(archive, peer.port)
        worker.do_one()
        assert peer.told().committed == pairs(ct(1))
    assert newest(board)[0] is State.DONE


def test_a_large_request_is_reported_by_the_worker(
    edge: Edge, archive: Archive, board: Board
) -> None:
    """J.3.2: how long it takes is the SCP's affair; nothing of it holds the asker up."""
    fill(archive, ct(1))
    many = [*pairs(ct(1)), *((CT, f"1.2.{n}") for n in range(250))]
    with Peer().listening() as peer:
        register(archive, peer.port)
        assert asked_and_left(edge, *many) == 0x0000
        assert worker_of(archive).do_one()
        told = peer.told()
    assert told.committed == pairs(ct(1))
    assert len(told.failed) == 250


# the Transaction UID


def test_a_transaction_uid_that_was_used_is_told_as_a_duplicate(
    edge: Edge, archive: Archive
) -> None:
    """PS3.3 C.14.1.1: 0131H; J.3.3: a Transaction UID is dead when it was reported."""
    register(archive, closed_port())
    fill(archive, ct(1))
    peer, asked = Peer(), action(pairs(ct(1)))
    with peer.associated(edge.port) as assoc:
        ask(assoc, asked)
        assert peer.told().event_type == 1
        assert ask(assoc, asked) == 0x0000
        told = peer.told()
    assert (told.event_type, told.committed) == (2, [])
    assert told.failed == [(*pairs(ct(1))[0], 0x0131)]
    assert told.transaction == str(asked.TransactionUID)


def test_a_transaction_uid_in_use_for_something_else_is_a_duplicate(
    edge: Edge, archive: Archive, board: Board
) -> None:
    """PS3.3 C.14.1.1: 0131H, in use already; the first request is reported as if alone."""
    fill(archive, ct(1))
    with Peer().listening() as peer:
        register(archive, peer.port)
        asked_and_left(edge, *pairs(ct(1)), transaction="1.2.99")
        asked_and_left(edge, (CT, "1.2.3"), transaction="1.2.99")
        _given_back(board, jobs=2)
        worker = worker_of(archive)
        while worker.do_one():
            pass
        reports = [peer.told(), peer.told()]
    found = sorted((told.event_type, told.committed, told.failed) for told in reports)
    assert found == [(1, pairs(ct(1)), []), (2, [], [(CT, "1.2.3", 0x0131)])]


def test_the_same_request_twice_before_its_report_has_one(
    edge: Edge, archive: Archive, board: Board
) -> None:
    """A sender that lost the answer asks again; one report answers both."""
    fill(archive, ct(1))
    register(archive, closed_port())
    for _ in range(2):
        assert asked_and_left(edge, *pairs(ct(1)), transaction="1.2.99") == 0x0000
    assert len(board.entries(WHO, state=None, most=10)) == 1


def test_the_same_transaction_uid_of_another_asker_is_another_one(
    edge: Edge, archive: Archive
) -> None:
    fill(archive, ct(1))
    for title in ("CT1", "CT2"):
        register(archive, closed_port(), title)
        peer = Peer()
        with peer.associated(edge.port, title) as assoc:
            ask(assoc, action(pairs(ct(1)), "1.2.99"))
            assert peer.told().event_type == 1


def test_an_instance_named_twice_is_reported_once(edge: Edge, archive: Archive) -> None:
    """Table J.3-1: each instance stands once in a request."""
    register(archive, closed_port())
    fill(archive, ct(1))
    peer = Peer()
    with peer.associated(edge.port) as assoc:
        ask(assoc, action(pairs(ct(1)) * 2))
        assert peer.told().committed == pairs(ct(1))


# the other way round: we ask for what we sent


class Safe:
    """A remote AE that takes everything and commits to it, now or later."""

    def __init__(self, failed: tuple[tuple[str, str, int], ...] = (), *, later: bool) -> None:
        self.failed = failed
        self.later = later
        self.asked: list[tuple[str, list[tuple[str, str]]]] = []
        self.stored: list[str] = []
        self.came = threading.Event()
        self.port = 0

    def store(self, event: Any) -> int:
        """Serve C-STORE."""
        self.stored.append(str(event.request.AffectedSOPInstanceUID))
        return 0

    def take(self, event: Any) -> tuple[int, None]:
        """Serve N-ACTION."""
        info = event.action_information
        named = [
            (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
            for item in info.ReferencedSOPSequence
        ]
        self.asked.append((str(info.TransactionUID), named))
        self.came.set()
        if not self.later:
            assoc, report = event.assoc, self.report()
            threading.Thread(target=self._tell, args=(assoc, report)).start()
        return 0, None

    def _tell(self, assoc: Any, report: Dataset) -> None:
        self.came.wait(5)
        self.told = assoc.send_n_event_report(report, self.event_type(), PUSH, WELL_KNOWN)[0]

    def event_type(self) -> int:
        """1 or 2."""
        return 2 if self.failed else 1

    def report(self) -> Dataset:
        """Say what became of the newest request."""
        transaction, named = self.asked[-1]
        told = Dataset()
        told.TransactionUID = transaction
        bad = {instance for _, instance, _ in self.failed}
        good = [pair for pair in named if pair[1] not in bad]
        if good:
            told.ReferencedSOPSequence = references(good)
        if self.failed:
            told.FailedSOPSequence = references([pair[:2] for pair in self.failed])
            for item, (_, _, reason) in zip(told.FailedSOPSequence, self.failed, strict=True):
                item.FailureReason = reason
        return told

    def __enter__(self) -> Safe:
        ae = AE(ae_title="SAFE")
        ae.add_supported_context(CT, EXPLICIT)
        ae.add_supported_context(PUSH, EXPLICIT)
        served_by = [(evt.EVT_C_STORE, self.store), (evt.EVT_N_ACTION, self.take)]
        self._server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=served_by)
        self.port = self._server.server_address[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def tell(self, edge: Edge, *, event_type: int | None = None, title: str = "SAFE") -> int:
        """Report on an association of its own; return the status."""
        ae = AE(ae_title=title)
        ae.add_requested_context(PUSH, EXPLICIT)
        role = build_role(PUSH, scp_role=True)
        assoc = ae.associate("127.0.0.1", edge.port, ext_neg=[role])
        assert assoc.is_established
        (context,) = assoc.accepted_contexts
        assert (context.as_scu, context.as_scp) == (False, True)
        status, _ = assoc.send_n_event_report(
            self.report(), event_type or self.event_type(), PUSH, WELL_KNOWN
        )
        assoc.release()
        return int(status.Status)


def _sent(archive: Archive, board: Board, safe: Safe) -> None:
    """Forward a study of three and ask for commitment to it."""
    fill(archive, *(ct(1, 1, number) for number in (1, 2, 3)))
    register(archive, safe.port, "SAFE")
    board.send(WHO, ct(1).study, "SAFE", commit=True)  # type: ignore[arg-type]
    worker = worker_of(archive)
    assert worker.do_one()
    assert worker.do_one()
    assert sorted(safe.stored) == [ct(1, 1, number).instance for number in (1, 2, 3)]


def test_we_ask_for_what_we_sent_and_are_told_on_the_same_association(
    archive: Archive, board: Board
) -> None:
    """J.3.2, as SCU: N-ACTION names every instance; the report is answered 0000H."""
    with Safe(later=False) as safe:
        _sent(archive, board, safe)
        assert sorted(safe.asked[0][1]) == pairs(*(ct(1, 1, number) for number in (1, 2, 3)))
    assert newest(board) == (State.DONE, None)


@pytest.mark.usefixtures("impatient")
def test_a_report_on_another_association_ends_the_job(
    edge: Edge, archive: Archive, board: Board
) -> None:
    """J.3.3, as SCU: Role Selection lets the remote AE be the SCP on its own association."""
    with Safe(later=True) as safe:
        _sent(archive, board, safe)
        assert newest(board) == (State.WAITING, "It was asked; its report is awaited.")
        assert safe.tell(edge) == 0x0000
        assert newest(board) == (State.DONE, None)
        assert safe.tell(edge) == 0x0000  # told twice is no fault


@pytest.mark.usefixtures("impatient")
def test_what_is_not_committed_is_told_per_instance(
    edge: Edge, archive: Archive, board: Board
) -> None:
    """PS3.3 C.14.1.1: the remote AE's reasons stand with the instances."""
    with Safe(failed=((CT, ct(1, 1, 2).instance, 0x0112),), later=True) as safe:
        _sent(archive, board, safe)
        for _ in range(2):  # the answer to the first time was lost
            assert safe.tell(edge) == 0x0000
    with archive.database.reading() as conn:
        told = conn.execute("SELECT FROM audit WHERE kind = 'commitment.received'").fetchall()
    assert len(told) == 1
    job = board.entries(WHO, state=None, most=1)[0]
    assert (job.state, job.cause) == (State.FAILED, "1 of 3 instances are not committed.")
    items = board.entry(WHO, job.job_id)[1]
    assert sorted((item.state, item.status) for item in items) == [
        ("done", 0),
        ("done", 0),
        ("failed", 0x0112),
    ]


@pytest.mark.usefixtures("impatient")
def test_without_a_report_it_is_asked_again_under_a_new_transaction(
    archive: Archive, board: Board
) -> None:
    with Safe(later=True) as safe:
        _sent(archive, board, safe)
        assert worker_of(archive).do_one()
    assert len({transaction for transaction, _ in safe.asked}) == 2


@pytest.mark.usefixtures("impatient")
def test_a_report_on_an_earlier_transaction_ends_the_job(
    edge: Edge, archive: Archive, board: Board
) -> None:
    """J.3.3: one that commits after each night is asked again long before it reports."""
    with Safe(later=True) as safe:
        _sent(archive, board, safe)
        for _ in range(2):
            assert worker_of(archive).do_one()
        latest = safe.asked.pop()
        del safe.asked[1:]
        assert safe.tell(edge) == 0x0000
        assert newest(board) == (State.DONE, None)
        safe.asked.append(latest)
        assert safe.tell(edge) == 0x0000  # the answer to what was asked last, which nobody awaits


@pytest.mark.usefixtures("impatient")
def test_a_report_that_comes_when_the_job_was_given_up_is_what_it_says(
    edge: Edge, archive: Archive, board: Board
) -> None:
    with Safe(later=True) as safe:
        _sent(archive, board, safe)
        with archive.database.transaction() as tx:
            tx.execute("UPDATE job SET asked_at = asked_at - interval '4 days'")
        assert worker_of(archive).do_one()
        assert newest(board) == (State.FAILED, "It was asked; its report is awaited.")
        assert safe.tell(edge) == 0x0000
    assert newest(board) == (State.DONE, None)


@pytest.mark.usefixtures("impatient")
def test_a_report_on_what_was_not_asked_is_refused(
    edge: Edge, archive: Archive, board: Board
) -> None:
    """PS3.7 10.1.1.1.8: invalid argument value, no such event type."""
    with Safe(later=True) as safe:
        _sent(archive, board, safe)
        register(archive, safe.port, "OTHER")
        assert safe.tell(edge, title="OTHER") == 0x0115
        assert safe.tell(edge, event_type=3) == 0x0113
        safe.asked[-1] = ("1.2.3", safe.asked[-1][1])
        assert safe.tell(edge) == 0x0115
    assert newest(board)[0] is State.WAITING


def test_who_asks_may_not_report(edge: Edge, archive: Archive) -> None:
    """PS3.7 D.3.3.4: without Role Selection the requestor is the SCU, which sends no report."""
    register(archive, closed_port())
    contexts = [(PUSH, [EXPLICIT])]
    with Requestor(
        "127.0.0.1", edge.port, calling="CT1", called="VNA", contexts=contexts
    ) as remote:
        status = remote.notify(Field.N_EVENT_REPORT, PUSH, WELL_KNOWN, 1, lambda _: b"")
        assert status.code == 0x0122


# PS3.7 D.3.3.7: a user of an AE asks, the AE is told


@pytest.fixture
def as_user(archive: Archive, serve: Serve, tmp_path: Path) -> Callable[..., Requestor]:
    """Call under TLS as a user whom the archive verifies."""
    authority = Authority(tmp_path)
    path = tmp_path / "identities.toml"
    path.write_text('[[user]]\nname = "jdoe"\n')
    settings = authority.settings(authority.sign("archive"))
    edge = served(archive, serve, dev=False, tls=settings, identities=str(path))
    context = tls.requestor(authority.settings(authority.sign("modality"))).value()

    def requestor(title: str, *roles: Role) -> Requestor:
        return Requestor(
            "localhost",
            edge.secured,
            calling=title,
            called="VNA",
            contexts=[(PUSH, [EXPLICIT])],
            tls=context,
            identity=UserIdentity(kind=1, wants_response=False, primary=b"jdoe"),
            roles=roles,
        )

    return requestor


def test_a_request_of_a_user_is_reported_to_the_ae(
    as_user: Callable[..., Requestor], archive: Archive, board: Board
) -> None:
    fill(archive, ct(1))
    asked = [Named(*pair) for pair in pairs(ct(1))]
    with Peer().listening() as peer:
        register(archive, peer.port)
        with as_user("CT1") as remote:
            status = remote.notify(
                Field.N_ACTION, PUSH, WELL_KNOWN, 1, lambda s: write_request("1.2.3", asked, s)
            )
            assert status.code == 0x0000
        _given_back(board)
        assert worker_of(archive).do_one()
        told = peer.told()
    assert (told.event_type, told.committed) == (1, pairs(ct(1)))
    assert newest(board) == (State.DONE, None)


@pytest.mark.usefixtures("impatient")
def test_a_report_of_a_user_is_that_of_the_ae(
    as_user: Callable[..., Requestor], archive: Archive, board: Board
) -> None:
    with Safe(later=True) as safe:
        _sent(archive, board, safe)
        transaction, instances = safe.asked[-1]
        committed = tuple(Named(*pair) for pair in instances)
        what = Report(transaction=transaction, committed=committed, failed=())
        with as_user("SAFE", Role(sop_class=PUSH, scu=False, scp=True)) as remote:
            status = remote.notify(
                Field.N_EVENT_REPORT, PUSH, WELL_KNOWN, 1, lambda s: write_report(what, s)
            )
    assert status.code == 0x0000
    assert newest(board) == (State.DONE, None)


def _given_back(board: Board, jobs: int = 1) -> None:
    """Wait until the association's end has left the report to the worker."""

    def is_so() -> bool:
        found = board.entries(WHO, state=State.WAITING, most=10)
        return len(found) == jobs

    wait_for(is_so)


def _damage(archive: Archive, instance: str) -> None:
    """Turn one byte of a stored blob over."""
    with archive.database.reading() as conn:
        row = conn.execute(
            "SELECT blob_id FROM instance WHERE sop_instance_uid = %s", (instance,)
        ).fetchone()
    assert row is not None
    path = archive.settings.data / "blobs" / blob_name(row[0])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)

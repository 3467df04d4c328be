"""What a rule sends to a DICOMweb archive arrives there by STOW-RS, over a real socket."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme

from tests.archive import Archive, open_archive
from tests.conftest import TestPostgres
from tests.dimse.edge import wait_for
from tests.dimse.holding import datasets, fill, of_every_syntax
from tests.factories import EXPLICIT, IMPLICIT, ct
from tests.flows.serving import free_port
from tests.jobs.conftest import FAST, WHO, entry, states, worker_of
from tests.web.conftest import Site, running, serving
from tests.web.people import token_of
from vna.access import labels
from vna.access.peers import Peer
from vna.access.principal import Label
from vna.access.routes import Route
from vna.db.pool import Database
from vna.db.work import Settled, State
from vna.dicom.refs import StudyRef, uid
from vna.errors import Conflict, InvalidRequest, NotFound, NotPermitted
from vna.ingest.outcome import Source
from vna.jobs import reading, stow
from vna.jobs.board import Board
from vna.jobs.stow_client import Client
from vna.jobs.task import DONE, Ending, Task
from vna.retrieve.outgoing import Outgoing
from vna.web.asgi import create

STUDY = uid(ct(1).study)


@pytest.fixture
def there(postgres: TestPostgres, tmp_path: Path) -> Iterator[Site]:
    """Another archive of ours, which lets in who shows a token."""
    (tmp_path / "there").mkdir()
    with serving(postgres, tmp_path / "there", dev=False) as site:
        yield site


def lead(archive: Archive, url: str, **differs: object) -> None:
    """Make a rule that sends everything to the archive at this URL."""
    archive.peers.add(WHO, Peer(name="there", url=url, **differs))  # type: ignore[arg-type]  # fields of a Peer
    archive.routes.add(WHO, Route(name="all", peer="there"))


def gathered(archive: Archive, board: Board) -> int:
    """The one job there is, due now."""
    (found,) = board.entries(WHO, state=None, most=10)
    board.retry(WHO, found.job_id)
    return found.job_id


def test_nothing_is_lost_between_those_who_fill_jobs_and_those_who_take_them(
    tmp_path: Path, database: Database
) -> None:
    shelf: list[str] = []

    def taking(task: Task) -> Ending:
        items = task.items()
        shelf.extend(item.instance for item in items)
        task.note([Settled(item.number, "done", 0) for item in items])
        return DONE

    soon = {**FAST, "gather_s": 0.02}
    made = [ct(1, series, number) for series in range(1, 5) for number in range(1, 11)]
    with open_archive(tmp_path, database, jobs=soon) as archive:
        lead(archive, "https://pacs.example/web")
        worker = worker_of(archive, {"stow": taking})
        thread = threading.Thread(target=worker.run)
        thread.start()
        with ThreadPoolExecutor(4) as hands:
            list(hands.map(lambda part: fill(archive, *part), [made[n::4] for n in range(4)]))
        wait_for(lambda: len(shelf) >= len(made))
        worker.stop()
        thread.join(30)
        board = Board(archive.database, archive.audit, archive.remotes, most_instances=10)
        jobs = board.entries(WHO, state=None, most=1000)
    assert sorted(shelf) == sorted(one.instance for one in made)
    assert {one.state for one in jobs} == {State.DONE}
    assert sum(one.instances for one in jobs) == len(made)


def held(site: Site) -> dict[str, bytes]:
    """The data sets an archive holds of the study."""
    found = site.archive.retrieve.instances(WHO, StudyRef(STUDY))
    return {
        one.ref.instance: b"".join(
            site.archive.retrieve.forms.dataset(one, one.transfer_syntax).chunks
        )
        for one in found
    }


def test_a_study_arrives_bit_for_bit_and_once(archive: Archive, board: Board, there: Site) -> None:
    lead(archive, there.root, token=token_of(there, "pacs", actions=["store"]))
    made = of_every_syntax()
    fill(archive, *made)
    job_id = gathered(archive, board)
    worker_of(archive).do_one()
    found, items = board.entry(WHO, job_id)
    assert (found.state, found.kind, found.remote, found.done) == (State.DONE, "stow", "there", 12)
    assert {(item.state, item.status) for item in items} == {("done", 0)}
    assert held(there) == datasets(made)
    fill(archive, *made)
    assert len(board.entries(WHO, state=None, most=10)) == 1


def test_it_goes_over_tls_and_only_to_whom_it_trusts(
    archive: Archive, board: Board, there: Site, tmp_path: Path
) -> None:
    authority, other = trustme.CA(), trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    token = token_of(there, "pacs", actions=["store"])
    with running(create(there.engines), tls=(certificate, key)) as address:
        url = f"https://127.0.0.1:{address.port}/dicom-web"
        lead(archive, url, token=token, authority=other.cert_pem.bytes().decode())
        fill(archive, ct(1))
        job_id = gathered(archive, board)
        worker_of(archive).do_one()
        assert entry(board, job_id).state is State.WAITING
        lead(archive, url, token=token, authority=authority.cert_pem.bytes().decode())
        worker_of(archive).do_one()
        assert entry(board, job_id).state is State.DONE
    assert held(there) == datasets([ct(1)])


def test_it_goes_out_in_what_the_archive_wants(archive: Archive, board: Board, there: Site) -> None:
    token = token_of(there, "pacs", actions=["store"])
    lead(archive, there.root, token=token, transfer_syntaxes=(EXPLICIT,))
    fill(archive, ct(1, transfer_syntax=IMPLICIT))
    job_id = gathered(archive, board)
    worker_of(archive).do_one()
    assert entry(board, job_id).state is State.DONE
    (found,) = there.archive.retrieve.instances(WHO, StudyRef(STUDY))
    assert found.transfer_syntax == EXPLICIT


def test_an_archive_that_is_away_or_does_not_know_us_is_tried_again(
    archive: Archive, board: Board, there: Site
) -> None:
    lead(archive, f"http://127.0.0.1:{free_port()}/dicom-web")
    fill(archive, ct(1))
    job_id, worker = gathered(archive, board), worker_of(archive)
    worker.do_one()
    assert (entry(board, job_id).state, states(board, job_id)) == (State.WAITING, ["waiting"])
    assert "The DICOMweb archive cannot be reached" in (entry(board, job_id).cause or "")
    lead(archive, there.root, token="wrong-token")
    worker.do_one()
    assert entry(board, job_id).cause == "The DICOMweb archive answers with status 401."
    lead(archive, there.root, token=token_of(there, "pacs", actions=["store"]))
    worker.do_one()
    assert entry(board, job_id).state is State.DONE


def test_what_cannot_be_read_here_keeps_nothing_else(
    archive: Archive, board: Board, there: Site
) -> None:
    lead(archive, there.root, token=token_of(there, "pacs", actions=["store"]))
    fill(archive, ct(1, 1, 1), ct(1, 1, 2), ct(1, 1, 3))
    broken = archive.retrieve.instances(WHO, StudyRef(STUDY))[1]
    (file,) = archive.settings.data.glob(f"blobs/b/*/*/*{broken.blob_id.hex()[-12:]}.vnb")
    data = bytearray(file.read_bytes())
    data[600] ^= 1
    file.chmod(0o600)
    file.write_bytes(data)
    job_id = gathered(archive, board)
    worker_of(archive).do_one()
    assert sorted(states(board, job_id)) == ["done", "done", "failed"]
    assert set(held(there)) == {ct(1, 1, 1).instance, ct(1, 1, 3).instance}


def test_what_cannot_be_read_for_a_while_is_sent_later_and_keeps_nothing_else(
    archive: Archive, board: Board, there: Site
) -> None:
    lead(archive, there.root, token=token_of(there, "pacs", actions=["store"]))
    fill(archive, ct(1, 1, 1), ct(1, 1, 2), ct(1, 1, 3))
    away = archive.retrieve.instances(WHO, StudyRef(STUDY))[1]
    (file,) = archive.settings.data.glob(f"blobs/b/*/*/*{away.blob_id.hex()[-12:]}.vnb")
    kept = file.rename(file.with_suffix(".kept"))
    file.mkdir()  # there, and cannot be read: EISDIR
    job_id, worker = gathered(archive, board), worker_of(archive)
    worker.do_one()
    assert sorted(states(board, job_id)) == ["done", "done", "waiting"]
    file.rmdir()
    kept.rename(file)
    worker.do_one()
    assert (entry(board, job_id).state, states(board, job_id)) == (State.DONE, ["done"] * 3)
    assert held(there) == datasets([ct(1, 1, 1), ct(1, 1, 2), ct(1, 1, 3)])


class Answering(ThreadingHTTPServer):
    """Answers every request as it is told, and keeps what it was shown."""

    daemon_threads = True

    def __init__(self, status: int, body: bytes, **headers: str) -> None:
        self.answer = (status, body, headers)
        self.shown: list[dict[str, str]] = []
        self.sent: list[list[str]] = []  # the SOP Instance UIDs of each request
        self.then: Callable[[], object] = lambda: None
        self.pauses_s = 0.0  # between two bytes of its answer
        self.is_left = False
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/web"


# Media Storage SOP Instance UID (0002,0003)
_NAMED = re.compile(rb"\x02\x00\x03\x00UI..([0-9.]+)", re.DOTALL)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Answering)
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size + 2)[:-2]
        self.rfile.readline()
        server.sent.append([uid.decode() for uid in _NAMED.findall(body)])
        server.shown.append({"path": self.path, **dict(self.headers)})
        server.then()
        status, body, headers = server.answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self._say(server, body)

    def _say(self, server: Answering, body: bytes) -> None:
        if not server.pauses_s:
            self.wfile.write(body)
            return
        self.connection.settimeout(server.pauses_s)
        for at in range(20):
            try:
                self.wfile.write(body[at : at + 1])
                server.is_left = not self.connection.recv(1)
            except TimeoutError:
                continue
            except OSError:
                server.is_left = True
            return
        self.connection.settimeout(None)
        self.wfile.write(body[20:])

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def served(server: Answering) -> Iterator[None]:
    """Let it answer meanwhile."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answering(archive: Archive, board: Board, server: Answering) -> tuple[State, list[str]]:
    """Send two instances to it; say how the job stands, and each instance."""
    with served(server):
        lead(archive, server.url, token="a-token")
        fill(archive, ct(1, 1, 1), ct(1, 1, 2))
        job_id = gathered(archive, board)
        worker_of(archive).do_one()
        return entry(board, job_id).state, sorted(states(board, job_id))


def _item(instance: str, **more: int) -> dict[str, object]:
    item: dict[str, object] = {"00081155": {"vr": "UI", "Value": [instance]}}
    return item | {f"0008{tag[1:]}": {"vr": "US", "Value": [n]} for tag, n in more.items()}


FIRST, SECOND = ct(1, 1, 1).instance, ct(1, 1, 2).instance


def _answer(stored: list[dict[str, object]], failed: list[dict[str, object]]) -> bytes:
    return orjson.dumps(
        {"00081199": {"vr": "SQ", "Value": stored}, "00081198": {"vr": "SQ", "Value": failed}}
    )


@pytest.mark.parametrize(
    ("status", "body", "ends"),
    [
        (200, _answer([_item(FIRST), _item(SECOND)], []), (State.DONE, ["done"] * 2)),
        (
            202,
            _answer([_item(FIRST, t1196=0xB000)], [_item(SECOND, t1197=0xA900)]),
            (State.FAILED, ["failed", "warning"]),
        ),
        (
            202,
            _answer([_item(FIRST)], [_item(SECOND, t1197=0xA700)]),
            (State.WAITING, ["done", "waiting"]),
        ),
        (200, _answer([_item(FIRST)], []), (State.WAITING, ["done", "waiting"])),
        (409, _answer([], [_item(FIRST), _item(SECOND)]), (State.FAILED, ["failed"] * 2)),
        (
            409,
            _answer([], [_item(FIRST, t1197=1 << 40), _item(SECOND, t1197=-1)]),
            (State.FAILED, ["failed"] * 2),
        ),
        (200, b"<html>welcome", (State.WAITING, ["waiting"] * 2)),
        (200, b"[1]", (State.WAITING, ["waiting"] * 2)),
        (503, b"", (State.WAITING, ["waiting"] * 2)),
        (400, b"", (State.FAILED, ["waiting"] * 2)),
        (200, b" " * (17 << 20), (State.FAILED, ["waiting"] * 2)),
    ],
)
def test_every_answer_has_its_consequence(
    archive: Archive, board: Board, status: int, body: bytes, ends: tuple[State, list[str]]
) -> None:
    server = Answering(status, body)
    assert answering(archive, board, server) == ends
    assert server.shown[0]["path"] == "/web/studies"
    assert server.shown[0]["Authorization"] == "Bearer a-token"


def choosy(refuses: Callable[[list[str]], int | None]) -> Answering:
    """A DICOMweb archive that stores a request whole, or answers it with a status alone."""
    server = Answering(200, b"")

    def answer() -> None:
        status = refuses(server.sent[-1])
        stored = _answer([_item(one) for one in server.sent[-1]], [])
        server.answer = (200, stored, {}) if status is None else (status, b"", {})

    server.then = answer
    return server


def test_a_request_too_large_for_them_goes_in_parts(archive: Archive, board: Board) -> None:
    """PS3.18 Table 10.5.3-1: 413 says that of the payload, not of what is in it."""
    made = [ct(1, 1, number) for number in range(1, 9)]
    huge = made[2].instance
    server = choosy(lambda sent: 413 if len(sent) > 3 or huge in sent else None)
    with served(server):
        lead(archive, server.url)
        fill(archive, *made)
        job_id = gathered(archive, board)
        worker_of(archive).do_one()
    found, items = board.entry(WHO, job_id)
    assert (found.state, found.done, found.failed) == (State.FAILED, 7, 1)
    (failed,) = [item for item in items if item.state == "failed"]
    assert (failed.instance, failed.cause) == (
        huge,
        "It is larger than the DICOMweb archive takes.",
    )


def test_an_answer_that_trickles_is_not_waited_for(archive: Archive, board: Board) -> None:
    """One byte after the other it would come at last, and keep a hand of the worker till then."""
    server = Answering(200, _answer([_item(FIRST), _item(SECOND)], []))
    server.pauses_s = 0.5
    assert answering(archive, board, server) == (State.WAITING, ["waiting"] * 2)
    assert server.is_left


def test_what_they_fail_at_keeps_nothing_else_waiting(
    archive: Archive, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stow, "_MOST", 8)
    made = [ct(1, 1, number) for number in range(1, 17)]
    bad = made[2].instance
    server = choosy(lambda sent: 500 if bad in sent else None)
    with served(server):
        lead(archive, server.url)
        fill(archive, *made)
        job_id, worker = gathered(archive, board), worker_of(archive)
        for _ in range(5):
            worker.do_one()
    found, items = board.entry(WHO, job_id)
    assert (found.state, found.done) == (State.WAITING, 15)
    (waiting,) = [item for item in items if item.state == "waiting"]
    assert (waiting.instance, waiting.cause) == (bad, found.cause)


def test_what_is_withheld_meanwhile_is_in_no_other_request(
    archive: Archive, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "LOOK_S", -1.0)
    monkeypatch.setattr(stow, "_MOST", 1)
    server = Answering(200, _answer([_item(FIRST), _item(SECOND)], []))
    server.then = lambda: archive.labels.put(WHO, STUDY, Label.SENSITIVE, reason="a test")
    assert answering(archive, board, server) == (State.FAILED, ["done", "failed"])
    assert len(server.shown) == 1
    (found,) = board.entries(WHO, state=None, most=10)
    assert found.cause == f"1 of 2 instances were not taken. {reading.WITHHELD}"


def test_what_is_withheld_within_a_request_breaks_it_off(
    archive: Archive, board: Board, there: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "LOOK_S", -1.0)
    lead(archive, there.root, token=token_of(there, "pacs", actions=["store"]))
    fill(archive, *(ct(1, 1, number) for number in range(1, 5)))
    job_id, read, whole = gathered(archive, board), [], stow._file

    def file(one: Outgoing, *args: Any) -> Iterator[bytes]:
        yield from whole(one, *args)
        read.append(one.ref.instance)
        if len(read) == 2:
            archive.labels.put(WHO, STUDY, Label.SENSITIVE, reason="known to all")

    monkeypatch.setattr(stow, "_file", file)
    worker_of(archive).do_one()
    assert len(read) == 2
    assert states(board, job_id) == ["failed"] * 4
    assert {item.cause for item in board.entry(WHO, job_id)[1]} == {reading.WITHHELD}


def test_a_redirect_is_not_followed(archive: Archive, board: Board) -> None:
    target = Answering(200, _answer([_item(FIRST), _item(SECOND)], []))
    server = Answering(307, b"", Location=target.url)
    assert answering(archive, board, server)[0] is State.FAILED
    assert target.shown == []
    target.server_close()


def test_the_token_is_sealed_and_never_shown(archive: Archive) -> None:
    canary = "canary-Zk3xhQ"
    archive.peers.add(WHO, Peer(name="there", url="https://pacs.example/web", token=canary))
    with archive.database.reading() as conn:
        kept = conn.execute("SELECT token FROM peer").fetchone()
        trail = conn.execute("SELECT string_agg(detail::text, '') FROM audit").fetchone()
    assert canary.encode() not in bytes((kept or [b""])[0])
    assert canary not in str(trail)
    assert canary not in repr(archive.peers.all(WHO))
    found = archive.peers.find("there")
    assert found is not None
    assert (found.token, canary in repr(found)) == (canary, False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://pacs.example"},
        {"url": "https://"},
        {"url": "https://name:secret@pacs.example/"},
        {"url": "https://pacs.example/?x=1"},
        {"url": "https://pacs.example:99999/"},
        {"url": "https://pacs example/"},
        {"name": "a b"},
        {"token": "two words"},
        {"token": "line\nbreak"},
        {"authority": "no certificate"},
    ],
)
def test_what_is_no_archive_is_refused_in_words(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        Peer(**{"name": "there", "url": "https://pacs.example/web", **wrong})  # type: ignore[arg-type]  # wrong on purpose


def test_a_peer_in_the_clear_or_ourselves_is_refused(there: Site, archive: Archive) -> None:
    plain = Peer(name="there", url="http://pacs.example/web")
    peers = type(archive.peers)
    strict = peers(
        database=archive.database,
        audit=archive.audit,
        vault=archive.peers._vault,
        settings=there.engines.settings,
    )
    with pytest.raises(InvalidRequest, match="https"):
        strict.add(WHO, plain)
    with pytest.raises(Exception, match="https"):
        Client(plain, there.engines.settings)
    ours = archive.settings.http.listen
    with pytest.raises(InvalidRequest, match="itself"):
        archive.peers.add(WHO, Peer(name="us", url=f"http://{ours}/dicom-web"))
    with pytest.raises(NotPermitted, match=r"outbound\.allow"):
        archive.peers.add(WHO, Peer(name="us", url="https://169.254.169.254/dicom-web"))


def test_an_archive_stays_known_while_something_leads_to_it(archive: Archive, board: Board) -> None:
    lead(archive, "https://pacs.example/web")
    archive.ingest.receive(archive.who, Source(proto="stow")).abort()
    fill(archive, ct(1))
    with pytest.raises(Conflict, match="route"):
        archive.peers.remove(WHO, "there")
    archive.routes.remove(WHO, "all")
    with pytest.raises(Conflict, match="jobs"):
        archive.peers.remove(WHO, "there")
    board.cancel(WHO, board.entries(WHO, state=None, most=1)[0].job_id)
    archive.peers.remove(WHO, "there")
    with pytest.raises(NotFound):
        archive.peers.remove(WHO, "there")

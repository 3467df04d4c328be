"""The trail at an audit repository: every row once it is sealed, in order, over TLS."""

from __future__ import annotations

import dataclasses
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.access.sealed import Trail as Sealed
from tests.access.sealed import make_trail
from tests.conftest import TestPostgres
from tests.dimse.certificates import Authority
from vna.access.audit import Event
from vna.access.principal import system
from vna.access.trail import Trail
from vna.config import Settings
from vna.config import Syslog as Wanted
from vna.db.pool import Database
from vna.errors import ConfigError
from vna.operate import syslog
from vna.operate.syslog import Syslog
from vna.telemetry import Spell

_HEAD = re.compile(rb"<(\d+)>1 (\S+) (\S+) vna \d+ DICOM\+RFC3881 - \xef\xbb\xbf")


class Repository:
    """A collector that reads frames and keeps them; `cut` hangs up on whoever is there."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._context = context
        self._more = threading.Condition()
        self.messages: list[bytes] = []
        self.connections = 0
        self._open: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            with plain:
                try:
                    with self._context.wrap_socket(plain, server_side=True) as sock:
                        self.connections += 1
                        with self._more:
                            if self._open is not None:
                                self._open.close()
                            self._open = socket.fromfd(sock.fileno(), sock.family, sock.type)
                            self._more.notify_all()
                        self._read(sock)
                        sock.unwrap()
                except (OSError, ValueError):
                    continue

    def _read(self, sock: ssl.SSLSocket) -> None:
        data = b""
        while piece := sock.recv(65536):
            data += piece
            while (found := re.match(rb"(\d+) ", data)) is not None:
                end = found.end() + int(found[1])
                if len(data) < end:
                    break
                with self._more:
                    self.messages.append(data[found.end() : end])
                    self._more.notify_all()
                data = data[end:]

    def wait_for(self, count: int) -> list[bytes]:
        with self._more:
            assert self._more.wait_for(lambda: len(self.messages) >= count, 30)
            return list(self.messages)

    def cut(self) -> None:
        with self._more:
            assert self._more.wait_for(lambda: self._open is not None, 30)
            found, self._open = self._open, None
        assert found is not None
        with found:
            found.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def repository(authority: Authority) -> Iterator[Repository]:
    signed = authority.sign("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.certificate, signed.key)
    context.load_verify_locations(authority.path)
    context.verify_mode = ssl.CERT_REQUIRED
    found = Repository(context)
    yield found
    found.close()


@pytest.fixture
def trail(database: Database, postgres: TestPostgres, tmp_path: Path) -> Sealed:
    return make_trail(database, postgres, tmp_path / "blobs")


def sender(trail: Sealed, authority: Authority, port: int, **other: str) -> Syslog:
    ours = authority.sign("archive")
    wanted = {
        "to": f"localhost:{port}",
        "ca": str(authority.path),
        "certificate": str(ours.certificate),
        "key": str(ours.key),
        **other,
    }
    settings = dataclasses.replace(Settings(), syslog=Wanted(**wanted))
    return Syslog(
        database=trail.database, trail=Trail(trail.database, trail.audit), settings=settings
    )


def act(trail: Sealed, first: int, last: int, outcome: str = "done") -> None:
    """Write rows and seal them."""
    with trail.database.transaction() as tx:
        events = [
            Event(kind="read", outcome=outcome, study=f"1.2.{n}", detail={"what": "frames"})
            for n in range(first, last)
        ]
        trail.audit.write(tx, system("reader"), events)
    while trail.sealer.seal():
        pass


def studies(messages: list[bytes]) -> list[str]:
    found = []
    for one in messages:
        head = _HEAD.match(one)
        assert head is not None, one
        root = ElementTree.fromstring(one[head.end() :])  # noqa: S314 -- our own
        assert root.tag == "AuditMessage"
        (study,) = root.iterfind("ParticipantObjectIdentification")
        found.append(study.attrib["ParticipantObjectID"])
    return found


def named(first: int, last: int) -> list[str]:
    return [f"1.2.{n}" for n in range(first, last)]


def kept(trail: Sealed) -> int:
    with trail.database.reading() as conn:
        row = conn.execute("SELECT seal_seq FROM audit_sent").fetchone()
    return 0 if row is None else int(row[0])


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog, "STANDS_S", 0.0)
    monkeypatch.setattr(syslog, "LOOK_S", 0.02)


def test_every_row_comes_in_the_order_of_the_chain(
    trail: Sealed, authority: Authority, repository: Repository
) -> None:
    sending = sender(trail, authority, repository.port)
    assert not sending.turn()  # from here on: what was before is not sent
    act(trail, 0, 450)
    while sending.turn():
        pass
    assert studies(repository.wait_for(450)) == named(0, 450)
    sending.close()
    assert kept(trail) == 450
    heads = [_HEAD.match(one) for one in repository.messages]
    assert {head[1] for head in heads if head} == {b"85"}


def test_what_failed_is_a_warning(
    trail: Sealed, authority: Authority, repository: Repository
) -> None:
    sending = sender(trail, authority, repository.port)
    sending.turn()
    act(trail, 0, 1, outcome="refused")
    sending.turn()
    (one,) = repository.wait_for(1)
    sending.close()
    assert one.startswith(b"<84>1 ")


def test_a_broken_connection_loses_nothing(
    trail: Sealed, authority: Authority, repository: Repository
) -> None:
    sending, stop = sender(trail, authority, repository.port), threading.Event()
    sending.turn()
    thread = threading.Thread(target=sending.run, args=(stop,))
    thread.start()
    try:
        for step in range(4):
            act(trail, step * 50, step * 50 + 50)
            repository.wait_for(50 * (step + 1))
            repository.cut()
        act(trail, 200, 210)
        with repository._more:
            assert repository._more.wait_for(
                lambda: set(named(0, 210)) <= set(studies(repository.messages)), 30
            )
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    assert repository.connections > 1
    assert kept(trail) == 210


def test_a_process_that_comes_after_goes_on_where_it_was_left(
    trail: Sealed, authority: Authority, repository: Repository
) -> None:
    first = sender(trail, authority, repository.port)
    first.turn()
    act(trail, 0, 5)
    first.turn()
    repository.wait_for(5)
    first.close()
    act(trail, 5, 9)
    second = sender(trail, authority, repository.port)
    second.turn()
    assert studies(repository.wait_for(9)) == named(0, 9)
    second.close()


def test_nothing_is_told_to_whom_nobody_vouches_for(
    trail: Sealed, authority: Authority, repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other", "Another CA")
    sending = sender(trail, authority, repository.port, ca=str(stranger.path))
    act(trail, 0, 3)
    with pytest.raises(ssl.SSLCertVerificationError):
        sending.turn()
    assert repository.messages == []
    sending.close()


def test_nothing_is_sent_where_nobody_is_named_and_bad_files_are_told(
    trail: Sealed, authority: Authority
) -> None:
    assert not Syslog(
        database=trail.database, trail=Trail(trail.database, trail.audit), settings=Settings()
    ).is_wanted
    for wrong in ({"ca": "/nowhere"}, {"to": "nowhere"}, {"certificate": "/nowhere"}):
        with pytest.raises(ConfigError):
            sender(trail, authority, 1, **wrong)


class Turns(threading.Event):
    """Told to stop after ten turns, a day apart."""

    def __init__(self) -> None:
        super().__init__()
        self.days = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.days += 1
        return self.days > 10


def test_a_repository_that_is_away_is_told_again_each_day(
    trail: Sealed,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody was told a second time that for months no audit message had left the archive."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    days = Turns()
    found = sender(trail, authority, port)
    told = Spell(syslog.log, "audit repository not reached", clock=lambda: days.days * 86400.0)
    monkeypatch.setattr(found, "_failing", told)
    found.run(days)
    assert [one.getMessage() for one in caplog.records] == ["audit repository not reached"] * 10
    assert vars(caplog.records[0])["why"] == f"localhost:{port}: Connection refused"

"""A body under way ends when its session, its token, its account or its right to the study does."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import TestPostgres
from tests.dimse.edge import wait_for
from tests.factories import ct, ct_of_bytes
from tests.imports.conftest import mark
from tests.imports.test_requests import WANTED
from tests.jobs.conftest import worker_of
from tests.web.conftest import Site, body_of, running, serving
from tests.web.people import SHELL, Surfer, bearer, enrolled, people_of, signed_in, surfer, token_of
from vna.access.care import Whom
from vna.access.principal import Label
from vna.crypto import certificates
from vna.dicom.refs import uid
from vna.telemetry import BODIES_ENDED
from vna.web import inward
from vna.web.asgi import create

SIZE = 16 << 20
FILE = ct_of_bytes(SIZE, patient_id="B1")
WITHIN_S = 1.0


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as site:
        site.archive.take(FILE.part10(), chunk=1 << 20)
        yield site


class Download:
    """A client that has read the head and a little of the body, and then waits."""

    def __init__(self, port: int, fields: str, *, tls: bool = False, path: str = "") -> None:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.settimeout(20)
        sock.connect(("127.0.0.1", port))
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            sock = context.wrap_socket(sock)
        self.sock = sock
        path = path or f"/dicom-web/studies/{FILE.study}"
        asked = f"GET {path} HTTP/1.1", "host: localhost", "connection: close", fields
        sock.sendall("\r\n".join((*asked, "", "")).encode())
        self.head = b""
        while b"\r\n\r\n" not in self.head:
            self.head += sock.recv(4096)

    def rest(self) -> int:
        """Read until the end; return how much there was."""
        size = 0
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := self.sock.recv(1 << 20):
                size += len(data)
        self.sock.close()
        return size


def by_token(site: Site, name: str) -> str:
    return f"authorization: Bearer {token_of(site, name, 'service')}"


def cut_off(site: Site, download: Download, end: Callable[[], object]) -> None:
    """End it; the body must stop within a second though the client reads on only later."""
    assert b" 200 " in download.head.partition(b"\r\n")[0]
    before = counted(site)
    end()
    deadline = time.monotonic() + WITHIN_S
    while counted(site) == before:
        assert time.monotonic() < deadline
        with site.archive.database.reading() as conn:
            conn.execute("SELECT pg_sleep(0.02)")
    assert download.rest() < SIZE * 3 // 4  # the rest stands in buffers of the system


def counted(site: Site) -> float:
    del site  # its server runs in this process
    return float(BODIES_ENDED._value.get())


def test_a_revoked_token_s_download_ends(site: Site) -> None:
    fields = by_token(site, "a")
    people = people_of(site)
    (token,) = (t for t in people.tokens.all(SHELL) if t.login == "a")
    download = Download(site.address.port, fields)
    cut_off(site, download, lambda: people.tokens.revoke(SHELL, token.token_id))


def test_a_disabled_account_s_download_ends(site: Site) -> None:
    download = Download(site.address.port, by_token(site, "b"))
    cut_off(site, download, lambda: people_of(site).accounts.disable(SHELL, "b"))


def test_a_session_s_download_ends_with_the_session(site: Site) -> None:
    ada = signed_in(site, "ada", "radiologist")
    download = Download(site.address.port, f"cookie: vna={ada.cookie()}")
    cut_off(site, download, lambda: ada.post("/logout", page="/account"))


def test_a_package_ends_too(site: Site) -> None:
    accept = "accept: application/zip\r\n"
    download = Download(site.address.port, accept + by_token(site, "c"))
    cut_off(site, download, lambda: people_of(site).accounts.disable(SHELL, "c"))


def disc_of(site: Site, browser: Surfer) -> str:
    """Have a disc of the study made; return the path of its image."""
    made = browser.post(f"/study/{FILE.study}/disc", page=f"/study/{FILE.study}")
    while worker_of(site.archive).do_one():
        pass
    return f"{made.headers['location']}/image.iso"


def cut_off_by_label(site: Site, download: Download) -> None:
    study = uid(FILE.study)
    try:
        cut_off(
            site,
            download,
            lambda: site.archive.labels.put(SHELL, study, Label.SENSITIVE, reason="a test"),
        )
    finally:
        site.archive.labels.take(SHELL, study, Label.SENSITIVE)
        people_of(site).labels._looked = float("-inf")  # the next test is not to wait for it


def test_the_image_of_a_disc_ends_with_the_session(site: Site) -> None:
    eve = signed_in(site, "eve", "radiologist")
    download = Download(site.address.port, f"cookie: vna={eve.cookie()}", path=disc_of(site, eve))
    cut_off(site, download, lambda: eve.post("/logout", page="/account"))


def test_the_image_of_a_disc_ends_when_what_is_on_it_is_withheld(site: Site) -> None:
    fay = signed_in(site, "fay", "records-clerk")
    download = Download(site.address.port, f"cookie: vna={fay.cookie()}", path=disc_of(site, fay))
    cut_off_by_label(site, download)


def test_what_is_labelled_now_is_not_given_to_its_end(site: Site) -> None:
    download = Download(site.address.port, by_token(site, "d"))
    cut_off_by_label(site, download)


def test_what_was_granted_ends_with_its_relation(site: Site) -> None:
    care = people_of(site).care
    token = token_of(site, "e", "referring")
    number = care.give(SHELL, "e", Whom(patient_id="B1", issuer="LOCAL"), ground="own", days=1)
    download = Download(site.address.port, f"authorization: Bearer {token}")
    cut_off(site, download, lambda: care.end(SHELL, number))


def test_under_tls_it_ends_too(site: Site, tmp_path: Path) -> None:
    certificate, key = tmp_path / "c", tmp_path / "k"
    certificates.make(certificate, key, ["localhost"])
    with running(create(site.engines), tls=(certificate, key)) as secured:
        download = Download(secured.port, by_token(site, "f"), tls=True)
        cut_off(site, download, lambda: people_of(site).accounts.disable(SHELL, "f"))


def test_others_downloads_go_on(site: Site) -> None:
    mine, other = by_token(site, "g"), by_token(site, "h")
    kept = Download(site.address.port, other)
    download = Download(site.address.port, mine)
    cut_off(site, download, lambda: people_of(site).accounts.disable(SHELL, "g"))
    assert kept.rest() > SIZE - 65536
    assert enrolled(site, "nobody-else")[1]


def test_a_body_read_at_leisure_is_whole(site: Site) -> None:
    download = Download(site.address.port, by_token(site, "i"))
    with site.archive.database.reading() as conn:
        conn.execute("SELECT pg_sleep(1.0)")  # the watch looks twice meanwhile
    assert download.rest() > SIZE - 65536


LARGE = ct_of_bytes(6 << 20, patient_id="U1")
BEGUN = 4 << 20


class Upload:
    """A client that has sent a part of a body, and then waits."""

    def __init__(self, site: Site, line: str, fields: list[str], body: bytes) -> None:
        self.site = site
        self.sock = site.closing.enter_context(site.address.connect())
        length = f"content-length: {len(body)}"
        head = (f"{line} HTTP/1.1", "host: localhost", "connection: close", length, *fields)
        self.sock.sendall("\r\n".join((*head, "", "")).encode() + body[:BEGUN])
        self._rest = body[BEGUN:]

    def is_taken(self) -> Upload:
        """Wait until an object is being written."""
        wait_for(lambda: any(self.site.archive.settings.data.rglob("*.part")))
        return self

    def send(self, size: int) -> int:
        """Send on; return how much that was."""
        piece, self._rest = self._rest[:size], self._rest[size:]
        self.sock.sendall(piece)
        return len(piece)

    def is_answered(self, within_s: float = 0.02) -> bool:
        """Tell whether there is an answer, or comes one in a moment."""
        return bool(select.select([self.sock], [], [], within_s)[0])

    def answer(self, *, whole: bool = False) -> bytes:
        """Read the answer; without the rest of the body there is none but a refusal."""
        if whole:
            self.sock.sendall(self._rest)
        said = b""
        with contextlib.suppress(ConnectionError):
            while data := self.sock.recv(1 << 16):
                said += data
        self.sock.close()
        return said


def stow(site: Site, fields: str, study: int = 7, part10: bytes = b"") -> Upload:
    whole = part10 or ct(study, rows=1536, columns=2048).part10()
    kind = 'content-type: multipart/related; type="application/dicom"; boundary=b'
    return Upload(site, "POST /dicom-web/studies", [kind, fields], body_of(whole))


def holds(site: Site, study: str) -> bool:
    with site.archive.database.reading() as conn:
        return bool(conn.execute("SELECT FROM study WHERE study_uid = %s", (study,)).fetchall())


def test_a_store_under_way_ends_with_its_token(site: Site) -> None:
    upload = stow(site, by_token(site, "u1")).is_taken()
    people = people_of(site)
    (token,) = (t for t in people.tokens.all(SHELL) if t.login == "u1")
    before = counted(site)
    people.tokens.revoke(SHELL, token.token_id)
    assert b" 401 " in upload.answer().partition(b"\r\n")[0]
    assert counted(site) > before
    assert not holds(site, ct(7).study)


def test_a_store_that_comes_past_the_loop_ends_with_its_token(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that keeps pace is read by a thread, which the watch has to reach, too."""
    monkeypatch.setattr(inward, "_PATIENCE_MS", 5000)  # however slow this machine is just now
    upload = stow(site, by_token(site, "u4"), 9, FILE.part10())
    upload.is_taken()
    before, sent = counted(site), 0
    people = people_of(site)
    (token,) = (t for t in people.tokens.all(SHELL) if t.login == "u4")
    people.tokens.revoke(SHELL, token.token_id)
    while not upload.is_answered() and (piece := upload.send(1 << 17)):
        sent += piece
    assert b" 401 " in upload.answer().partition(b"\r\n")[0]
    assert sent < SIZE - BEGUN
    assert counted(site) > before


def test_a_file_for_the_desk_ends_with_its_session(site: Site) -> None:
    clerk = signed_in(site, "u2", "technologist")
    page = clerk.post("/imports", note="a disc").headers["location"]
    fields = [f"x-vna-form: {clerk.token(page)}", f"cookie: vna={clerk.cookie()}"]
    line = f"PUT {page}/file/{mark('a')}"
    upload = Upload(site, line, fields, LARGE.part10()).is_taken()
    people_of(site).accounts.disable(SHELL, "u2")
    assert b" 401 " in upload.answer().partition(b"\r\n")[0]
    number = int(page.rpartition("/")[2])
    assert site.archive.imports.detail(site.archive.who, number).about.files == 0


def test_what_is_sent_by_a_link_ends_when_the_desk_stops_it(site: Site) -> None:
    requests, other = site.archive.imports.requests, surfer(site)
    asked = requests.ask(site.archive.who, WANTED)
    other.post("/u/open", "/u", link=asked.secret, passcode=asked.passcode)
    cookies = other.client.cookies
    fields = [
        f"x-vna-form: {other.token('/u/files')}",
        f"cookie: vna-upload={cookies['vna-upload']}",
    ]
    line = f"PUT /u/file/{mark('a')}"
    upload = Upload(site, line, fields, LARGE.part10()).is_taken()
    requests.stop(site.archive.who, asked.request)
    assert b" 401 " in upload.answer().partition(b"\r\n")[0]


def test_an_upload_that_takes_its_time_is_taken(site: Site) -> None:
    upload = stow(site, by_token(site, "u3"), 8)
    with site.archive.database.reading() as conn:
        conn.execute("SELECT pg_sleep(1.0)")  # the watch looks twice meanwhile
    assert b" 200 " in upload.answer(whole=True).partition(b"\r\n")[0]
    assert holds(site, ct(8).study)


def test_who_waits_for_changes_is_told_nothing_once_their_token_is_revoked(site: Site) -> None:
    people, headers = people_of(site), bearer(token_of(site, "follower", "service"))
    page = site.get("/changefeed?limit=0", **headers).json()
    answers: list[int] = []

    def follow() -> None:
        path = f"/changefeed?feed={page['feed']}&after={page['last']}&wait=15"
        answers.append(site.get(path, **headers).status_code)

    waiting = threading.Thread(target=follow)
    waiting.start()
    with site.archive.database.reading() as conn:
        conn.execute("SELECT pg_sleep(%s)", [WITHIN_S / 2])  # it waits by now
    token = next(one for one in people.tokens.all(SHELL) if one.login == "follower")
    people.tokens.revoke(SHELL, token.token_id)
    waiting.join(2 * WITHIN_S)
    is_over = not waiting.is_alive()
    site.archive.take(ct(47, patient_id="B2").part10())
    waiting.join()
    assert (is_over, answers) == (True, [401])

"""Behind a reverse proxy: what it says of its clients is believed, and nobody else who says so.

The test is the proxy: what a real one passes on is header fields.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.conftest import TestPostgres
from tests.dimse.certificates import Authority
from tests.factories import ct
from tests.web.conftest import Site, serving
from tests.web.people import PASSPHRASE, SHELL, enrolled, people_of, surfer
from vna.access.accounts import SERVICE
from vna.config import Http
from vna.errors import ConfigError, Conflict, InvalidRequest, NotPermitted
from vna.web import identity
from vna.web.proxies import Proxies

FIELD = "x-client-certificate"
NEARBY = {"proxies": "192.0.2.1, 127.0.0.1", "client_certificate": FIELD}
ELSEWHERE = {"proxies": "192.0.2.1", "client_certificate": FIELD}


@pytest.fixture(scope="module")
def behind(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An archive that believes the test."""
    http = {**NEARBY, "connections_per_address": 2}
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False, http=http) as found:
        found.archive.take(ct().part10())
        yield found


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(autouse=True)
def at_once(behind: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "BELIEVED_S", -1.0)
    monkeypatch.setattr(identity, "_FAILURES", 10_000)
    with behind.archive.database.transaction() as tx:
        tx.execute("DELETE FROM rate")


def certified(site: Site, authority: Authority, login: str) -> bytes:
    """Make a service and the certificate it is known by."""
    people = people_of(site)
    people.accounts.add(SHELL, login, ["service"], kind=SERVICE)
    pem = authority.sign(login).certificate.read_bytes()
    people.certificates.name(SHELL, login, pem)
    return pem


def asked(site: Site, *pems: bytes, path: str = "/studies", source: str = "10.0.0.9") -> int:
    headers = [("x-forwarded-for", source), *((FIELD, quote(pem)) for pem in pems)]
    return site.client.get(f"{site.root}{path}", headers=headers).status_code


def test_a_program_comes_in_by_its_certificate_and_the_trail_says_from_where(
    behind: Site, authority: Authority
) -> None:
    pem = certified(behind, authority, "gateway")
    assert asked(behind) == 401
    assert asked(behind, pem) == 200
    assert asked(behind, pem, path=f"/studies/{ct().study}/metadata") == 200
    with behind.archive.database.reading() as conn:
        rows = conn.execute("SELECT principal, address FROM audit WHERE kind = 'read'").fetchall()
    assert rows == [("gateway", "10.0.0.9")]
    people_of(behind).accounts.disable(SHELL, "gateway")
    assert asked(behind, pem) == 401


def test_another_site_cannot_use_a_browser_s_certificate(
    behind: Site, authority: Authority
) -> None:
    pem = certified(behind, authority, "browser")
    fields = {"x-forwarded-for": "10.0.0.9", FIELD: quote(pem), "origin": "https://evil.example"}
    assert behind.store(ct(2).part10(), **fields).status_code == 403
    assert (
        behind.store(ct(2).part10(), **{**fields, "origin": behind.address.url}).status_code == 200
    )


def test_what_is_no_certificate_of_theirs_opens_nothing(behind: Site, authority: Authority) -> None:
    pem = certified(behind, authority, "scanner")
    over = authority.sign("over", days=-1).certificate.read_bytes()
    people = people_of(behind)
    for wrong in (b"", b"nothing", authority.sign("other").certificate.read_bytes(), pem[:-40]):
        assert asked(behind, wrong) == 401
    assert asked(behind, pem, pem) == 401  # which of two is the client's?
    assert asked(behind, pem + b"x" * 20_000) == 401
    another = authority.sign("renewed").certificate.read_bytes()
    people.certificates.name(SHELL, "scanner", another)
    assert (asked(behind, pem), asked(behind, another)) == (401, 200)
    with pytest.raises(InvalidRequest):
        people.certificates.name(SHELL, "scanner", over)
    people.accounts.add(SHELL, "person", ["radiologist"])
    with pytest.raises(Conflict):
        people.certificates.name(SHELL, "person", pem)
    nobody = people.tokens.service(1, "x", ["service"], None, None)
    with pytest.raises(NotPermitted):
        people.certificates.name(nobody, "scanner", pem)


def test_who_is_no_proxy_of_ours_is_not_believed(
    postgres: TestPostgres, tmp_path: Path, authority: Authority
) -> None:
    with serving(postgres, tmp_path, dev=False, http=ELSEWHERE) as site:
        site.archive.take(ct().part10())
        pem = certified(site, authority, "honest")
        assert asked(site, pem) == 401
        secret = people_of(site).tokens.add(SHELL, "honest", name="test", days=1)[1]
        fields = {"authorization": f"Bearer {secret}", "x-forwarded-for": "10.0.0.9"}
        url = f"{site.root}/studies/{ct().study}/metadata"
        assert site.client.get(url, headers=fields).status_code == 200
        with site.archive.database.reading() as conn:
            rows = conn.execute("SELECT address FROM audit WHERE kind = 'read'").fetchall()
        assert rows == [("127.0.0.1",)]


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("6.6.6.6, 10.0.0.1", "10.0.0.1"),  # what stands before it the client wrote
        ("10.0.0.1, 192.0.2.1", "10.0.0.1"),  # a proxy of ours before ours
        ("[2001:db8::7]:4711, 127.0.0.1", "2001:db8::7"),
        ("10.0.0.1:4711", "10.0.0.1"),
        ("10.0.0.1, unknown", "127.0.0.1"),
        ("", "127.0.0.1"),
        ("127.0.0.1, 192.0.2.1", "127.0.0.1"),
    ],
)
def test_the_address_is_the_last_that_is_no_proxy(told: str, seen: str) -> None:
    scope = {"client": ("127.0.0.1", 5), "headers": [(b"x-forwarded-for", told.encode())]}
    assert Proxies(Http(**NEARBY)).seen(scope)["client"][0] == seen
    stranger = {**scope, "client": ("10.9.9.9", 5)}
    assert Proxies(Http(**NEARBY)).seen(stranger) is stranger


def test_who_guesses_is_locked_out_and_nobody_else_behind_the_proxy(behind: Site) -> None:
    enrolled(behind, "berta")

    def tried(passphrase: str, source: str) -> int:
        browser = surfer(behind)
        browser.client.headers["x-forwarded-for"] = source
        return browser.post("/login", login="berta", passphrase=passphrase).status_code

    assert [tried("no no no no", "10.0.0.66") for _ in range(5)] == [401] * 5
    assert tried(PASSPHRASE, "10.0.0.66") == 429
    assert tried(PASSPHRASE, "10.0.0.7") == 303


def test_a_proxy_may_have_more_connections_than_one_address(behind: Site) -> None:
    with ExitStack() as stack:
        for _ in range(6):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", behind.address.port)))
            sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(64).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "http", [{"client_certificate": FIELD}, {"proxies": "proxy.example.org"}, {"proxies": "1.2.3"}]
)
def test_settings_that_do_not_fit_are_told(http: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        Proxies(Http(**http))  # type: ignore[arg-type]  # all texts

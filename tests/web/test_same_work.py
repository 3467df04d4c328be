"""What differs must not be told by the time it takes: the same statements, the same hashes.

No clock is looked at, for a machine under load tells lies: what is counted is the work itself,
every statement that goes to the database and every hash of a passphrase, as they come.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest
from argon2 import PasswordHasher

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.web.conftest import Site, serving
from tests.web.guests import caller
from tests.web.people import SHELL, bearer, enrolled, people_of, surfer, token_of, withhold
from vna.access.care import Whom
from vna.dicom.refs import uid
from vna.web import identity

SEEN, UNSEEN, SECRET = ct(1), ct(2, patient_id="P-2"), ct(3, patient_id="P-3")


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as site:
        for one in (SEEN, UNSEEN, SECRET):
            site.archive.take(one.part10())
        yield site


@pytest.fixture(autouse=True)
def fresh(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is believed from before, and nobody is slowed down."""
    monkeypatch.setattr(identity, "BELIEVED_S", -1.0)
    monkeypatch.setattr(identity, "_FAILURES", 10_000)
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM rate")


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Write down what is asked of the database, and each hash; all of it is done as ever."""
    done: list[str] = []
    lock = threading.Lock()
    asks, hashes = psycopg.Cursor.execute, PasswordHasher.verify

    def execute(self: Any, query: Any, *args: Any, **named: Any) -> Any:
        text = query if isinstance(query, str) else repr(query)
        # the trail is written behind a search, by a thread of its own
        if "audit" not in text:
            with lock:
                done.append(text)
        return asks(self, query, *args, **named)

    def verify(self: Any, *args: Any, **named: Any) -> Any:
        with lock:
            done.append("hash")
        return hashes(self, *args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", execute)
        patch.setattr(PasswordHasher, "verify", verify)
        yield done


def require_alike(
    monkeypatch: pytest.MonkeyPatch, *asks: Callable[[], httpx.Response]
) -> tuple[httpx.Response, list[str]]:
    """Ask each once to warm up, then compare the work and the answers; give those of the first.

    What a process asks once a second can fall to any of them, so they get three rounds to be alike:
    work that is done for one and not for another is done in every round.
    """
    for _ in range(3):
        found = []
        for ask in asks:
            ask()
            with counted(monkeypatch) as done:
                answer = ask()
            found.append((answer.status_code, plain(answer), list(done)))
        if all(one == found[0] for one in found):
            break
    for one in found:
        assert one == found[0]
    return answer, found[0][2]


def plain(answer: httpx.Response) -> bytes:
    fields = {"date", "set-cookie", "content-security-policy", "content-length"}
    kept = {k: v for k, v in answer.headers.items() if k not in fields}
    is_page = answer.headers.get("content-type", "").startswith("text/html")
    return repr(kept).encode() + (b"" if is_page else answer.content)


def test_a_name_that_does_not_exist_costs_what_a_wrong_passphrase_does(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled(site, "berta")
    people_of(site).accounts.add(SHELL, "carl", ["radiologist"])
    people_of(site).accounts.disable(SHELL, "carl")
    browser = surfer(site)
    form = browser.token("/login")

    def tried(login: str) -> Callable[[], httpx.Response]:
        sent = {"form": form, "login": login, "passphrase": "wrong wrong wrong"}
        return lambda: browser.client.post(f"{site.address.url}/login", data=sent)

    answer, work = require_alike(monkeypatch, tried("berta"), tried("nobody"), tried("carl"))
    assert answer.status_code == 401
    assert work.count("hash") == 1


def test_a_token_nobody_made_costs_what_one_that_is_over_does(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = people_of(site)
    shown = [token_of(site, name) for name in ("revoked", "ended", "disabled")]
    numbers = {one.login: one.token_id for one in people.tokens.all(SHELL)}
    people.tokens.revoke(SHELL, numbers["revoked"])
    people.accounts.disable(SHELL, "disabled")
    with site.archive.database.transaction() as tx:
        tx.execute(
            "UPDATE api_token SET created_at = now() - interval '9 days',"
            " ends_at = now() - interval '1 day' WHERE token_id = %s",
            (numbers["ended"],),
        )
    shown += ["vna_" + "A" * 43, shown[0][:-1] + ("A" if shown[0][-1] != "A" else "B")]

    def tried(secret: str) -> Callable[[], httpx.Response]:
        return lambda: site.client.get(f"{site.root}/studies", headers=bearer(secret))

    answer, work = require_alike(monkeypatch, *map(tried, shown))
    assert answer.status_code == 401
    assert len(work) == 2  # the token is looked for; that it is nobody's is counted


def test_a_link_and_a_capability_nobody_made_cost_the_same_whatever_they_look_like(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = caller(site)

    def opened(secret: str) -> Callable[[], httpx.Response]:
        return lambda: guest.open(secret)

    answer, _ = require_alike(monkeypatch, *map(opened, ("A" * 43, "x" * 43, "Zm9v" * 10 + "abc")))
    assert answer.status_code == 404

    def asked(capability: str) -> Callable[[], httpx.Response]:
        url = f"{site.address.url}/s/c/{capability}/dicom-web/studies"
        return lambda: site.client.get(url)

    answer, _ = require_alike(monkeypatch, *map(asked, ("A" * 43, "x" * 43)))
    assert answer.status_code == 401


@pytest.mark.parametrize("tail", ["", "/metadata", "/rendered", "/series/1.2/metadata"])
def test_what_one_may_not_see_costs_what_is_not_there_does(
    site: Site, monkeypatch: pytest.MonkeyPatch, tail: str
) -> None:
    login = "ref" + tail.replace("/", ".")
    token = bearer(token_of(site, login, "referring"))
    care = people_of(site).care
    for one in (SEEN, SECRET):
        care.give(SHELL, login, Whom(study=uid(one.study)), ground="referring", days=7)
    withhold(site, SECRET.study)

    def tried(study: str) -> Callable[[], httpx.Response]:
        return lambda: site.client.get(f"{site.root}/studies/{study}{tail}", headers=token)

    names = (UNSEEN.study, SECRET.study, "2.25.4711.999")
    answer, _ = require_alike(monkeypatch, *map(tried, names))
    assert answer.status_code == 404

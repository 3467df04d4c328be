"""People at the web edge of a test: enrolled, signed in, with a browser's cookies and forms."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pyotp

from tests.web.conftest import NO_TLS, Site
from vna.access.accounts import SERVICE
from vna.access.people import People
from vna.access.principal import Label, system
from vna.access.sessions import Browser
from vna.dicom.refs import UID, uid

SHELL = system("shell")
PASSPHRASE = "four green bicycles"
_FORM = re.compile(r'name="form" value="([^"]+)"')


@dataclass(slots=True)
class Surfer:
    """A browser without scripts."""

    site: Site
    client: httpx.Client

    def get(self, path: str) -> httpx.Response:
        return self.client.get(self.site.address.url + path)

    def token(self, page: str) -> str:
        """Take the token out of a page's form."""
        found = _FORM.search(self.get(page).text)
        assert found is not None
        return found[1]

    def post(self, path: str, page: str | None = None, **fields: str) -> httpx.Response:
        """Send the form of a page, by default that of the same path."""
        sent = {"form": self.token(page or path), **fields}
        return self.client.post(self.site.address.url + path, data=sent)

    def cookie(self) -> str:
        return self.client.cookies["vna"]


def surfer(site: Site) -> Surfer:
    """Open a browser nobody has signed in with."""
    # many of them come from one address, which may hold only so many connections
    limits = httpx.Limits(max_keepalive_connections=0)
    client = httpx.Client(
        timeout=60, headers={"user-agent": "a test's browser"}, limits=limits, verify=NO_TLS
    )
    return Surfer(site, site.closing.enter_context(client))


def people_of(site: Site) -> People:
    return site.archive.people


def in_days(days: int) -> str:
    """Write a day ahead as a form does."""
    return (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=days)).isoformat()


def lets_out_within_a_second(ask: Callable[[], httpx.Response]) -> None:
    """Ask until it is refused: who asks later than a second from now is not let in.

    An answer that takes its time on a busy machine says nothing of that.
    """
    began = asked = time.monotonic()
    while ask().status_code == 200:
        assert asked - began < 1.0
        asked = time.monotonic()


def withhold(site: Site, study: str) -> None:
    """Label a study as sensitive, for everybody whose credential is not believed already."""
    site.archive.labels.put(SHELL, uid(study), Label.SENSITIVE, reason="known to all")
    people_of(site).labels._looked = float("-inf")  # it may have looked a moment ago


def enrolled(site: Site, login: str, *roles: str) -> tuple[str, list[str]]:
    """Make an account and enrol it behind the scenes; return the app's secret and paper codes."""
    people = people_of(site)
    people.accounts.add(SHELL, login, roles or ("radiologist",))
    here = Browser(address="127.0.0.1")
    cookie = people.signing.follow_link(people.accounts.invite(SHELL, login), here)
    visitor = people.sessions.visitor(cookie, None)
    assert visitor is not None
    people.signing.choose_passphrase(visitor, PASSPHRASE)
    secret = people.signing.offer_app(visitor).secret
    people.signing.confirm_app(visitor, pyotp.TOTP(secret).now())
    return secret, people.signing.finish(visitor, here)[1]


def signed_in(site: Site, login: str, *roles: str) -> Surfer:
    """Enrol somebody and sign them in over HTTP."""
    _, codes = enrolled(site, login, *roles)
    found = surfer(site)
    assert found.post("/login", login=login, passphrase=PASSPHRASE).status_code == 303
    assert found.post("/login/factor", code=codes[0]).status_code == 303
    return found


def patient_of(site: Site, study: str, born: str = "1970-01-01") -> Surfer:
    """Give whom a study is about an account by a code of the desk, and sign them in over HTTP.

    `born` is their birth date as the study has it: a desk asks for it.
    """
    archive = site.archive
    archive.identities.keep_up()
    compared = ["name", "birth-date", "papers"]
    issued = archive.patient_accounts.issue(
        archive.who, UID(study), compared=compared, binding_id=None
    )
    people, here = people_of(site), Browser(address="127.0.0.1")
    cookie = archive.patient_accounts.beginnings.redeem(issued.code, born, here)
    visitor = people.sessions.visitor(cookie, None)
    assert visitor is not None
    people.signing.choose_passphrase(visitor, PASSPHRASE)
    secret = people.signing.offer_app(visitor).secret
    people.signing.confirm_app(visitor, pyotp.TOTP(secret).now())
    codes = people.signing.finish(visitor, here)[1]
    found = surfer(site)
    assert found.post("/login", login=issued.login, passphrase=PASSPHRASE).status_code == 303
    assert found.post("/login/factor", code=codes[0]).status_code == 303
    return found


def token_of(site: Site, login: str, *roles: str, actions: list[str] | None = None) -> str:
    """Make a service with one token; return its secret."""
    people_of(site).accounts.add(SHELL, login, roles or ("service",), kind=SERVICE)
    return people_of(site).tokens.add(SHELL, login, name="test", days=1, actions=actions)[1]


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}

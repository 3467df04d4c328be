"""Who was sent a link, at the web edge of a test: a browser without scripts, and offers for it."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from html import unescape
from typing import Any

import httpx

from tests.factories import Instance
from tests.web.conftest import NO_TLS, Site
from vna.dicom.refs import UID, StudyRef
from vna.sharing.values import (
    Confirmed,
    Offer,
    Offered,
    Person,
    Protection,
    Purpose,
    Recipient,
    channel,
)

NAME = "Doe, Jane"
_FORM = re.compile(r'name="form" value="([^"]+)"')
_BASE = re.compile(r'data-base="([^"]+)"')


def offered(site: Site, instance: Instance, **changes: Any) -> Offered:  # fields of `Offer`
    """Share the study of an instance with somebody who is told a passcode."""
    values: dict[str, Any] = {
        "studies": frozenset({StudyRef(UID(instance.study))}),
        "person": Person(
            name=NAME,
            birth_date=dt.date(1970, 1, 1),
            confirmed=frozenset({Confirmed.NAME, Confirmed.BIRTH_DATE}),
        ),
        "recipient": Recipient(name="Dr. Gray", organisation="Example Practice"),
        "purpose": Purpose.TREATMENT,
        "to": None,
        "proof": frozenset({Protection.PASSCODE}),
        "until": dt.datetime.now(dt.UTC) + dt.timedelta(days=20),
        "legal_basis": "treatment",
        **changes,
    }
    return site.archive.sharing.offer(site.archive.who, Offer(**values))


def coded(address: str = "gray@example.org", phone: str = "+447700900123") -> dict[str, Any]:
    """Say that the link goes by mail and a code to a telephone, as changes of an offer."""
    return {
        "to": channel("email", address),
        "by": channel("sms", phone),
        "proof": frozenset({Protection.SMS}),
    }


@dataclass(slots=True)
class Caller:
    """A browser without scripts."""

    site: Site
    client: httpx.Client

    def get(self, path: str, **headers: str) -> httpx.Response:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(self.site.address.url + path, headers=fields)

    def post(self, path: str, page: str = "/s", **fields: str) -> httpx.Response:
        """Send the form of a page."""
        found = _FORM.search(self.get(page).text)
        assert found is not None
        return self.client.post(self.site.address.url + path, data={"form": found[1], **fields})

    def open(self, secret: str) -> httpx.Response:
        """Press the button of the first page."""
        return self.post("/s/open", link=secret)

    def prove(self, text: str, way: str = "passcode") -> httpx.Response:
        """Show what is asked for."""
        return self.post("/s/prove", "/s/prove", way=way, text=text)

    def base(self, study: str) -> str:
        """Find the DICOMweb base the viewer is given."""
        found = _BASE.search(self.get(f"/s/view/{study}").text)
        assert found is not None
        return unescape(found[1])


def caller(site: Site) -> Caller:
    """Open a browser that knows nothing yet."""
    # many of them come from one address, which may hold only so many connections
    limits = httpx.Limits(max_keepalive_connections=0)
    client = httpx.Client(
        timeout=60, headers={"user-agent": "a test's browser"}, limits=limits, verify=NO_TLS
    )
    return Caller(site, site.closing.enter_context(client))


def inside(site: Site, share: Offered) -> Caller:
    """Open a link and show the passcode."""
    found = caller(site)
    assert found.open(str(share.secret)).status_code == 303
    assert found.prove(str(share.passcode)).headers["location"] == "/s/home"
    return found

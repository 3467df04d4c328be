"""Every route that changes something for who has no account: let in, ended, and never let in.

Beside `test_writing`, which asks people of the house. What somebody was let in by stands in a
cookie or in what they send: once it ended nothing is changed by it, and without it nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.web.callers import FAMILIES, IMAGE, Party, entering, send, stranger
from tests.web.conftest import Site, body_of, serving
from tests.web.guests import inside, offered
from tests.web.people import SHELL, patient_of, signed_in
from tests.web.test_matrix import ROLES
from tests.web.test_writing import Kept
from tests.web.writing import DICOMWEB, GUESTS
from vna.access import forms
from vna.access.remotes import Remote
from vna.web.multipart import multipart_type

ROOT = Path(__file__).resolve().parents[2]
PART10 = "application/dicom"


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with serving(postgres, folder, dev=False, guests={"enabled": True}) as found:
        found.archive.take(IMAGE.part10())
        found.archive.identities.keep_up()
        clinic = Remote(ae_title="CLINIC", host="127.0.0.1", port=104, offered_as="Example Clinic")
        found.archive.remotes.add(SHELL, clinic)
        yield found


def forget(site: Site) -> None:
    """Let nobody be slowed down by those before: they come from one address."""
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM rate")
        tx.execute("DELETE FROM guest_exchange")


def come(site: Site, family: str) -> Party:
    """Let somebody in."""
    forget(site)
    return FAMILIES[family](site)


@pytest.mark.parametrize("family", FAMILIES)
def test_who_was_let_in_does_it_until_it_ends(site: Site, family: str) -> None:
    doors = {key: door for key, door in GUESTS.items() if door.family == family}
    ended = come(site, family)
    ended.end()
    kept = Kept(site.archive)
    for key, door in doors.items():
        if door.stays:
            continue
        answer = send(entering(ended, key) if door.is_entry else ended, key, door, file="z.dcm")
        assert answer.status_code in (303, 401, 403, 404, 409, 410), (key, trouble(answer))
        assert "too old" not in answer.text, key  # its form is good: it is the rest that ended
    kept.require_same()
    for key, door in doors.items():
        live = come(site, family)
        kept = Kept(site.archive)
        answer = send(entering(live, key) if door.is_entry else live, key, door, file="y.dcm")
        assert answer.status_code in (200, 303), (key, answer.status_code, answer.text)
        assert kept.now() != kept.begun, key


@pytest.mark.parametrize("role", ROLES.by_name)
def test_who_was_never_let_in_changes_nothing(site: Site, role: str) -> None:
    """Somebody of the house has no more by these doors than anybody else."""
    forget(site)
    if ROLES.by_name[role].is_own:
        who = patient_of(site, IMAGE.study)
    else:
        who = signed_in(site, f"p-{role}", role)
    party = stranger(who, "/s")
    kept = Kept(site.archive)
    for key, door in GUESTS.items():
        answer = send(party, key, door)
        alike = (200,) if door.stays else ()
        assert answer.status_code in (400, 401, 404, *alike), (key, answer.text)
    kept.require_same()


def test_the_cookie_of_one_door_opens_no_other(site: Site) -> None:
    cookies = {"share": "vna-share", "asked": "vna-upload", "sender": "vna-send"}
    cookies |= {"recipient": "vna-parcel", "kiosk": "vna-kiosk"}
    for family, cookie in cookies.items():
        found = come(site, family).surfer
        secret = found.client.cookies[cookie]
        found.client.cookies.clear()
        for name in {"vna", *cookies.values()} - {cookie}:
            found.client.cookies.set(name, secret, domain="127.0.0.1")
        party = stranger(found, "/s")
        party.token = forms.token(secret)
        kept = Kept(site.archive)
        for key, door in GUESTS.items():
            if door.is_entry or door.family == family:
                continue
            answer = send(party, key, door)
            assert answer.status_code in (400, 401, 403, 404), (family, key, answer.status_code)
        kept.require_same()


def test_below_a_share_dicomweb_changes_nothing(site: Site) -> None:
    """Whatever is in it, and whatever is not: nothing is stored, deleted or committed there."""
    other = ct(702, patient_id="P-702", rows=8, columns=8)
    site.archive.take(other.part10())
    guest = inside(site, offered(site, IMAGE))
    base = site.address.url + guest.base(IMAGE.study)
    kept = Kept(site.archive)
    for method, path in DICOMWEB:
        for one in (IMAGE, other):
            names = {"study": one.study, "series": one.series, "instance": one.instance}
            where = path.format(transaction="1.2.3.4", **names)
            kind = "application/dicom+json" if "commit" in path else multipart_type(PART10, "b")
            content = b"{}" if "commit" in path else body_of(one.part10())
            answer = guest.client.request(
                method, f"{base}/{where}", content=content, headers={"content-type": kind}
            )
            assert answer.status_code in (403, 405), (method, path, answer.status_code)
    kept.require_same()


def test_the_role_of_guests_narrows_every_link(postgres: TestPostgres, tmp_path: Path) -> None:
    """One place says what none of them may: here to bring files, and to be given images."""
    shipped = (ROOT / "conf" / "roles.toml").read_text()
    own = shipped.replace('"query", "retrieve", "upload"]', '"query"]')
    (tmp_path / "roles.toml").write_text(own)
    access = {"roles": str(tmp_path / "roles.toml")}
    sections: dict[str, Any] = {"access": access, "guests": {"enabled": True}}
    with serving(postgres, tmp_path, dev=False, **sections) as site:
        site.archive.take(IMAGE.part10())
        guest = inside(site, offered(site, IMAGE))
        assert guest.get("/s/home").status_code == 200
        for path in (f"/s/view/{IMAGE.study}", "/s/download"):
            assert guest.get(path).status_code == 403, path
        for family in ("asked", "sender"):
            with pytest.raises(AssertionError):  # its first file is not taken
                come(site, family)


def trouble(answer: httpx.Response) -> str:
    """Take out of a page what it says went wrong."""
    found = re.search(r'role="alert">([^<]*)<', answer.text)
    return f"{answer.status_code}: {found[1] if found else answer.text}"

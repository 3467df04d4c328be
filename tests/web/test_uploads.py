"""Asking for images over HTTP: the desk asks, somebody elsewhere sends, nobody else gets in."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.imports.conftest import mark, zip_of
from tests.web.conftest import Site, serving
from tests.web.people import Surfer, surfer

UNTIL = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=7)).isoformat()
WANTED = {
    "organisation": "Hospital of another town",
    "to": "radiology@example.org",
    "wanted": "CT of the chest of Ada Adams",
    "until": UNTIL,
}


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site")) as site:
        yield site


def asked(site: Site) -> tuple[str, str]:
    """Ask for images at the desk; return the link's secret, from the inbox, and the passcode."""
    desk = surfer(site)
    desk.get("/requests")
    page = desk.post("/requests", **WANTED)
    assert page.status_code == 200, page.text
    passcode = re.search(r'shown-once">([^<]+)<', page.text)
    messages = site.archive.messages
    worker = site.archive.who
    (newest, *_) = messages.listed(worker)
    messages.attempt(newest.message_id, most_s=5)
    mail = desk.get(f"/dev/inbox/{newest.message_id}").text
    link = re.search(r"/u#([\w-]{43})", mail)
    assert passcode is not None
    assert link is not None
    assert "Ada" not in mail
    return link[1], passcode[1]


def let_in(site: Site) -> Surfer:
    secret, passcode = asked(site)
    other = surfer(site)
    answer = other.post("/u/open", "/u", link=secret, passcode=passcode)
    assert (answer.status_code, answer.headers["location"]) == (303, "/u/files")
    return other


@pytest.mark.parametrize(
    "differs", [{"to": "nobody"}, {"until": "soon"}, {"until": "2001-01-01"}, {"wanted": ""}]
)
def test_a_request_that_is_wrong_is_told_and_what_was_typed_stays(
    site: Site, differs: dict[str, str]
) -> None:
    desk = surfer(site)
    desk.get("/requests")
    answer = desk.post("/requests", **{**WANTED, **differs})
    assert answer.status_code == 400
    assert 'value="Hospital of another town"' in answer.text


def test_looking_at_the_link_changes_nothing_and_shows_nothing(site: Site) -> None:
    asked(site)
    for _ in range(50):
        page = surfer(site).get("/u")
        assert page.status_code == 200
        assert "Hospital of another town" not in page.text


def test_without_the_passcode_nobody_gets_in(site: Site) -> None:
    secret, passcode = asked(site)
    other = surfer(site)
    for link, typed in ((secret, "AAAA-AAAA-AA"), ("A" * 43, passcode), (secret, "")):
        answer = other.post("/u/open", "/u", link=link, passcode=typed)
        assert (answer.status_code, "That does not open" in answer.text) == (401, True)
    assert other.post("/u/open", "/u", link="x", passcode=passcode).status_code == 400
    for path in ("/u/files", "/u/file/" + mark("a")):
        assert other.get(path).status_code in (401, 405)


def test_who_was_asked_sends_and_the_desk_takes_over(site: Site) -> None:
    other = let_in(site)
    page = other.get("/u/files")
    assert "CT of the chest of Ada Adams" in page.text
    token = {"x-vna-form": other.token("/u/files"), "x-vna-name": "a.zip"}
    packed = zip_of({"1": ct(71).part10(), "2": ct(71, 1, 2).part10()})
    url = f"{site.address.url}/u/file/{mark('a')}"
    assert other.client.put(url, content=packed).status_code == 403
    sent = other.client.put(url, content=packed, headers=token)
    assert sent.json() == {"result": "opened", "reason": "", "files": 2}
    page = other.get("/u/files")
    assert "Doe" not in page.text  # nothing of a patient is shown to who sends
    assert other.post("/u/done", "/u/files").status_code == 303
    assert "Thank you" in other.get("/u/files").text
    assert (
        other.client.put(
            f"{site.address.url}/u/file/{mark('b')}", content=packed, headers=token
        ).status_code
        == 409
    )
    assert other.post("/u/leave", "/u/files").status_code == 303
    assert other.get("/u/files").status_code == 401
    desk = surfer(site)
    assert "The images are here" in desk.get("/requests").text
    (waiting, *_) = site.archive.imports.listed(site.archive.who, waiting=True)
    assert "Is this you, and are these your exams?" in desk.get(f"/import/{waiting.number}").text


def test_the_cookie_of_an_upload_opens_no_share(site: Site) -> None:
    other = let_in(site)
    for path in ("/s/home", "/s/download"):
        assert other.get(path).status_code == 401


def test_the_pages_speak_german(site: Site) -> None:
    other = surfer(site)
    other.client.headers["accept-language"] = "de"
    assert "Medizinische Bilder senden" in other.get("/u").text

"""Guests who send to guests, over HTTP: what is refused, then from two addresses to the images."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import TestPostgres
from tests.factories import ct, multi_frame
from tests.imports.conftest import PDF, mark, zip_of
from tests.imports.parcels import RECIPIENT, SENDER, last
from tests.web.conftest import Site, serving
from tests.web.people import Surfer, surfer
from tests.web.test_ended_bodies import LARGE, Upload

ADDRESSES = {"sender": SENDER, "recipient": RECIPIENT}


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(autouse=True)
def _fresh(site: Site) -> None:
    """Let every test begin with all its tries: they come from one address."""
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM rate")
        tx.execute("DELETE FROM guest_exchange")


def began(site: Site, **more: str) -> Surfer:
    found = surfer(site)
    answer = found.post("/send", **{**ADDRESSES, **more})
    assert (answer.status_code, answer.headers.get("location")) == (303, "/send/code"), answer.text
    return found


def proved(site: Site, **more: str) -> Surfer:
    found = began(site, **more)
    code = last(site.archive, "prove").values["code"]
    answer = found.post("/send/code", code=code)
    assert answer.headers["location"] == "/send/files"
    return found


def put(who: Surfer, name: str, data: bytes, *, form: str | None = None) -> httpx.Response:
    token = who.token("/send/files") if form is None else form
    headers = {"x-vna-form": token, "x-vna-name": name}
    url = f"{who.site.address.url}/send/file/{mark(name)}"
    return who.client.put(url, content=data, headers=headers)


def sent(site: Site, who: Surfer) -> tuple[str, str]:
    """Send it; give the link's secret and the passcode."""
    page = who.post("/send/done", "/send/files")
    assert page.status_code == 200, page.text
    passcode = re.search(r'shown-once">([^<]+)<', page.text)
    assert passcode is not None
    return last(site.archive, "guest-images").secret, passcode[1]


def opened(site: Site, secret: str, passcode: str) -> Surfer:
    found = surfer(site)
    answer = found.post("/g/open", "/g", link=f"https://example.org/g#{secret}", passcode=passcode)
    assert (answer.status_code, answer.headers.get("location")) == (303, "/g/images"), answer.text
    return found


@pytest.mark.parametrize(
    ("differs", "told"),
    [
        ({"sender": "nobody"}, "name@example.org"),
        ({"recipient": "ada.sender+x@example.org"}, "Two mailboxes are needed"),
    ],
)
def test_addresses_that_are_wrong_are_told_and_what_was_typed_stays(
    site: Site, differs: dict[str, str], told: str
) -> None:
    answer = surfer(site).post("/send", **{**ADDRESSES, **differs})
    assert (answer.status_code, told in answer.text) == (400, True)
    assert all(f'value="{value}"' in answer.text for value in {**ADDRESSES, **differs}.values())


def test_a_page_without_help_has_no_empty_foot(site: Site) -> None:
    """Nobody sent them a link they could ask about, and `site.help` is empty here."""
    assert "<footer>" not in surfer(site).get("/send").text


def test_too_many_from_one_place_are_slowed_down(site: Site) -> None:
    for n in range(10):
        began(site, sender=f"s{n}@example.org", recipient=f"r{n}@example.net")
    answer = surfer(site).post("/send", **ADDRESSES)
    assert answer.status_code == 429


def test_wrong_codes_are_counted_and_nothing_comes_before_the_right_one(site: Site) -> None:
    who = began(site)
    assert who.get("/send/files").headers["location"] == "/send/code"
    assert put(who, "a", ct().part10(), form=who.token("/send/code")).status_code == 409
    for left in (4, 3, 2, 1):
        answer = who.post("/send/code", code="no digits")
        assert (answer.status_code, f"{left} " in answer.text) == (401, True)
    assert "This code is void" in who.post("/send/code", code="x").text
    assert who.post("/send/again", "/send/code").status_code == 303


def test_what_no_page_of_ours_sent_is_refused(site: Site) -> None:
    who = proved(site)
    assert put(who, "a", ct().part10(), form="x").status_code == 403
    url = f"{site.address.url}/send/expect"
    token = {"x-vna-form": who.token("/send/files")}
    for body in (b"no", b"[]", b'{"marks": [1], "items": []}', b'{"marks": [], "items": "a"}'):
        answer = who.client.post(url, content=body, headers=token)
        assert (answer.status_code, bool(answer.json()["message"])) == (400, True)
    answer = who.client.post(url, content=b'{"marks": ["short"], "items": ["a"]}', headers=token)
    assert answer.status_code == 400
    assert who.client.post(f"{site.address.url}/send/done", data={"form": "x"}).status_code == 403


def test_from_two_addresses_to_the_images_without_scripts(site: Site) -> None:
    who = proved(site, **{"for": "patient"})
    answer = who.post("/send/done", "/send/files")
    assert (answer.status_code, "There are no images" in answer.text) == (409, True)
    token = who.token("/send/files")
    image = ct(81, patient_name="Adams^Ada").part10()
    parts = [("form", (None, token)), ("file", ("a.dcm", image)), ("file", ("b.pdf", PDF))]
    answer = who.client.post(f"{site.address.url}/send/form", files=parts)  # type: ignore[arg-type]  # a list keeps the order
    assert answer.status_code == 303
    page = who.get("/send/files").text
    assert "1 examination, 1 image or report, 1 document" in page
    assert "Adams" not in page  # nothing of a patient is shown to who sends
    more = [("form", (None, token)), *(("file", (f"{n}.dcm", image)) for n in range(4))]
    answer = who.client.post(f"{site.address.url}/send/form", files=more)  # type: ignore[arg-type]  # likewise
    assert (answer.status_code, "at most 5 files" in answer.text) == (413, True)
    done = who.post("/send/done", "/send/files")
    passcode = re.search(r'shown-once">([^<]+)<', done.text)
    assert passcode is not None
    assert who.get("/send/files").headers["location"] == "/send/status"
    assert "Nobody has opened it so far" in who.get("/send/status").text
    mail = last(site.archive, "guest-images-own")
    other = opened(site, mail.secret, passcode[1])
    page = other.get("/g/images").text
    assert all(text in page for text in ("Images of yours", "Adams, Ada", SENDER, "b.pdf"))
    answer = other.get("/g/document/1")
    assert (answer.content, answer.headers["content-type"]) == (PDF, "application/pdf")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert other.get("/g/document/2").status_code == 404
    page = who.get("/send/status").text
    assert "It was opened." in page
    assert other.post("/g/leave", "/g/images").status_code == 303
    assert other.get("/g/images").status_code == 401


def test_scripts_send_items_and_the_sixth_is_refused_in_words(site: Site) -> None:
    who = proved(site)
    url = f"{site.address.url}/send/expect"
    token = {"x-vna-form": who.token("/send/files")}
    names = [f"item{n}/a" for n in range(5)]
    asked = {"marks": [mark(n) for n in names], "items": [n.split("/")[0] for n in names]}
    assert who.client.post(url, json=asked, headers=token).json() == {"missing": [0, 1, 2, 3, 4]}
    for at, name in enumerate(names):
        assert put(who, name, ct(90 + at).part10()).json()["result"] == "kept"
    sixth = {"marks": [mark("x")], "items": ["item6"]}
    german = {**token, "accept-language": "de"}
    answer = who.client.post(url, json=sixth, headers=german)
    assert (answer.status_code, "höchstens 5" in answer.json()["message"]) == (413, True)
    answer = put(who, "item6", ct(99).part10())
    assert (answer.status_code, "At most 5" in answer.json()["message"]) == (413, True)
    assert who.client.post(url, json=asked, headers=token).json() == {"missing": []}


def test_what_is_being_sent_ends_when_its_sender_destroys_it(site: Site) -> None:
    who = proved(site)
    token, cookie = who.token("/send/files"), who.client.cookies["vna-send"]
    fields = [f"x-vna-form: {token}", f"cookie: vna-send={cookie}"]
    upload = Upload(site, f"PUT /send/file/{mark('a')}", fields, LARGE.part10()).is_taken()
    assert who.post("/send/stop", "/send/files").status_code == 303
    assert b" 401 " in upload.answer().partition(b"\r\n")[0]


def test_a_download_goes_on_where_it_broke_and_ends_with_the_exchange(site: Site) -> None:
    who = proved(site)
    files = {f"IM{n}": ct(70, 1, n).part10() for n in (1, 2, 3)}
    assert put(who, "disc.zip", zip_of(files)).json()["files"] == 3
    secret, passcode = sent(site, who)
    other = opened(site, secret, passcode)
    whole = other.get("/g/images.zip")
    assert whole.headers["accept-ranges"] == "bytes"
    with zipfile.ZipFile(io.BytesIO(whole.content)) as packed:
        held = [packed.read(name) for name in packed.namelist() if name != "DICOMDIR"]
    assert sorted(held) == sorted(files.values())
    etag = whole.headers["etag"]
    url, part = f"{site.address.url}/g/images.zip", {"range": "bytes=5000-", "if-range": etag}
    rest = other.client.get(url, headers=part)
    assert (rest.status_code, rest.content) == (206, whole.content[5000:])
    who.post("/send/stop", "/send/status")
    assert other.client.get(url, headers=part).status_code in (401, 410)
    assert "You stopped it" in who.get("/send/status").text
    late = surfer(site).post("/g/open", "/g", link=secret, passcode=passcode)
    assert (late.status_code, "That does not open" in late.text) == (401, True)


def test_what_lies_in_quarantine_is_looked_at(site: Site) -> None:
    who = proved(site)
    objects = [ct(75, 1, n, patient_name="Adams^Ada") for n in (1, 2, 3)]
    films = multi_frame(4, study=76)
    for n, one in enumerate([*objects, films]):
        put(who, f"disc/{n}", one.part10())
    other = opened(site, *sent(site, who))
    first = objects[0]
    page = other.get(f"/g/view/{first.study}")
    assert all(text in page.text for text in ("Adams, Ada", "Not for diagnosis", "/g/held/studies"))
    reel = other.get(f"/g/view/{first.study}/{first.series}").json()
    told = other.get(f"/g/view/{first.study}/{first.series}/geometry").json()
    assert set(told["of"]) == {reel["common"] + tail for tail, *_ in reel["items"]}
    names = [reel["common"] + item[0] for item in reel["items"]]
    assert names == [one.instance for one in objects]
    series = f"/g/held/studies/{first.study}/series/{first.series}"
    for path in (
        f"{series}/thumbnail?viewport=96,96",
        f"{series}/instances/{first.instance}/frames/1/rendered?viewport=64,64&accept=image/jpeg",
        f"{series}/instances/{first.instance}/rendered",
    ):
        answer = other.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    film = f"/g/held/studies/{films.study}/series/{films.series}/instances/{films.instance}"
    assert other.get(f"{film}/frames/4/rendered").status_code == 200
    assert other.get(f"{film}/frames/5/rendered").status_code == 404
    assert other.get(f"{film}/frames/1,2/rendered").status_code == 400
    for path in (
        f"{series}/instances/{films.instance}/rendered",
        f"/g/view/{first.study}/1.2.3",
        f"/g/view/{first.study}/1.2.3/geometry",
        "/g/view/1.2.3",
    ):
        assert other.get(path).status_code == 404
    assert other.get(f"/dicom-web/studies/{first.study}/metadata").status_code == 404
    who.post("/send/stop", "/send/status")
    assert other.get(f"{series}/thumbnail").status_code in (401, 410)


def test_looking_at_a_link_changes_nothing_and_shows_nothing(site: Site) -> None:
    who = proved(site)
    put(who, "a", ct(71, patient_name="Adams^Ada").part10())
    secret, passcode = sent(site, who)
    for _ in range(5):
        page = surfer(site).get("/g")
        assert (page.status_code, "Adams" in page.text, SENDER in page.text) == (200, False, False)
    for link, typed in ((secret, "AAAA-AAAA-AA"), ("A" * 43, passcode), (secret, "")):
        answer = surfer(site).post("/g/open", "/g", link=link, passcode=typed)
        assert (answer.status_code, "That does not open" in answer.text) == (401, True)
    assert surfer(site).post("/g/open", "/g", link="x", passcode=passcode).status_code == 400
    answer = surfer(site).post("/g/not-me", "/g", link=secret)
    assert (answer.status_code, "The link is stopped" in answer.text) == (200, True)
    assert "not for them" in who.get("/send/status").text


def test_the_link_of_the_receipt_leads_to_the_same_page(site: Site) -> None:
    who = proved(site)
    put(who, "a", ct(72).part10())
    sent(site, who)
    other = surfer(site)
    assert "Copy the whole link" in other.get("/send/status").text
    assert other.post("/send/status", link="x").status_code == 401
    assert other.post("/send/status", link="A" * 43).status_code == 401
    answer = other.post("/send/status", link=last(site.archive, "guest-sent").secret)
    assert answer.headers["location"] == "/send/status"
    assert other.post("/send/stop", "/send/status").status_code == 303
    assert "You stopped it" in who.get("/send/status").text
    assert other.post("/send/stop", "/send/status").status_code == 409


@pytest.mark.parametrize("door", ["g", "u"])
def test_half_a_link_is_said_not_to_open_and_not_only_what_to_do(site: Site, door: str) -> None:
    half = surfer(site).post(
        f"/{door}/open", f"/{door}", link="https://a.example/g#x", passcode="y"
    )
    assert (half.status_code, "That does not open." in half.text) == (400, True)


def test_no_cookie_of_a_guest_opens_another_door(site: Site) -> None:
    who = proved(site)
    put(who, "a", ct(73).part10())
    other = opened(site, *sent(site, who))
    for surfing in (who, other):
        for path in ("/s/home", "/u/files"):
            assert surfing.get(path).status_code == 401
    assert who.get("/g/images").status_code == 401
    assert other.get("/send/files").status_code == 401


def test_the_desk_is_told_and_filing_closes_the_link(site: Site) -> None:
    who, desk = proved(site), surfer(site)
    put(who, "a", ct(74).part10())
    (waiting, *_) = site.archive.imports.listed(site.archive.who, waiting=True)
    assert "The guest is still sending" in desk.get(f"/import/{waiting.number}").text
    other = opened(site, *sent(site, who))
    page = desk.get(f"/import/{waiting.number}").text
    assert "Filing or rejecting it closes their link" in page
    answer = desk.post(
        f"/import/{waiting.number}/reject", f"/import/{waiting.number}", why="not for this house"
    )
    assert answer.status_code == 303
    assert other.get("/g/images").status_code == 410
    assert "has looked at it and decided" in who.get("/send/status").text


def test_where_it_is_not_allowed_there_is_nothing(
    postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(postgres, tmp_path_factory.mktemp("closed"), dev=False) as site:
        found = surfer(site)
        for path in ("/send", "/send/status", "/g"):
            assert found.get(path).status_code == 404


def test_the_pages_speak_german(site: Site) -> None:
    found = surfer(site)
    found.client.headers["accept-language"] = "de"
    assert "Jemandem Bilder senden" in found.get("/send").text
    assert "Kennwort" in found.get("/g").text

"""Consents at the desk and on the tablet of the waiting room."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.web.conftest import Site, serving
from tests.web.people import Surfer, in_days, signed_in, surfer

PERSON = {
    "00100020": "P-1", "00100030": "19700102", "00100010": "Adams^Ada", "00080050": "A-1",
}  # fmt: skip
WHOM = {
    "patient": "P-1", "issuer": "LOCAL", "name": "Adams, Ada", "born": "1970-01-02",
    "accession": "A-1", "about": "CT of the chest",
}  # fmt: skip
COMPARED = {"confirmed.name": "on", "confirmed.birth-date": "on", "which": "tablet"}
YES = {
    "said": "yes", "which": "this", "reports": "on", "to": "ada@example.org",
    "by": "+44 20 7946 0018", "signed_by": "Ada Adams", "language": "en",
}  # fmt: skip


@pytest.fixture
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    url = {"url": "https://images.example.org", "settle_s": 0.0}
    with serving(postgres, tmp_path_factory.mktemp("site"), sharing=url) as site:
        yield site


@pytest.fixture
def desk(site: Site) -> Surfer:
    found = surfer(site)
    found.get("/")
    return found


def sent(desk: Surfer, path: str, page: str, **fields: str) -> tuple[int, str]:
    answer = desk.post(path, page, **fields)
    return answer.status_code, answer.text


def told(page: str) -> str:
    found = re.search(r'class="trouble" role="alert">(.*?)</p>', page, re.S)
    return "" if found is None else found[1]


def test_who_hands_the_tablet_over_is_signed_out_whoever_kept_their_cookie(
    postgres: TestPostgres, tmp_path: Path
) -> None:
    url = {"url": "https://images.example.org"}
    with serving(postgres, tmp_path, dev=False, sharing=url) as site:
        clerk = signed_in(site, "clerk", "records-clerk")
        kept = clerk.client.cookies["vna"]
        asked = {**WHOM, **COMPARED, "purpose": "patient-request", "lane": "now"}
        begun = clerk.post("/consents/kiosk", "/consents", **asked)
        assert begun.headers["location"] == "/kiosk"
        other = surfer(site)
        other.client.cookies.set("vna", kept, domain="127.0.0.1")
        assert other.get("/consents").headers["location"] == "/login"


def test_from_the_tablet_to_the_link(site: Site, desk: Surfer) -> None:
    status, page = sent(desk, "/consents", "/consents", **WHOM)
    assert status == 200
    assert "Nothing was asked yet" in page
    begun = desk.post(
        "/consents/kiosk", "/consents", **WHOM, **COMPARED, purpose="patient-request", lane="now"
    )
    assert (begun.status_code, begun.headers["location"]) == (303, "/kiosk")
    assert desk.get("/shares").headers["location"] == "/kiosk"  # nothing else is shown
    welcome = desk.get("/kiosk").text
    assert "Adams" not in welcome
    form = desk.get("/kiosk/form?language=de").text
    assert 'lang="de"' in form
    assert "Dürfen wir Ihnen Ihre Bilder schicken?" in form
    assert "CT of the chest" in form
    assert "Thank you" in sent(desk, "/kiosk/answer", "/kiosk/form", **YES)[1]
    assert desk.get("/kiosk/form").headers["location"] == "/kiosk"
    assert "Thank you" in desk.get("/kiosk").text
    assert desk.post("/kiosk/leave", "/kiosk").headers["location"] == "/"
    assert desk.get("/kiosk").status_code == 401
    site.archive.take(ct(1, values=PERSON).part10())
    assert site.archive.sharing.automatic.turn() == 1
    board = desk.get("/shares?tab=automatic").text
    assert "Adams, Ada" in board
    assert "Shared" in board
    posted = site.archive.posted.last("invitation")
    assert posted.to.value == "ada@example.org"
    page = desk.get(f"/study/{ct(1).study}/consents").text
    assert "kiosk:dev" in page
    number = re.search(r'name="consent" value="(\d+)"', page)
    assert number is not None
    page = sent(desk, "/consents/withdraw", "/consents", **WHOM, consent=number[1])[1]
    assert "It is withdrawn" in page
    assert "Suspended" in desk.get("/shares?tab=ended").text


def test_who_reads_a_text_while_it_is_changed_is_shown_the_new_one(
    site: Site, desk: Surfer
) -> None:
    desk.post("/consents/kiosk", "/consents", **WHOM, **COMPARED, purpose="research")
    form = desk.get("/kiosk/form").text
    read = re.search(r'name="text" value="([^"]+)"', form)
    assert read is not None
    editor = site.archive.who
    site.archive.sharing.texts.add(editor, "research", {"en": ("For a study?", "New words.")})
    said = {**YES, "text": read[1]}
    status, page = sent(desk, "/kiosk/answer", "/kiosk/form", **said)
    assert (status, "changed while you read" in told(page)) == (400, True)
    assert "New words." in page
    fresh = re.search(r'name="text" value="([^"]+)"', page)
    assert fresh is not None
    said["text"] = fresh[1]
    assert "Thank you" in sent(desk, "/kiosk/answer", "/kiosk/form", **said)[1]


def test_what_is_sent_again_is_not_recorded_again(desk: Surfer) -> None:
    """Who reloads the page a form was answered with puts no old yes over a later no."""
    said = {**WHOM, "signed_by": "Ada Adams", "way": "paper", "purpose": "patient-request"}
    page = sent(desk, "/consents", "/consents", **WHOM)[1]
    first = re.search(r'name="after" value="(\d+)"', page)
    assert first is not None
    asked = {**said, "said": "yes", "after": first[1]}
    status, page = sent(desk, "/consents/record", "/consents", **asked)
    assert (status, "It is recorded" in page) == (200, True)
    then = re.search(r'name="after" value="(\d+)"', page)
    assert then is not None
    assert sent(desk, "/consents/record", "/consents", **asked)[0] == 409
    no = {**said, "said": "no", "after": then[1]}
    assert sent(desk, "/consents/record", "/consents", **no)[0] == 200
    status, page = sent(desk, "/consents/record", "/consents", **asked)
    assert (status, "Something was recorded since" in told(page)) == (409, True)
    assert page.count("Superseded") == 1
    assert sent(desk, "/consents/record", "/consents", **{**no, "after": "x"})[0] == 400


def test_a_no_stands_in_the_way_and_says_why(site: Site, desk: Surfer) -> None:
    said = {"said": "no", "signed_by": "Ada Adams", "way": "paper", "purpose": "patient-request"}
    page = sent(desk, "/consents/record", "/consents", **WHOM, **said, only_this="on")[1]
    assert "It is recorded" in page
    site.archive.take(ct(1, values=PERSON).part10())
    assert site.archive.sharing.automatic.turn() == 0
    path = f"/study/{ct(1).study}/share"
    assert "The patient said no to giving images on for this" in desk.get(path).text
    typed = {
        "confirmed.name": "on", "confirmed.birth-date": "on", "recipient": "Dr Kim",
        "to": "kim@example.org", "by": "+44 20 7946 0018", "purpose": "patient-request",
        "basis": "legal:patient-request", "until": in_days(60), "language": "en",
        f"series.{ct(1).series}": "on",
    }  # fmt: skip
    status, page = sent(desk, path, path, **typed)
    assert status == 409
    assert "does not want" in page


@pytest.mark.parametrize(
    ("differs", "what"),
    [
        ({"said": ""}, "Choose yes or no"),
        ({"signed_by": " "}, "signature"),
        ({"to": ""}, "e-mail address and your mobile"),
        ({"to": "ada@"}, "name@example.org"),
        ({"by": "0170 1234567"}, "with its country"),
        ({"by": "ada+x@example.org"}, "two different ways"),
    ],
)
def test_what_is_missing_is_said_in_words_of_the_page(
    desk: Surfer, differs: dict[str, str], what: str
) -> None:
    desk.post("/consents/kiosk", "/consents", **WHOM, **COMPARED, purpose="treatment")
    status, page = sent(desk, "/kiosk/answer", "/kiosk/form", **{**YES, **differs})
    assert (status, what in told(page)) == (400, True)
    assert 'value="Ada Adams"' in page or not differs.get("signed_by", "x").strip()


@pytest.mark.parametrize(
    ("path", "fields", "what"),
    [
        ("/consents/kiosk", {**WHOM, "purpose": "treatment"}, "Compare two things"),
        ("/consents/kiosk", {**WHOM, **COMPARED, "purpose": "fun"}, "purpose that is known"),
        (
            "/consents/kiosk",
            {**WHOM, **COMPARED, "purpose": "treatment", "recipient": "Dr Kim"},
            "where the link is to go",
        ),
        ("/consents/kiosk", {**WHOM, **COMPARED, "born": "1970"}, "year-month-day"),
        ("/consents/record", {**WHOM, "purpose": "treatment"}, "a yes or a no"),
        (
            "/consents/record",
            {**WHOM, "said": "yes", "purpose": "treatment", "way": "paper", "signed_by": ""},
            "signed by name",
        ),
        ("/consents", {**WHOM, "patient": " "}, "Type the Patient ID"),
        ("/consents/withdraw", {**WHOM, "consent": "77"}, "no such consent"),
    ],
)
def test_what_the_desk_mistypes_is_said(
    desk: Surfer, path: str, fields: dict[str, str], what: str
) -> None:
    status, page = sent(desk, path, "/consents", **fields)
    assert status in (400, 404)
    assert what in told(page)


def test_nobody_without_an_id_can_be_asked(site: Site, desk: Surfer) -> None:
    site.archive.take(ct(5, values={"00100020": ""}).part10())
    answer = desk.get(f"/study/{ct(5).study}/consents")
    assert answer.status_code == 404
    assert "no Patient ID" in answer.text


def test_texts_are_written_and_asked_from_then_on(desk: Surfer) -> None:
    path = "/consents/texts"
    assert "own-1" in desk.get(f"{path}?purpose=research").text
    said = {"purpose": "research", "title.en": "For science?", "body.en": "One.\n\n<b>Two.</b>"}
    assert desk.post(path, **said).status_code == 303
    page = desk.get(f"{path}?purpose=research").text
    assert "research.1" in page
    assert "&lt;b&gt;Two." in page
    assert desk.post(path, purpose="research").status_code == 400
    assert desk.get(f"{path}?purpose=fun").status_code == 400


def test_with_sign_in_there_is_nothing_behind_the_tablet(
    postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as site:
        clerk = signed_in(site, "clerk", "records-clerk")
        begun = clerk.post(
            "/consents/kiosk", "/consents", **WHOM, **COMPARED, purpose="patient-request"
        )
        assert begun.headers["location"] == "/kiosk"
        for path in ("/", "/shares", "/account", "/consents"):
            assert clerk.get(path).headers["location"] == "/kiosk"
        assert site.client.get(
            f"{site.root}/studies", headers={"cookie": f"vna={clerk.client.cookies.get('vna')}"}
        ).status_code == 401  # fmt: skip
        assert clerk.get("/login").status_code == 200
        assert 'href="/login"' in clerk.get("/kiosk").text
        assert clerk.post("/kiosk/leave", "/kiosk/form").headers["location"] == "/"
        assert "See my images" in clerk.get("/").text  # anybody's page: nobody is signed in

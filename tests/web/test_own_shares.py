"""Patients share by themselves and ask, over HTTP: four steps, shares, consents, requests."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from html import unescape

import httpx
import pytest

from tests.conftest import TestPostgres
from tests.factories import Instance, ct
from tests.web.conftest import Site
from tests.web.guests import caller, coded, offered
from tests.web.patients import BORN, hospital, without_limits
from tests.web.people import Surfer, patient_of, signed_in
from vna.sharing.consents import Consent

KIM = {"recipient": "Dr Kim", "way": "email", "email": "kim@example.org", "language": "en"}
CODE = {"code": "sms", "code_phone": "+447700900123", "until": "", "download": "on"}
PASS = {"code": "none", "passcode": "on", "until": "", "download": "on"}


def image(study: int, series: int = 1, **more: str) -> Instance:
    values = {**BORN, "StudyDescription": f"Knee {study}", **more}
    return ct(study, series, patient_id="P-1", patient_name="Doe^Jane", values=values)


FIRST, PART, SECOND = image(1), image(1, 2), image(2)
OTHER = ct(3, patient_id="P-9", patient_name="Roe^Rick", values=BORN)


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    held = (FIRST, PART, SECOND, OTHER)
    with hospital(postgres, tmp_path_factory.mktemp("site"), *held) as found:
        yield found


@pytest.fixture(autouse=True)
def fresh_limits(site: Site) -> None:
    without_limits(site)


@pytest.fixture(scope="module")
def jane(site: Site) -> Surfer:
    """A patient who is signed in and may be written to."""
    found, page = patient_of(site, FIRST.study), "/my/account"
    found.post(f"{page}/contact", page, kind="email", act="begin", typed="jane@example.org")
    code = site.archive.posted.last("prove").values["code"]
    found.post(f"{page}/contact", page, kind="email", act="prove", typed=code)
    return found


@pytest.fixture(scope="module")
def rick(site: Site) -> Surfer:
    return patient_of(site, OTHER.study)


@pytest.fixture(scope="module")
def clerk(site: Site) -> Surfer:
    return signed_in(site, "clerk", "records-clerk")


def chosen(jane: Surfer, **what: str) -> str:
    """Take the first step; return where the draft is."""
    answer = jane.post("/my/share", **({f"study.{FIRST.study}": "on", "reports": "on"} | what))
    found = re.fullmatch(r"(/my/share/\d+)/whom", answer.headers.get("location", ""))
    assert found is not None, answer.text
    return found[1]


def checked(jane: Surfer, whom: dict[str, str], how: dict[str, str], **what: str) -> str:
    """Take three steps; return where the draft is."""
    draft = chosen(jane, **what)
    assert jane.post(f"{draft}/whom", **whom).headers["location"] == f"{draft}/how"
    until = re.search(r'name="until" value="([\d-]+)"', jane.get(f"{draft}/how").text)
    assert until is not None
    how = how | {"until": until[1]}
    assert jane.post(f"{draft}/how", **how).headers["location"] == f"{draft}/check"
    return draft


def share_of(page: httpx.Response) -> str:
    """Find the share a page of secrets leads to."""
    found = re.search(r'href="(/my/shares/\d+)"', page.text)
    assert found is not None, page.text
    return found[1]


def test_what_a_desk_sends_is_in_its_own_language_unless_another_is_chosen(
    site: Site, clerk: Surfer
) -> None:
    of_study = [f"/study/{FIRST.study}/{one}" for one in ("share", "consents", "account", "carers")]
    for path in ("/requests", *of_study):
        for language in ("de", "en"):
            headers = {"accept-language": language}
            page = clerk.client.get(site.address.url + path, headers=headers).text
            chosen = set(re.findall(r'<option value="(de|en)" selected>', page))
            assert chosen <= {language}, path  # nothing is chosen where the first is meant
            assert chosen or language == "en", path


def test_what_can_be_chosen_is_counted_as_files_a_report_is_no_image(
    site: Site, jane: Surfer
) -> None:
    page = jane.get("/my/share").text
    assert "2 files</span>" in page
    assert "images</span>" not in page


def test_four_steps_lead_to_a_link_that_opens_and_is_stopped(site: Site, jane: Surfer) -> None:
    site.archive.posted.messages.clear()
    draft = checked(jane, KIM, {**CODE, "notify": "on"})
    page = unescape(jane.get(f"{draft}/check").text)
    for shown in ("CT: Knee 1", "all of it", "Dr Kim", "kim@example.org", "+447700900123"):
        assert shown in page
    tried = unescape(jane.post(f"{draft}/test", f"{draft}/check").text)
    assert "It works" in tried
    assert "images of Doe, Jane" in tried
    assert "2 images, no report yet" in tried
    assert site.archive.posted.messages == []
    sent = jane.post(f"{draft}/send", f"{draft}/check")
    assert "on its way to k…@example.org" in unescape(sent.text)
    assert "Shown only now" not in sent.text
    where = share_of(sent)
    assert jane.get(f"{draft}/check").headers["location"] == where
    assert "Sent, not opened yet" in jane.get(where).text
    guest = caller(site)
    guest.open(site.archive.posted.secret())
    guest.get("/s/prove")
    guest.prove(site.archive.posted.code(), "sms")
    assert "Images of Doe, Jane" in unescape(guest.get("/s/home").text)
    page = unescape(jane.get(where).text)
    assert "opened once" in page
    assert "Dr Kim</strong>: looked at the images" in page
    templates = {(one.template, one.to.value) for one in site.archive.posted.messages}
    assert ("opened", "jane@example.org") in templates
    assert jane.post(f"{where}/stop", where).headers["location"] == where
    site.archive.sharing._guests._believed.clear()  # half a second later
    assert guest.get("/s/home").status_code == 401
    assert "Stopped" in jane.get("/my/shares").text


def test_a_part_is_handed_over_on_paper_and_again_under_a_new_link(
    site: Site, jane: Surfer
) -> None:
    study = {f"study.{FIRST.study}": "on"}
    parts = jane.post("/my/share", **study, go="parts")
    assert parts.text.count('name="series.') == 2
    one = {f"parts.{FIRST.study}": "on", f"series.{FIRST.series}": FIRST.study}
    hand = {"recipient": "Dr Kim", "way": "hand", "language": "de"}
    draft = checked(jane, hand, {**PASS, "printed": "on"}, **one)
    assert "all of it" not in jane.get(f"{draft}/check").text
    made = jane.post(f"{draft}/send", f"{draft}/check")
    where, secrets = share_of(made), fields(made.text)
    assert "<svg" in made.text
    sheet = jane.post(f"{where}/sheet.pdf", where, **secrets)
    assert (sheet.headers["content-type"], sheet.content[:5]) == ("application/pdf", b"%PDF-")
    assert jane.post(f"{where}/passcode.pdf", where, **secrets).content[:5] == b"%PDF-"
    assert secrets["secret"] not in jane.get(where).text
    again = jane.post(f"{where}/renew", where, grant=secrets["grant"])
    assert fields(again.text)["secret"] != secrets["secret"]
    guest = caller(site)
    assert guest.open(secrets["secret"]).status_code != 303
    assert guest.open(fields(again.text)["secret"]).status_code == 303


def fields(page: str) -> dict[str, str]:
    """Read what a page of secrets sends back to be printed."""
    return dict(re.findall(r'name="(grant|secret|code|passcode)" value="([^"]*)"', page))


@pytest.mark.parametrize(
    ("step", "typed", "words"),
    [
        ("whom", {**KIM, "email": "kim"}, "name@example.org"),
        ("whom", {**KIM, "recipient": " "}, "Sagen Sie, wer die Bilder bekommt"),
        ("whom", {"recipient": "Dr Kim"}, "Sagen Sie, wie der Link"),
        ("how", {**CODE, "until": "2031-02-30"}, "bis zu welchem Tag"),
        ("how", {**CODE, "until": "2001-02-03"}, "Dieser Tag ist vorbei"),
        ("how", {**CODE, "until": "2199-02-03"}, "liegt zu weit voraus"),
        ("how", {"code": "none", "until": ""}, "Ein Link allein"),
        ("how", {**CODE, "code": "email", "code_email": "K.im+1@example.org"}, "selben Postfach"),
    ],
)
def test_each_step_says_what_is_missing_in_the_patient_s_language(
    site: Site, jane: Surfer, step: str, typed: dict[str, str], words: str
) -> None:
    draft = chosen(jane)
    if step == "how":
        jane.post(f"{draft}/whom", **KIM)
        until = re.search(r'name="until" value="([\d-]+)"', jane.get(f"{draft}/how").text)
        typed = {**typed, "until": typed["until"] or (until[1] if until else "")}
    jane.client.headers["accept-language"] = "de"
    try:
        answer = jane.post(f"{draft}/{step}", **typed)
    finally:
        del jane.client.headers["accept-language"]
    assert answer.status_code == 400
    assert words in unescape(answer.text)
    assert jane.get(f"{draft}/check").headers["location"] == f"{draft}/whom" or step == "how"


def test_nothing_chosen_or_nothing_of_theirs_goes_nowhere(
    site: Site, jane: Surfer, rick: Surfer
) -> None:
    assert jane.post("/my/share").status_code == 400
    foreign = checked(
        jane, KIM, CODE, **{f"study.{FIRST.study}": "", f"study.{SECOND.study}": "on"}
    )
    assert rick.get(f"{foreign}/check").status_code == 404
    assert rick.post(f"{foreign}/send", "/my/share").status_code == 404
    both = {f"study.{OTHER.study}": "on", f"study.{FIRST.study}": "on"}
    assert rick.post("/my/share", **both, reports="on").status_code == 404


def test_a_share_of_staff_is_read_and_asked_to_be_stopped(
    site: Site, jane: Surfer, clerk: Surfer
) -> None:
    theirs = offered(site, SECOND, **coded())
    where = f"/my/shares/{theirs.share_id}"
    page = unescape(jane.get(where).text)
    assert "made by Example Hospital" in page
    assert "Dr. Gray" in page
    assert f'action="{where}/stop"' not in page
    assert jane.post(f"{where}/stop", where).status_code == 404
    assert jane.post(f"{where}/ask-stop", where, words="Please.").status_code == 303
    inbox = clerk.get("/requests/patients").text
    number = re.search(r'href="(/requests/patients/\d+)"', inbox)
    assert number is not None
    assert f'href="/share/{theirs.share_id}"' in clerk.get(number[1]).text


def test_a_consent_is_shown_in_its_words_and_taken_back(site: Site, jane: Surfer) -> None:
    consent = Consent(
        issuer=site.archive.settings.site.issuer,
        patient_id="P-1",
        purpose="treatment",
        allowed=True,
        text_version="treatment.own-1",
        signed_by="Jane Doe",
        way="paper",
    )
    said = site.archive.sharing.consents.record(site.archive.who, consent)
    share = offered(site, SECOND, **coded(), consent_id=said, legal_basis=None)
    page = unescape(jane.get("/my/consents").text)
    assert "May other doctors see your images?" in page
    done = jane.post("/my/consents/withdraw", "/my/consents", consent=str(said))
    assert f"is stopped: {share.number}" in done.text
    assert jane.post("/my/consents/withdraw", "/my/consents", consent="1").status_code == 404
    assert "Paused" in jane.get(f"/my/shares/{share.share_id}").text


def test_a_request_goes_to_the_inbox_and_comes_back_answered(
    site: Site, jane: Surfer, rick: Surfer, clerk: Surfer
) -> None:
    site.archive.posted.messages.clear()
    assert jane.post("/my/requests", kind="correct", words=" ").status_code == 400
    wanted = {"kind": "correct", "words": "It was the <left> knee.", "study": FIRST.study}
    assert jane.post("/my/requests", **wanted).status_code == 303
    assert "Waiting" in jane.get("/my/requests").text
    assert "left" not in rick.get("/my/requests").text
    listed = clerk.get("/requests/patients").text
    assert "left" not in listed
    where = re.findall(r'href="(/requests/patients/\d+)"', listed)[-1]
    shown = clerk.get(where).text
    assert "It was the &lt;left&gt; knee." in shown
    assert f'href="/study/{FIRST.study}"' in shown
    unclear = clerk.post(f"{where}/answer", where, outcome="refused", words="No.")
    assert unclear.status_code == 400
    answer = {"outcome": "refused", "refusal": "accurate", "words": "We compared the images."}
    assert clerk.post(f"{where}/answer", where, **answer).status_code == 303
    page = unescape(jane.get("/my/requests").text)
    assert "We looked at it, and what we keep is right." in page
    assert "We compared the images." in page
    (told,) = site.archive.posted.messages
    assert (told.template, told.to.value) == ("request-answered", "jane@example.org")
    table = csv.DictReader(io.StringIO(clerk.get("/requests/patients/report.csv").text))
    assert {"state": "refused", "refusal": "accurate"}.items() <= list(table)[-1].items()
    assert rick.post("/my/requests/1/withdraw", "/my/requests").status_code == 404


def test_what_is_written_from_right_to_left_leaves_the_date_beside_it_in_order(site: Site) -> None:
    """Digits after Arabic letters would be drawn before them (UAX #9 W2): they stand apart."""
    values = {**BORN, "StudyDescription": "ظهر"}
    back = ct(70, patient_id="P-70", charset="ISO_IR 192", codec="utf8", values=values)
    site.archive.take(back.part10())
    owner = patient_of(site, back.study)
    begun = owner.post("/my/share", **{f"study.{back.study}": "on"}).headers["location"]
    owner.post(begun, **KIM)
    draft = begun.removesuffix("/whom")
    until = re.search(r'name="until" value="([\d-]+)"', owner.get(f"{draft}/how").text)
    assert until is not None
    owner.post(f"{draft}/how", **(CODE | {"until": until[1]}))
    owner.client.headers["accept-language"] = "de"
    assert "<bdi>CT: ظهر</bdi></strong>, 2. Januar 2024" in owner.get(f"{draft}/check").text

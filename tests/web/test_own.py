"""A patient's own pages without a browser: what they show, and to nobody else."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from html import unescape

import httpx
import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.web.conftest import Site
from tests.web.guests import caller, inside, offered
from tests.web.patients import BORN, hospital, without_limits
from tests.web.people import PASSPHRASE, Surfer, enrolled, patient_of, signed_in, surfer
from tests.web.test_viewing import NO_IMAGE, SR
from vna.access.audit import Event
from vna.access.principal import system
from vna.sharing.values import Purpose, Recipient


def image(study: int, series: int = 1, instance: int = 1, **more: str):  # type: ignore[no-untyped-def]  # an Instance
    patient = more.pop("patient_id", "P-1")
    name = more.pop("patient_name", "Doe^Jane")
    values = {**BORN, "StudyDescription": f"Chest {study}", **more}
    return ct(study, series, instance, patient_id=patient, patient_name=name, values=values)


FIRST, SECOND, OTHER = (
    image(1, StudyDate="20240102", InstitutionName="Clinic East"),
    image(2, StudyDate="20251112"),
    image(3, patient_id="P-9", patient_name="Roe^Rick"),
)


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    report = ct(
        2, 2, sop_class=SR, modality="SR", pixel_element=b"", patient_id="P-1",
        patient_name="Doe^Jane", values={**BORN, **NO_IMAGE, "StudyDate": "20251112",
        "StudyDescription": "Chest 2"},
    )  # fmt: skip
    held, guests = (FIRST, SECOND, report, OTHER), {"enabled": True}
    with hospital(postgres, tmp_path_factory.mktemp("site"), *held, guests=guests) as found:
        yield found


@pytest.fixture(autouse=True)
def fresh_limits(site: Site) -> None:
    without_limits(site)


@pytest.fixture(scope="module")
def jane(site: Site) -> Surfer:
    """A patient who is signed in."""
    return patient_of(site, FIRST.study)


@pytest.fixture(scope="module")
def clerk(site: Site) -> Surfer:
    return signed_in(site, "clerk", "records-clerk")


def test_the_start_page_shows_the_ways_in_and_leads_each_to_theirs(
    site: Site, jane: Surfer
) -> None:
    page = surfer(site).get("/")
    assert page.status_code == 200
    for way in ('href="/login"', 'href="/my/start"', 'href="/s"', 'href="/send"'):
        assert way in page.text
    assert jane.get("/").headers["location"] == "/my"
    assert jane.get("/account").headers["location"] == "/my/account"
    german = surfer(site).client.get(site.address.url, headers={"accept-language": "de"})
    assert "Meine Bilder ansehen" in german.text


def test_the_timeline_is_of_one_person_newest_first_by_year(site: Site, jane: Surfer) -> None:
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM own_seen")
    page = jane.get("/my").text
    assert page.index("2025") < page.index("Chest 2") < page.index("2024") < page.index("Chest 1")
    assert "CT: Chest 2" in unescape(page)
    assert "Clinic East" in page
    assert (page.count("report included"), page.count("no report yet")) == (1, 1)
    assert "Chest 3" not in page
    assert page.count(">New<") == 2
    jane.get(f"/my/study/{FIRST.study}")
    assert jane.get("/my").text.count(">New<") == 1
    assert jane.get("/my?offset=1").text.count('class="card exam"') == 1
    assert "no images of yours" in jane.get("/my?offset=40").text
    assert jane.get("/my?offset=x").status_code == 200


def test_a_study_is_shown_viewed_and_taken_away_bit_by_bit(site: Site, jane: Surfer) -> None:
    page = jane.get(f"/my/study/{FIRST.study}")
    assert page.status_code == 200
    assert "Example Hospital" in page.text
    view = jane.get(f"/my/view/{FIRST.study}")
    assert (view.status_code, "Doe, Jane" in view.text) == (200, True)
    assert jane.get(f"/my/view/{FIRST.study}/{FIRST.series}").json()["items"]
    found = re.search(r'href="([^"]+application/zip[^"]*)"', page.text)
    assert found is not None
    package = zipfile.ZipFile(io.BytesIO(jane.get(unescape(found[1])).content))
    sizes = {info.file_size for info in package.infolist()}
    assert len(FIRST.part10()) in sizes
    for path in (f"/my/study/{OTHER.study}", f"/my/view/{OTHER.study}", "/my/study/9.9.9"):
        assert jane.get(path).status_code == 404
    assert jane.get("/my/study/no-uid").status_code == 400


def test_who_opened_it_is_told_in_plain_words(site: Site, jane: Surfer) -> None:
    doctor = signed_in(site, "ada", "radiologist")
    assert doctor.get(f"/view/{SECOND.study}").status_code == 200
    share = offered(site, SECOND)
    guest = inside(site, share)
    assert guest.get(f"/s/view/{SECOND.study}").status_code == 200
    site.archive.audit.flush()
    page = unescape(jane.get(f"/my/study/{SECOND.study}").text)
    assert "A radiologist, Example Hospital" in page
    assert "ada" not in page
    assert f"Who was sent the link {share.number}" in page
    assert "looked at it" in page
    assert "shared it by a link" in page
    every = unescape(jane.get("/my/access").text)
    assert "A radiologist, Example Hospital" in every
    assert 'href="/my/study/' in every
    assert "You yourself" in every
    assert "Chest 2" in every
    with site.archive.database.transaction() as tx:
        tallies = [("PACS", 3, 0), ("ELSEWHERE", 0, 3)]
        tried = [
            Event(
                kind="sent",
                outcome="done",
                study=SECOND.study,
                detail={"to": to, "completed": done, "warning": 0, "failed": failed},
            )
            for to, done, failed in tallies
        ]
        site.archive.audit.write(tx, system("route:all"), tried)
    later = unescape(jane.get("/my/access").text)
    assert "sent it to PACS" in later
    assert "tried to send it to ELSEWHERE" in later
    assert "tried to send it to PACS" not in later
    assert jane.get("/my/access?before=1").text.count("A radiologist") == 0
    german = jane.client.get(
        site.address.url + "/my/access", headers={"accept-language": "de"}
    ).text
    assert "Röntgenärztin oder Röntgenarzt, Example Hospital" in german
    with site.archive.database.reading() as conn:
        row = conn.execute(
            "SELECT count(*) FROM audit WHERE kind = 'audit.read' AND principal LIKE 'p-%'"
        ).fetchone()
    assert row is not None
    assert row[0] > 0


def test_her_own_language_goes_before_that_of_the_browser(jane: Surfer) -> None:
    assert jane.post("/my/account/language", "/my/account", language="de").status_code == 303
    assert 'lang="de"' in jane.get("/my/account").text
    assert jane.post("/my/account/language", "/my/account", language="xx").status_code == 400
    assert jane.post("/my/account/language", "/my/account", language="").status_code == 303
    assert 'lang="en"' in jane.get("/my").text


def test_where_she_may_be_written_to_is_proven_by_a_code(
    site: Site, jane: Surfer, clerk: Surfer
) -> None:
    page, posted = "/my/account", site.archive.posted

    def post(**fields: str) -> httpx.Response:
        return jane.post("/my/account/contact", page, **fields)

    assert "mailbox" not in post(act="begin", kind="email", typed="no mailbox").headers
    again = post(act="begin", kind="sms", typed='0170 "123')
    assert (again.status_code, again.text.count('value="0170 &#34;123"')) == (400, 1)
    assert 'action="/my/account/contact#contacts"' in again.text  # where it says what is wrong
    assert post(act="begin", kind="pigeon", typed="x").status_code == 400
    assert post(act="fly", kind="email").status_code == 400
    assert post(act="drop", kind="email").status_code == 404
    assert post(act="begin", kind="email", typed="Jane@Example.org").status_code == 303
    code = posted.last("prove").values["code"]
    shown = jane.get(page).text
    assert ("…@example.org" in shown, "Jane@" in shown, "Not confirmed yet" in shown) == (
        True, False, True,
    )  # fmt: skip
    wrong = post(act="prove", kind="email", typed="00000000")
    assert (wrong.status_code, "not right" in wrong.text) == (401, True)
    account = site.archive.people.sessions.visitor(jane.cookie(), None)
    assert account is not None
    contacts = site.archive.sharing.contacts
    assert contacts.mailbox(account.account_id) is None
    assert post(act="prove", kind="email", typed=code).status_code == 303
    found = contacts.mailbox(account.account_id)
    assert found is not None
    assert found.value.lower() == "jane@example.org"
    assert post(act="prove", kind="email", typed=code).status_code == 401  # once
    assert post(act="stop", kind="email").status_code == 404
    assert post(act="begin", kind="sms", typed="+44 7700 900123").status_code == 303
    for _ in range(5):
        assert post(act="prove", kind="sms", typed="00000000").status_code == 401
    late = posted.last("prove").values["code"]
    assert post(act="prove", kind="sms", typed=late).status_code == 401
    assert post(act="drop", kind="email").status_code == 303
    assert contacts.mailbox(account.account_id) == found  # for a day
    assert "we write here no more" in jane.get(page).text
    assert posted.last("contact-held").to == found
    assert post(act="stop", kind="email").status_code == 303
    shown = jane.get(page).text
    assert ("we write here no more" in shown, "Another instead" in shown) == (False, True)
    assert post(act="drop", kind="email").status_code == 303
    where = f"/study/{FIRST.study}/account"
    assert "no more" in clerk.get(where).text
    stop = r'name="binding" value="(\d+)">\s*<button name="act" value="keep"'
    number = re.search(stop, clerk.get(where).text)
    assert number is not None
    for status in (200, 409):  # the second time there is nothing left
        assert clerk.post(where, act="keep", binding=number[1]).status_code == status
    assert "we write here no more" not in jane.get(page).text
    assert post(act="drop", kind="email").status_code == 303
    with site.archive.database.transaction() as tx:
        tx.execute("UPDATE own_contact_change SET takes_at = now()")
    assert contacts.mailbox(account.account_id) is None
    with site.archive.database.reading() as conn:
        rows = conn.execute("SELECT detail::text FROM audit WHERE kind LIKE 'contact.%'").fetchall()
    assert len(rows) >= 4
    assert not any("example" in row[0] for row in rows)
    with site.archive.database.transaction() as tx:
        tx.execute("UPDATE session SET proven_at = now() - interval '6 minutes'")
    site.engines.people.sessions.sweep()
    while (led := post(act="stop", kind="sms")).headers.get("location") != "/confirm":
        assert led.status_code in {303, 404}  # believed for half a second


def test_staff_compare_and_hand_over_a_code(site: Site, clerk: Surfer) -> None:
    where = f"/study/{OTHER.study}/account"
    assert f'href="{where}"' in clerk.get(f"/study/{OTHER.study}").text
    silent = clerk.post(where, act="code")
    assert (silent.status_code, "two things" in silent.text) == (400, True)
    both = {"compared.name": "on", "compared.birth-date": "on"}
    made = clerk.post(where, act="code", language="de", **both)
    assert made.status_code == 200
    fields = dict(re.findall(r'name="(code|login|until|language)" value="([^"]+)"', made.text))
    assert fields["language"] == "de"
    assert fields["code"] in made.text
    assert "Roe" not in made.text
    sheet = clerk.post(f"{where}.pdf", where, **fields)
    assert (sheet.status_code, sheet.content[:5]) == (200, b"%PDF-")
    assert clerk.post(f"{where}.pdf", where, **{**fields, "code": "x"}).status_code == 400
    assert clerk.post(f"{where}.pdf", where, **{**fields, "until": "x"}).status_code == 400
    assert "A code is out until" in clerk.get(where).text

    rick = surfer(site)
    wrong = rick.post("/my/start", link=fields["code"], born="1970-01-02")
    assert (wrong.status_code, "not right" in wrong.text) == (401, True)
    begun = rick.post("/my/start", link=fields["code"], born="1970-01-01")
    assert begun.headers["location"] == "/enrol/passphrase"
    assert fields["login"] in rick.get("/enrol/passphrase").text
    assert rick.get("/my").headers["location"] == "/enrol/passphrase"

    number = re.search(r'name="binding" value="(\d+)"', clerk.get(where).text)
    assert number is not None
    for sent, status in (
        ({"act": "end", "binding": number[1]}, 400),
        ({"act": "end", "binding": "x", "reason": "y"}, 400),
        ({"act": "end", "reason": "y"}, 400),
        ({"act": "fly", "binding": number[1]}, 400),
        ({"act": "end", "binding": "99999", "reason": "y"}, 404),
        ({"act": "end", "binding": number[1], "reason": "Moved away"}, 200),
    ):
        assert clerk.post(where, **sent).status_code == status, sent
    while (led := rick.get("/enrol/passphrase")).status_code == 200:
        pass  # who was believed is, for half a second
    assert led.headers["location"] == "/login"


def test_a_link_leads_to_an_account_that_waits_for_the_desk(site: Site, clerk: Surfer) -> None:
    theirs = Recipient(name="Doe, Jane")
    share = offered(site, FIRST, purpose=Purpose.PATIENT_REQUEST, recipient=theirs)
    guest = inside(site, share)
    assert 'href="/s/account"' in guest.get("/s/home").text
    silent = guest.post("/s/account", "/s/account")
    assert (silent.status_code, "these are your images" in silent.text) == (400, True)
    kept = guest.post("/s/account", "/s/account", mine="on")
    assert kept.headers["location"] == "/enrol/passphrase"
    login = re.search(r"p-[0-9a-z]{4}-[0-9a-z]{4}", guest.get("/enrol/passphrase").text)
    assert login is not None
    people = site.archive.people
    visitor = people.sessions.visitor(guest.client.cookies["vna"], None)
    assert visitor is not None
    assert not visitor.principal.scope.studies
    with site.archive.database.transaction() as tx:  # as if she had chosen how to sign in
        tx.execute(
            "UPDATE account a SET passphrase = c.passphrase, enrolled_at = now() FROM account c"
            " WHERE a.login = %s AND c.login = 'clerk'",
            (login[0],),
        )
        tx.execute("UPDATE session SET level = 2 WHERE session_id = %s", (visitor.session_id,))
    jane = surfer(site)
    jane.client.cookies.set("vna", guest.client.cookies["vna"], domain="127.0.0.1")
    while (page := jane.get("/my")).status_code == 303:
        pass  # she was believed to be half-way, for half a second
    assert "make sure that it is you" in page.text
    assert jane.get(f"/my/study/{FIRST.study}").status_code == 404
    assert "An account was made" in guest.post("/s/account", "/s/account", mine="on").text
    assert login[0] in clerk.get("/patients").text
    where = f"/study/{FIRST.study}/account"
    number = re.search(
        rf'{login[0]}.*?name="binding" value="(\d+)"', clerk.get(where).text, re.DOTALL
    )
    assert number is not None
    both = {"compared.name": "on", "compared.patient-id": "on"}
    done = clerk.post(where, act="confirm", binding=number[1], **both)
    assert (done.status_code, "is confirmed" in done.text) == (200, True)
    assert login[0] not in clerk.get("/patients").text


def test_a_link_made_for_somebody_else_offers_no_account(site: Site) -> None:
    for changes in (
        {"purpose": Purpose.TREATMENT, "recipient": Recipient(name="Doe, Jane")},
        {"purpose": Purpose.PATIENT_REQUEST, "recipient": Recipient(name="Dr. Gray")},
    ):
        guest = inside(site, offered(site, FIRST, **changes))
        assert 'href="/s/account"' not in guest.get("/s/home").text
        assert guest.get("/s/account").status_code == 404
        assert guest.post("/s/account", "/s/home", mine="on").status_code == 404
    assert caller(site).get("/s/account").status_code == 401


def test_who_is_given_a_link_on_under_the_patient_s_name_is_offered_no_account(site: Site) -> None:
    """Whoever gives on says whom to, and would so name themself as the patient."""
    doctor = Recipient(name="Dr. Gray")
    share = offered(site, FIRST, purpose=Purpose.PATIENT_REQUEST, recipient=doctor, forward=True)
    sent = inside(site, share).post(
        "/s/forward", "/s/forward", name="Doe, Jane", proof="passcode", days="5", download="yes"
    )
    link = re.search(r"/s#([\w-]{43})<", sent.text)
    passcode = re.search(r'class="shown-once">([^<]+)<', sent.text)
    assert link is not None
    assert passcode is not None
    guest = caller(site)
    guest.open(link[1])
    guest.prove(passcode[1])
    assert 'href="/s/account"' not in guest.get("/s/home").text
    assert guest.post("/s/account", "/s/home", mine="on").status_code == 404


def test_staff_see_no_page_of_patients_and_patients_none_of_staff(
    site: Site, jane: Surfer, clerk: Surfer
) -> None:
    refused = jane.get(f"/study/{FIRST.study}")
    assert (refused.status_code, "not for you" in refused.text) == (403, True)
    assert "/patients" not in refused.text
    assert clerk.get("/my").status_code == 403
    _, codes = enrolled(site, "bo", "referring")
    both = surfer(site)
    assert both.post("/login", login="bo", passphrase=PASSPHRASE).status_code == 303
    assert both.post("/login/factor", code=codes[0]).headers["location"] == "/"


def test_a_name_without_latin_letters_is_shown_at_the_desk_and_to_its_owner(
    site: Site, clerk: Surfer
) -> None:
    """The alphabetic group of a Person Name may be absent (PS3.5 6.2.1.1)."""
    yamada = image(60, patient_id="P-60")
    yamada.patient_name, yamada.charset, yamada.codec = (
        "=山田^太郎=やまだ^たろう",
        "ISO_IR 192",
        "utf8",
    )
    site.archive.take(yamada.part10())
    assert "<strong>山田, 太郎</strong>" in clerk.get(f"/study/{yamada.study}/account").text
    owner = patient_of(site, yamada.study)
    assert "Images of 山田, 太郎" in owner.get("/my").text


def test_a_browser_is_named_in_the_language_of_the_page(site: Site, jane: Surfer) -> None:
    page = jane.client.get(f"{site.address.url}/my/account", headers={"accept-language": "de"}).text
    assert ", ein Browser<br>" in page
    phone = surfer(site)
    phone.client.headers["user-agent"] = (
        "Mozilla/5.0 (Linux; Android 15) Chrome/130.0 Safari/537.36"
    )
    _, codes = enrolled(site, "kim", "records-clerk")
    phone.post("/login", login="kim", passphrase=PASSPHRASE)
    phone.post("/login/factor", code=codes[0])
    assert "Chrome on Android" in phone.get("/account").text
    phone.client.headers["accept-language"] = "de"
    assert "Chrome unter Android" in phone.get("/account").text


def test_a_form_that_is_too_old_is_told_from_a_page_that_is_not_theirs(
    site: Site, jane: Surfer
) -> None:
    sent = {"form": "of another tab", "language": "de"}
    late = jane.client.post(f"{site.address.url}/my/account/language", data=sent)
    assert (late.status_code, "load the page again" in late.text) == (403, True)
    other = jane.get("/shares")
    assert (other.status_code, "This page is not for you." in other.text) == (403, True)

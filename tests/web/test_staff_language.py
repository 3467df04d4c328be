"""Pages of staff in the language of their browser: the list, a study, sharing, the inbox."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.web.conftest import Site, serving
from tests.web.people import Surfer, in_days, surfer
from vna.sharing.consents import Consent

ONE = ct(1, values={"00100030": "19700102", "00100010": "Adams^Ada", "00081030": "Thorax"})
REPORT = "1.2.840.10008.5.1.4.1.1.88.22"
SAID = Consent(
    issuer="LOCAL",
    patient_id="P-9",
    purpose="treatment",
    allowed=True,
    text_version="1",
    signed_by="Ada Adams",
    way="kiosk",
)
GERMAN = {"accept-language": "de-DE,de;q=0.9,en;q=0.5"}


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site")) as site:
        assert site.store(ONE.part10()).status_code == 200
        yield site


@pytest.fixture
def browser(site: Site) -> Surfer:
    found = surfer(site)
    found.client.headers.update(GERMAN)
    found.get("/")  # takes a cookie
    return found


def share(browser: Surfer, **more: str) -> tuple[int, str]:
    path = f"/study/{ONE.study}/share"
    fields = {
        "confirmed.name": "on", "recipient": "Dr. Kim", "to": "kim@example.org", "passcode": "on",
        "purpose": "treatment", "basis": "legal:treatment", "until": in_days(60),
        "language": "de", f"series.{ONE.series}": "on", **more,
    }  # fmt: skip
    answer = browser.post(path, **fields)
    return answer.status_code, answer.text


def test_the_way_from_the_list_to_a_share_is_german(browser: Surfer) -> None:
    for path, said in (
        ("/", ("Studien", "Patientenname", "Geboren", "Studien 1 bis 1", "Suchen")),
        (f"/study/{ONE.study}", ("geboren 1970-01-02", "1 Objekt", "Noch ist kein Befund hier")),
        (f"/study/{ONE.study}/share", ("„Thorax“ freigeben", "Wofür und bis wann", "Geburtsdatum")),
        ("/shares", ("Freigaben", "Heute", "Fehlgeschlagen")),
        ("/shares?tab=failed", ("Nichts ist fehlgeschlagen.",)),
        ("/shares?tab=automatic", ("Nichts geht von selbst hinaus.",)),
        ("/shares?tab=figures", ("Monat für Monat", "Von selbst hinausgegangen: 0")),
    ):
        page = browser.get(path).text
        assert '<html lang="de"' in page, path
        for text in said:
            assert text in page, (path, text)
        assert "development" not in page.lower(), path
    status, page = share(browser)
    assert status == 400
    assert "Nicht freigegeben." in page
    status, page = share(browser, **{"confirmed.birth-date": "on"})
    assert status == 200
    assert "Nur einmal gezeigt" in page
    found = re.search(r"/share/\d+", page)
    assert found is not None
    page = browser.get(found[0]).text
    for text in ("Von wem", "Behandlung anderswo", "ein Kennwort", "Neuer Link", "Was geschah"):
        assert text in page, text
    page = browser.post(f"{found[0]}/test", found[0]).text
    assert "Es öffnet sich" in page
    assert "1 Bild in 1 Serie" in page


def test_what_is_known_of_a_study_is_said_in_german(postgres: TestPostgres, tmp_path: Path) -> None:
    with serving(postgres, tmp_path) as site:
        told_in_german(site)


def told_in_german(site: Site) -> None:
    archive, browser = site.archive, surfer(site)
    browser.client.headers.update(GERMAN)
    document = ct(
        2, patient_id="P-9", sop_class=REPORT, modality="SR", values={"0040A491": "COMPLETE"}
    )
    nameless = ct(
        3, patient_id="P-9", modality="", values={"00081030": "", "0008103E": "", "00180015": ""}
    )
    for one in (document, ct(2, 2, patient_id="P-9"), nameless):
        archive.take(one.part10())
    for purpose, allowed in (("patient-request", True), ("treatment", False)):
        archive.sharing.consents.record(
            archive.who, dataclasses.replace(SAID, purpose=purpose, allowed=allowed)
        )
    page = browser.get(f"/study/{document.study}").text
    assert "<li>Befund, nicht bestätigt (2024-01-02)</li>" in page
    assert site.get(f"/studies/{document.study}/metadata").status_code == 200
    page = browser.get(f"/study/{document.study}/opened").text
    assert ">Metadaten, 2 Objekte<" in page
    page = browser.get(f"/study/{nameless.study}").text
    assert "<h1>Studie</h1>" in page
    assert re.findall(r'alt="([^"]*)"', page) == ["", "Serie, 1 Bild"]
    page = browser.get(f"/study/{document.study}/share").text
    assert "1 Befund: Befund, nicht bestätigt (2024-01-02)." in page
    assert re.search(
        r"Einwilligung vom [-\d]+: Bilder an die Person selbst, Auf einem Tablet<", page
    )
    assert re.search(r"Nein zur Freigabe für: Behandlung anderswo \([-\d]+, Auf einem", page)


def test_the_inbox_of_what_patients_ask_is_german(browser: Surfer) -> None:
    page = browser.get("/requests/patients").text
    assert '<html lang="de"' in page
    assert "Was Patienten wünschen" in page
    assert "Nichts wartet." in page


def test_whatever_page_staff_open_is_german(browser: Surfer) -> None:
    for path, said in (
        ("/discs", ("Datenträger", "Noch keine.")),
        ("/imports", ("Importe", "Woher kommt es?", "Import beginnen")),
        ("/requests", ("Anfragen nach Bildern", "Wen fragen Sie?", "Link senden")),
        ("/consents", ("Einwilligungen", "Wessen?", "Untersuchung, in einfachen Worten")),
        ("/consents/texts", ("Was Patienten gefragt werden", "Bilder an die Person selbst")),
        (f"/study/{ONE.study}/consents", ("Auf diesem Tablet fragen", "Was wurde gesagt?")),
        (f"/study/{ONE.study}/correct", ("„Thorax“ berichtigen", "Wem sie gehört")),
        (f"/study/{ONE.study}/opened", ("Wer „Thorax“ geöffnet hat", "Zurück zur Studie")),
        ("/patients", ("Personen, bei denen nachzusehen ist", "Nichts wartet.")),
        ("/rules", ("Regeln", "Es gibt keine Regel", "Niemand ist bekannt")),
        ("/dev/inbox", ("Posteingang", "Nichts verlässt diesen Rechner.")),
    ):
        page = browser.get(path).text
        assert '<html lang="de"' in page, path
        for text in said:
            assert text in page, (path, text)


def test_what_is_wrong_is_said_in_german(browser: Surfer) -> None:
    page = browser.post("/consents", "/consents").text
    assert "Geben Sie die Patienten-ID ein." in page
    page = browser.post(f"/study/{ONE.study}/correct", act="look").text
    assert "Sagen Sie, zu welcher Patienten-ID sie gehört." in page
    began = browser.post("/imports", "/imports", note="x").headers["location"]
    page = browser.post(f"{began}/confirm", began, family="Adams").text
    assert '<html lang="de"' in page


def test_who_asks_for_no_language_of_ours_reads_english(browser: Surfer) -> None:
    browser.client.headers["accept-language"] = "fr"
    page = browser.get("/").text
    assert '<html lang="en"' in page
    assert "Patient name" in page


def test_what_is_refused_is_said_in_german(browser: Surfer) -> None:
    status, page = share(browser, **{"confirmed.birth-date": "on", "passcode": "", "by": ""})
    assert (status, "Ein Link allein schützt nicht" in page) == (400, True)
    status, page = share(browser, **{"confirmed.birth-date": "on", "max_opens": "often"})
    assert (status, "Wie oft es sich öffnen lässt, ist eine Zahl." in page) == (400, True)
    late = browser.client.post(f"{browser.site.address.url}/imports", data={"form": "x"})
    assert (late.status_code, "Dieses Formular ist zu alt" in late.text) == (403, True)

"""Images go from one guest to another in real browsers: mailed code, five items, told passcode."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.flows.axe import violations
from tests.flows.test_imports import carried_out
from tests.flows.test_inbox import browser
from tests.flows.test_viewer import SCREENS
from tests.imports import parcels
from tests.imports.conftest import PDF, iso_of, zip_of
from tests.web.conftest import Site, serving
from vna.errors import NotAuthenticated

__all__ = ["browser"]

WHO = {"patient_name": "Adams^Ada Augusta", "values": {"StudyDescription": "CT of the chest"}}
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site")) as site:
        yield site


def glanced(page: Page, name: str) -> None:
    """Take a picture on a phone and on a desktop; nothing scrolls sideways, axe finds nothing."""
    for of, (width, height) in {"phone": (360, 740), "desktop": (1280, 800)}.items():
        page.set_viewport_size({"width": width, "height": height})
        page.screenshot(path=SCREENS / f"{name}-{of}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), of
        assert violations(page) == [], (name, of)


def mail(page: Page, site: Site, subject: str) -> str:
    """Read the newest message of a subject, as its addressee would."""
    carried_out(site)
    page.goto(f"{site.address.url}/dev/inbox")
    page.get_by_role("link", name=subject).first.click()
    return page.locator(".letter").inner_text()


def secret(page: Page, site: Site, subject: str, path: str) -> str:
    mail(page, site, subject)
    href = page.get_by_role("link", name=f"{path}#").first.get_attribute("href") or ""
    return href.partition("#")[2]


def begun(page: Page, site: Site, *, words: dict[str, str], looks: bool = False) -> None:
    """Type two addresses and the code that is mailed."""
    page.goto(f"{site.address.url}/send")
    if looks:
        glanced(page, "exchange-start")
    page.get_by_label(words["yours"]).fill("ada.sender@example.org")
    page.get_by_label(words["theirs"]).fill("gray@practice.example")
    page.get_by_role("button", name=words["code"]).click()
    page.get_by_label("Code").wait_for()
    inbox = page.context.new_page()
    text = mail(inbox, site, words["subject"])
    inbox.close()
    code = next(word.strip(".") for word in text.split() if word.strip(".").isdigit())
    if looks:
        page.get_by_label("Code").fill("x")
        page.get_by_role("button", name=words["go"]).click()
        page.get_by_text("4 ").first.wait_for()
        glanced(page, "exchange-code")
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name=words["go"]).click()
    page.locator("#sending").wait_for()


ENGLISH = {
    "yours": "Your e-mail",
    "theirs": "E-mail of who gets the images",
    "code": "Send me the code",
    "subject": "Your code for",
    "go": "Go on",
}


def items(folder: Path) -> tuple[list[Path], dict[str, bytes]]:
    """Write a folder, a ZIP, an ISO, an image and a letter; say what is in them."""
    images = {f"{n}": ct(51, 1, n, **WHO).part10() for n in range(1, 9)}
    (folder / "disc").mkdir()
    for n in ("1", "2", "3"):
        (folder / "disc" / f"IM{n}").write_bytes(images[n])
    (folder / "two.zip").write_bytes(zip_of({n: images[n] for n in ("4", "5")}))
    (folder / "three.iso").write_bytes(iso_of({f"IM{n}": images[n] for n in ("6", "7")}))
    (folder / "four.dcm").write_bytes(images["8"])
    (folder / "five.pdf").write_bytes(PDF)
    (folder / "six.dcm").write_bytes(ct(52).part10())
    names = ("two.zip", "three.iso", "four.dcm", "five.pdf", "six.dcm")
    return [folder / name for name in names], images


def typed(page: Page, site: Site, link: str, passcode: str) -> None:
    """Open a link, and type a passcode."""
    page.goto("about:blank")
    page.goto(f"{site.address.url}/g#{link}")
    page.get_by_label("Passcode").fill(passcode)
    page.get_by_role("button", name="Open", exact=True).click()


def sent(page: Page, site: Site, words: str) -> tuple[str, str]:
    """Press the last button; give the passcode that is shown and the link that is mailed."""
    page.get_by_role("button", name=words).click()
    passcode = page.locator(".shown-once").inner_text()
    inbox = page.context.new_page()
    link = secret(inbox, site, "Medical images for you", "/g")
    assert passcode not in inbox.content()
    inbox.close()
    return passcode, link


def on_phone(browser: Browser, **more: str) -> BrowserContext:
    return browser.new_context(viewport=PHONE, accept_downloads=True, **more)  # type: ignore[arg-type]  # options of a browser


def test_from_two_addresses_to_the_same_bytes_and_nothing_is_left(
    site: Site, browser: Browser, tmp_path: Path
) -> None:
    context = browser.new_context()
    page = context.new_page()
    begun(page, site, words=ENGLISH, looks=True)
    singles, images = items(tmp_path)
    page.locator("#folder").set_input_files(tmp_path / "disc")
    expect(page.locator("#how")).to_have_text("All sent. Files sent: 3")
    page.locator("#several").set_input_files(singles[:4])
    expect(page.locator("#how")).to_have_text("All sent. Files sent: 7")
    page.locator("#several").set_input_files(singles[4])
    expect(page.locator("#failed")).to_contain_text("at most 5 files, folders or ZIPs")
    page.get_by_text("1 examination, 8 images and reports, 1 document").wait_for()
    glanced(page, "exchange-files")
    passcode, link = sent(page, site, "Send to g…@practice.example")
    glanced(page, "exchange-sent")
    page.get_by_role("link", name="Was it opened? Look, or stop it").click()
    page.get_by_text("Nobody has opened it so far").wait_for()

    phone = on_phone(browser)
    theirs = phone.new_page()
    theirs.goto(f"{site.address.url}/g#{link}")
    assert theirs.evaluate("location.hash") == ""
    assert "Adams" not in theirs.content()
    glanced(theirs, "exchange-landing")
    theirs.set_viewport_size({"width": 360, "height": 740})
    typed(theirs, site, link, "AAAA-AAAA-AA")
    theirs.get_by_text("That does not open.").wait_for()
    typed(theirs, site, link, passcode)
    theirs.get_by_text("Adams, Ada Augusta").wait_for()
    glanced(theirs, "exchange-images")
    theirs.get_by_role("link", name="View CT of the chest").click()
    theirs.get_by_text("Image 1 of 8").wait_for()
    theirs.locator("[data-stage] img:not([data-first])").wait_for()
    theirs.set_viewport_size({"width": 360, "height": 740})
    theirs.screenshot(path=SCREENS / "exchange-view-phone.png")
    theirs.get_by_role("link", name="Back").click()
    with theirs.expect_download() as download:
        theirs.get_by_role("link", name="Everything as one ZIP file").click()
    download.value.save_as(tmp_path / "got.zip")
    with zipfile.ZipFile(tmp_path / "got.zip") as packed:
        got = {name: packed.read(name) for name in packed.namelist()}
    assert got.pop("DOCUMENTS/DOC00001.PDF") == PDF
    del got["DICOMDIR"]
    digests = sorted(hashlib.sha256(data).hexdigest() for data in got.values())
    assert digests == sorted(hashlib.sha256(data).hexdigest() for data in images.values())

    page.reload()
    page.get_by_text("It was opened.").wait_for()
    glanced(page, "exchange-status")
    with site.archive.database.transaction() as tx:  # two weeks go by
        tx.execute("UPDATE guest_exchange SET until_at = now()")
        tx.execute("UPDATE import_batch SET ends_at = now()")
    theirs.goto(f"{site.address.url}/g/images")
    theirs.get_by_text("This is over").wait_for()
    site.archive.imports.sweep()
    carried_out(site)
    assert list(site.archive.store.blob_ids()) == []
    assert list(site.archive.store.keys.ids()) == []
    page.reload()
    page.get_by_text("Its time is over.").wait_for()
    phone.close()
    context.close()


def test_ten_wrong_passcodes_lock_one_exchange_and_another_opens(
    site: Site, browser: Browser
) -> None:
    found = []
    for _ in range(2):
        session = parcels.proven(site.archive, "ben@example.org", "roe@practice.example")
        parcels.give(site.archive, session, "four.dcm", ct(53, **WHO).part10())
        passcode = parcels.sent(site.archive, session).passcode
        found.append((passcode, parcels.last(site.archive, "guest-images").secret))
    (passcode, link), (other_passcode, other_link) = found
    for n in range(9):
        with pytest.raises(NotAuthenticated):
            site.archive.imports.guests.recipients.open(link, "AAAA-AAAA-AA", f"192.0.2.{n}")
    page = browser.new_page()
    for wrong in ("AAAA-AAAA-AA", passcode):  # the tenth locks it for good, for the right one too
        typed(page, site, link, wrong)
        page.get_by_text("That does not open.").wait_for()
    typed(page, site, other_link, other_passcode)
    page.get_by_text("Adams, Ada Augusta").wait_for()
    mail(page, site, "A link was locked")
    page.close()


def test_who_speaks_german_is_sent_something_that_is_not_for_them(
    site: Site, browser: Browser, tmp_path: Path
) -> None:
    singles, _ = items(tmp_path)
    context = on_phone(browser, locale="de-DE")
    page = context.new_page()
    words = {
        "yours": "Ihre E-Mail-Adresse",
        "theirs": "E-Mail-Adresse, die die Bilder bekommt",
        "code": "Code zuschicken",
        "subject": "Ihr Code für",
        "go": "Weiter",
    }
    begun(page, site, words=words)
    page.locator("#several").set_input_files(singles[2])
    expect(page.locator("#how")).to_have_text("Alles gesendet. Dateien gesendet: 1")
    glanced(page, "exchange-files-german")
    page.get_by_role("button", name="An g…@practice.example senden").click()
    page.locator(".shown-once").wait_for()
    inbox = context.new_page()
    link = secret(inbox, site, "Medizinische Bilder für Sie", "/g")
    inbox.goto(f"{site.address.url}/g#{link}")
    inbox.get_by_text("Das bin ich nicht").click()
    inbox.get_by_role("button", name="Das ist nicht für mich").click()
    inbox.get_by_role("heading", name="Der Link ist gesperrt").wait_for()
    page.goto(f"{site.address.url}/send/status")
    page.get_by_text("dass der Link nicht für ihn ist").wait_for()
    context.close()

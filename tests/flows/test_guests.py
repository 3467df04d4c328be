"""Images go from one guest to another in real browsers: mailed code, five items, told passcode.

The whole way at a real `vna serve`, whose mails go to a relay; what else may happen in one process.
"""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.flows.axe import violations
from tests.flows.chromium import SCREENS
from tests.flows.post import Post, posting
from tests.flows.serving import READY_S, Serving, select_nothing
from tests.flows.test_imports import carried_out
from tests.flows.test_inbox import browser
from tests.flows.test_shares import pressed_twice
from tests.imports.conftest import PDF, iso_of, zip_of
from tests.web.conftest import Site, serving
from vna.app import at_work
from vna.archive import Archive
from vna.loading import load

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


def begun(page: Page, site: Site, *, words: dict[str, str]) -> None:
    """Type two addresses and the code that is mailed."""
    page.goto(f"{site.address.url}/send")
    page.get_by_label(words["yours"]).fill("ada.sender@example.org")
    page.get_by_label(words["theirs"]).fill("gray@practice.example")
    page.get_by_role("button", name=words["code"]).click()
    page.get_by_label("Code").wait_for()
    inbox = page.context.new_page()
    text = mail(inbox, site, words["subject"])
    inbox.close()
    code = next(word.strip(".") for word in text.split() if word.strip(".").isdigit())
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name=words["go"]).click()
    page.locator("#sending").wait_for()


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


def on_phone(browser: Browser, **more: str) -> BrowserContext:
    return browser.new_context(viewport=PHONE, accept_downloads=True, **more)  # type: ignore[arg-type]  # options of a browser


SENDER, RECIPIENT = "ada.sender@example.org", "gray@practice.example"


@pytest.fixture
def post() -> Iterator[Post]:
    with posting() as found:
        yield found


@pytest.fixture
def server(post: Post) -> Iterator[Serving]:
    with post.served(VNA_GUESTS_ENABLED="true") as found:
        yield found


def test_from_two_addresses_to_the_same_bytes_and_nothing_is_left(
    server: Serving, post: Post, browser: Browser, tmp_path: Path
) -> None:
    context = browser.new_context()
    page = context.new_page()
    singles, images = items(tmp_path)
    proven(page, server, post)
    page.locator("#sending").wait_for()  # its script listens by then
    page.locator("#folder").set_input_files(tmp_path / "disc")
    expect(page.locator("#how")).to_have_text("All sent. Files sent: 3")
    page.locator("#sending").wait_for()  # its script listens by then
    page.locator("#several").set_input_files(singles[:4])
    expect(page.locator("#how")).to_have_text("All sent. Files sent: 7")
    page.locator("#sending").wait_for()  # its script listens by then
    page.locator("#several").set_input_files(singles[4])
    expect(page.locator("#failed")).to_contain_text("at most 5 files, folders or ZIPs")
    page.get_by_text("1 examination, 8 images and reports, 1 document").wait_for()
    glanced(page, "exchange-files")
    passcode, link = handed_over(page, post, looks=True)
    page.get_by_role("link", name="Was it opened? Look, or stop it").click()
    page.get_by_text("Nobody has opened it so far").wait_for()

    phone = on_phone(browser)
    theirs = phone.new_page()
    theirs.goto(link)
    assert theirs.evaluate("location.hash") == ""
    assert "Adams" not in theirs.content()
    glanced(theirs, "exchange-landing")
    theirs.set_viewport_size({"width": 360, "height": 740})
    tried(theirs, link, "AAAA-AAAA-AA")
    theirs.get_by_text("That does not open.").wait_for()
    glanced(theirs, "exchange-wrong")
    tried(theirs, link, passcode)
    theirs.get_by_text("Adams, Ada Augusta").wait_for()
    glanced(theirs, "exchange-images")
    theirs.get_by_role("link", name="View CT of the chest").click()
    theirs.get_by_text("Image 1 of 8").wait_for()
    theirs.locator("[data-stage] canvas").wait_for()
    glanced(theirs, "exchange-view")
    theirs.get_by_role("link", name="Back").click()
    with theirs.expect_download() as download:
        theirs.get_by_role("link", name="Everything as one ZIP file").click()
    came_through(Path(download.value.path()), images)
    page.reload()
    page.get_by_text("It was opened.").wait_for()
    glanced(page, "exchange-status")

    # another one, of whose passcode nobody is sure: the tenth wrong one locks it for good
    other = context.new_page()
    proven(other, server, post)
    other.locator("#sending").wait_for()  # its script listens by then
    other.locator("#several").set_input_files(singles[2])
    expect(other.locator("#how")).to_have_text("All sent. Files sent: 1")
    right, locked = handed_over(other, post)
    assert locked != link
    for wrong in [*["AAAA-AAAA-AA"] * 10, right]:
        tried(theirs, locked, wrong)
        theirs.get_by_text("That does not open.").wait_for()
    post.mail(SENDER, subject="A link was locked")
    tried(theirs, link, passcode)  # the first one opens as before
    theirs.get_by_text("Adams, Ada Augusta").wait_for()

    two_weeks_go_by(server)
    theirs.goto(f"{url(server)}/g/images")
    theirs.get_by_text("This is over").wait_for()
    glanced(theirs, "exchange-over")
    page.reload()
    page.get_by_text("Its time is over.").wait_for()
    until_nothing_is_left(server)
    for canary in (b"Adams", b"CT of the chest", passcode.encode(), right.encode()):
        assert canary not in post.everything()
    phone.close()
    context.close()


def url(server: Serving) -> str:
    return f"http://127.0.0.1:{server.http}"


def proven(page: Page, server: Serving, post: Post) -> None:
    """Type two addresses and the code that is mailed; look at the pages the first time."""
    before = len(post.relay.mails)
    page.goto(f"{url(server)}/send")
    page.get_by_label("Your e-mail").fill(SENDER)
    page.get_by_label("E-mail of who gets the images").fill(RECIPIENT)
    if not before:
        glanced(page, "exchange-start")
    page.get_by_role("button", name="Send me the code").click()
    page.get_by_label("Code").wait_for()
    post.come(before + 1)
    if not before:
        page.get_by_label("Code").fill("x")
        page.get_by_role("button", name="Go on").click()
        page.get_by_text("4 ").first.wait_for()
        glanced(page, "exchange-code")
    page.get_by_label("Code").fill(post.code(SENDER))
    page.get_by_role("button", name="Go on").click()
    page.locator("#sending").wait_for()


def handed_over(page: Page, post: Post, *, looks: bool = False) -> tuple[str, str]:
    """Press the last button; give the passcode that is shown and the link that is mailed."""
    before = len(post.relay.mails)
    pressed_twice(page, "Send to g…@practice.example")
    passcode = page.locator(".shown-once").inner_text()
    if looks:
        glanced(page, "exchange-sent")
    post.come(before + 2)  # the link to who gets the images, a receipt to who sends them
    return passcode, post.link(RECIPIENT, subject="Medical images for you")


def tried(page: Page, link: str, passcode: str) -> None:
    """Open a link, and type a passcode."""
    page.goto("about:blank")
    page.goto(link)
    page.get_by_label("Passcode").fill(passcode)
    page.get_by_role("button", name="Open", exact=True).click()


def came_through(packed: Path, images: dict[str, bytes]) -> None:
    """Look whether a ZIP holds what was sent, bit for bit."""
    with zipfile.ZipFile(packed) as found:
        got = {name: found.read(name) for name in found.namelist()}
    assert got.pop("DOCUMENTS/DOC00001.PDF") == PDF
    del got["DICOMDIR"]
    digests = sorted(hashlib.sha256(data).hexdigest() for data in got.values())
    assert digests == sorted(hashlib.sha256(data).hexdigest() for data in images.values())


def two_weeks_go_by(server: Serving) -> None:
    """Stop the archive, and start it when everything of guests is over."""
    server.stop()
    with held_open(server) as archive, archive.database.transaction() as tx:
        tx.execute("UPDATE guest_exchange SET until_at = now()")
        tx.execute("UPDATE import_batch SET ends_at = now()")
    server.start()


def until_nothing_is_left(server: Serving) -> None:
    """Wait until there is neither an object of guests nor a key to one."""
    deadline = time.monotonic() + READY_S
    with held_open(server) as archive:
        while list(archive.store.blob_ids()) or list(archive.store.keys.ids()):
            assert time.monotonic() < deadline
            select_nothing(0.1)


@contextmanager
def held_open(server: Serving) -> Iterator[Archive]:
    """Open the archive of a server as a command does."""
    settings = load(environ={}, flags={"data": str(server.data), "dev": True})
    with at_work(settings, "look") as archive:
        yield archive


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
    page.locator("#sending").wait_for()  # its script listens by then
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

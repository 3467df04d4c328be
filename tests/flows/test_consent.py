"""A patient is asked in the waiting room; the images come by C-STORE; the link comes by itself.

Real server, real association, real browser: at the desk on a wide screen, then on a telephone.
Screenshots are kept in build/screens; axe finds nothing on any of the pages.
"""

from __future__ import annotations

import io
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from playwright.sync_api import Browser, Page
from pynetdicom import AE

from tests.factories import ct
from tests.flows.chromium import SCREENS, chromium
from tests.flows.post import Post, posting
from tests.flows.serving import Serving, select_nothing
from tests.flows.test_guests import glanced
from tests.flows.test_inbox import looked_at

HERS = {
    "00100010": "Adams^Ada", "00100020": "P-9", "00100030": "19700102", "00080050": "A-77",
    "00081030": "CT of the chest",
}  # fmt: skip
CT = "1.2.840.10008.5.1.4.1.1.2"
PHONE = {"width": 360, "height": 740}
IN_TIME_S = 60.0
SLICES = 9


@pytest.fixture
def post() -> Iterator[Post]:
    with posting() as found:
        yield found


@pytest.fixture
def server(reachable_tmp: Path, post: Post) -> Iterator[Serving]:
    folder = Path(tempfile.mkdtemp(dir=reachable_tmp))
    folder.chmod(0o755)
    serving = post.serving(folder / "data", VNA_SHARING_SETTLE_S="1")
    (folder / "data").mkdir()
    serving.start()
    yield serving
    serving.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def test_the_waiting_room_the_scanner_and_the_telephone(
    server: Serving, post: Post, browser: Browser
) -> None:
    root = f"http://127.0.0.1:{server.http}"
    desk, phone = browser.new_context(), browser.new_context(viewport=PHONE)
    friend = browser.new_context(viewport=PHONE)
    begin_at_the_desk(desk.new_page(), root)
    answer_on_the_tablet(desk.pages[0], root)
    scan(server)
    link = post.link("ada@example.org", subject="Medizinische Bilder für Sie")
    open_on_the_telephone(post, phone.new_page(), root, link)
    shown_on_the_board(desk.pages[0], root)
    tried_and_printed(desk.pages[0], root)
    given_on(post, phone.pages[0], friend.new_page(), root)
    assert b"Adams" not in post.everything()
    phone.pages[0].goto(f"{root}/s/view/{ct(1).study}")
    frame = first_frame(phone.pages[0], root)
    assert phone.request.get(frame).status == 200
    withdraw(desk.pages[0], root)
    deadline = time.monotonic() + IN_TIME_S
    while phone.request.get(f"{frame}&quality=71").status == 200:
        assert time.monotonic() < deadline
        select_nothing(0.1)  # who comes is believed for half a second
    assert phone.request.get(frame).status == 401  # they are nobody any more
    for _ in range(SLICES - 1):  # past what was fetched ahead
        phone.pages[0].get_by_role("link", name="Next image").click()
    phone.pages[0].get_by_text("This image could not be loaded").wait_for()
    phone.pages[0].screenshot(path=SCREENS / "consent-withdrawn-phone.png")
    friend.pages[0].reload()  # what was given on ends with what it came from
    friend.pages[0].get_by_role("heading", name="This page is closed").wait_for()
    for one in (desk, phone, friend):
        one.close()


def test_a_no_sends_nothing(server: Serving, post: Post, browser: Browser) -> None:
    root = f"http://127.0.0.1:{server.http}"
    context = browser.new_context(viewport=PHONE)
    page = context.new_page()
    begin_at_the_desk(page, root, is_looked_at=False)
    page.get_by_role("link", name="English").click()
    page.get_by_label("No", exact=True).check()
    assert not page.get_by_label("Your e-mail address").is_visible()
    page.get_by_label("Your name").fill("Ada Adams")
    page.get_by_role("button", name="Sign and send").click()
    page.get_by_role("heading", name="Thank you").wait_for()
    page.get_by_role("button", name="For staff").click()
    scan(server)
    page.goto(f"{root}/study/{ct(1).study}/share")
    page.get_by_text("The patient said no").wait_for()
    page.goto(f"{root}/shares?tab=automatic")
    page.get_by_text("Nothing goes out by itself").wait_for()
    assert post.everything() == b""
    context.close()


def test_a_tablet_nobody_touches_begins_anew(server: Serving, browser: Browser) -> None:
    root = f"http://127.0.0.1:{server.http}"
    context = browser.new_context(viewport=PHONE)
    page = context.new_page()
    page.clock.install()
    begin_at_the_desk(page, root, is_looked_at=False)
    with page.expect_navigation():  # else the time passes on the page before
        page.get_by_role("link", name="English").click()
    page.get_by_label("Your name").fill("Ada Adams")
    page.screenshot()  # a page that scrolled says so with its next frame, and then it was touched
    page.clock.run_for(41_000)
    page.get_by_role("button", name="I am still here").click()
    page.screenshot()
    page.clock.run_for(41_000)
    page.get_by_role("alertdialog").wait_for()
    page.clock.run_for(20_000)
    page.get_by_role("heading", name="A question about your images").wait_for()
    assert "Adams" not in page.content()
    for way_out in ("/", "/shares", "/consents", "/dev/inbox"):
        page.goto(root + way_out)
        assert page.url == f"{root}/kiosk"
    context.close()


def begin_at_the_desk(page: Page, root: str, *, is_looked_at: bool = True) -> None:
    page.goto(f"{root}/consents")
    for label, text in (
        ("Patient ID", "P-9"), ("Name", "Adams, Ada"), ("Date of birth", "1970-01-02"),
        ("Accession number", "A-77"), ("Examination, in plain words", "CT of the chest"),
    ):  # fmt: skip
        page.get_by_label(label, exact=label in ("Patient ID", "Name")).fill(text)
    if is_looked_at:
        looked_at(page, "consents-find")
    page.get_by_role("button", name="Go on").click()
    tablet = page.locator("form[action='/consents/kiosk']")
    tablet.get_by_label("Name", exact=True).check()
    tablet.get_by_label("Date of birth").check()
    if is_looked_at:
        looked_at(page, "consents")
    tablet.get_by_role("button", name="Begin on this tablet").click()
    page.get_by_role("heading", name="A question about your images").wait_for()


def answer_on_the_tablet(page: Page, root: str) -> None:
    looked_at(page, "kiosk")
    page.get_by_role("link", name="Deutsch").click()
    page.get_by_label("Ja").check()
    page.get_by_label("Ihre E-Mail-Adresse").fill("ada@example.org")
    page.get_by_label("Ihre Handynummer").fill("0170 123")
    page.get_by_label("Ihr Name").fill("Ada Adams")
    looked_at(page, "kiosk-form")
    page.get_by_role("button", name="Unterschreiben").click()
    page.get_by_text("Geben Sie Ihre Handynummer mit Landesvorwahl ein").wait_for()
    page.get_by_label("Ihre Handynummer").fill("+49 170 1234567")
    page.get_by_role("button", name="Unterschreiben").click()
    page.get_by_role("heading", name="Vielen Dank").wait_for()
    looked_at(page, "kiosk-thanks")
    page.goto(f"{root}/shares")
    assert page.url == f"{root}/kiosk"
    page.locator("footer button").click()
    page.wait_for_url(f"{root}/")


def scan(server: Serving) -> None:
    """Send the examination as a modality does."""
    ae = AE(ae_title="MODALITY")
    ae.add_requested_context(CT)
    association = ae.associate("127.0.0.1", server.dicom, ae_title="VNA")
    assert association.is_established
    for number in range(1, SLICES + 1):
        made = ct(1, 1, number, values=HERS, rows=64, columns=64)
        dataset = pydicom.dcmread(io.BytesIO(made.part10()))
        assert association.send_c_store(dataset).Status == 0
    association.release()


def open_on_the_telephone(post: Post, page: Page, root: str, link: str) -> None:
    """Open the link, prove, look."""
    page.goto(link)
    page.get_by_role("button", name="Open").click()
    page.get_by_label("Code").wait_for()
    glanced(page, "consent-code")
    page.get_by_label("Code").fill(post.code("+49 170 1234567"))
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("heading", name="Images of Adams, Ada").wait_for()
    glanced(page, "consent-home")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # a TypedDict of these keys
    page.get_by_role("link", name="View").first.click()
    first_frame(page, root)
    page.screenshot(path=SCREENS / "consent-view-phone.png")


def first_frame(page: Page, root: str) -> str:
    """Wait until a viewer shows its first image; give the address of that."""
    image = page.locator("[data-stage] canvas")
    image.wait_for()
    source = image.get_attribute("data-shown")
    assert source is not None
    return root + source


def shown_on_the_board(page: Page, root: str) -> None:
    page.goto(f"{root}/shares?tab=automatic")
    page.get_by_text("Shared").first.wait_for()
    looked_at(page, "shares-automatic")
    page.goto(f"{root}/consents/texts")
    looked_at(page, "consent-texts")


def tried_and_printed(page: Page, root: str) -> None:
    """Try the patient's link as a stranger; hand out another one on paper, passcode apart."""
    page.goto(f"{root}/shares")
    page.locator("tbody th a").first.click()
    page.get_by_role("button", name="Test it as a stranger").click()
    page.get_by_role("heading", name=re.compile("^It opens: ")).wait_for()
    page.goto(f"{root}/study/{ct(1).study}/share")
    for compared in ("Name Adams, Ada", "Date of birth 1970-01-02"):
        page.get_by_label(compared).check()
    for box in ("Also a passcode", "Also on paper"):
        page.get_by_label(box).check()
    basis = page.get_by_label("It rests on")
    basis.select_option(index=0)
    assert basis.input_value().startswith("consent:")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("heading", name="Shown once").wait_for()
    for button in ("Print the link", "Print the passcode"):
        with page.expect_download() as sheet:
            page.get_by_role("button", name=button).click()
        printed = Path(sheet.value.path()).read_bytes()
        assert printed.startswith(b"%PDF-")
        assert b"Adams" not in printed


def given_on(post: Post, page: Page, friend: Page, root: str) -> None:
    """Give the images on, protected in two steps; whom they are for opens them."""
    page.goto(f"{root}/s/forward")
    page.get_by_label("Name").fill("Dr. Gray")
    page.get_by_label("E-mail for the link").fill("gray@example.org")
    page.get_by_label("A code to their phone").check()
    page.get_by_label("Phone, with country code").fill("+44 7700 900123")
    glanced(page, "consent-forward")
    page.get_by_role("button", name="Share on", exact=True).click()
    page.get_by_text("on its way to g…@example.org").wait_for()
    friend.goto(post.link("gray@example.org"))
    friend.get_by_role("button", name="Open").click()
    friend.get_by_text("A code is on its way").wait_for()
    friend.get_by_label("Code").fill(post.code("+44 7700 900123"))
    friend.get_by_role("button", name="Go on").click()
    friend.get_by_role("heading", name="Images of Adams, Ada").wait_for()
    glanced(friend, "consent-friend")


def withdraw(page: Page, root: str) -> None:
    page.goto(f"{root}/study/{ct(1).study}/consents")
    looked_at(page, "consents-study")
    page.get_by_role("button", name="Withdraw").click()
    page.get_by_text("It is withdrawn").wait_for()

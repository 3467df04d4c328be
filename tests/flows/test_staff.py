"""Staff at a desk, in a real browser at a real `vna serve`: from the study list to a sent share.

Real C-STORE in, a real SMTP relay; every page of staff on every screen, and in German.

Screenshots are kept in build/screens for people to look at.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from playwright.sync_api import Browser, Page
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage  # type: ignore[attr-defined]  # made at import

from tests.delivery.relay import Mailed, Relay, authority, relaying
from tests.flows.axe import all_there, violations
from tests.flows.serving import READY_S, Serving, select_nothing
from tests.flows.test_guests import glanced
from tests.flows.test_inbox import browser, looked_at
from tests.flows.test_viewer import DESKTOP, Told

__all__ = ["browser"]

NAME = "Canary^Clara"
SHOWN = "Canary, Clara"
WAIT_MS = 60_000


@dataclass(slots=True)
class Desk:
    """A server with studies in it, and the relay its mails go to."""

    serving: Serving
    relay: Relay
    studies: list[pydicom.Dataset]

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.serving.http}"

    def uid(self, number: int) -> str:
        return str(self.studies[number].StudyInstanceUID)


def images(study: int, count: int) -> list[pydicom.Dataset]:
    """Real images of a study of our own patient."""
    path = get_testdata_file("CT_small.dcm")
    assert isinstance(path, str)
    made = []
    for number in range(1, count + 1):
        ds = pydicom.dcmread(path)
        ds.PatientName, ds.PatientID, ds.PatientBirthDate = NAME, "C-1", "19700102"
        ds.StudyDescription, ds.SeriesDescription = f"Chest {study}", "Lung"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = f"2.25.81.{study}", f"2.25.81.{study}.1"
        ds.SOPInstanceUID = f"2.25.81.{study}.1.{number}"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.InstanceNumber = number
        made.append(ds)
    return made


def sent(serving: Serving, datasets: list[pydicom.Dataset]) -> None:
    """C-STORE images, as a modality does."""
    scu = AE()
    scu.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = scu.associate("127.0.0.1", serving.dicom, ae_title="VNA")
    assert association.is_established
    for ds in datasets:
        assert association.send_c_store(ds).Status == 0
    association.release()


@contextmanager
def desk_in(folder: Path) -> Iterator[Desk]:
    ca, trusted = authority(folder)
    with relaying(ca) as relay:
        environment = {
            "VNA_BLOBS_FREE_BYTES": "0",
            "VNA_MAIL_HOST": "127.0.0.1",
            "VNA_MAIL_PORT": str(relay.port),
            "VNA_MAIL_SENDER": "images@example.org",
            "VNA_MAIL_CA": str(trusted),
        }
        serving = Serving(folder / "data", environment)
        try:
            serving.start()
            studies = [images(1, 3), images(2, 1)]
            for one in studies:
                sent(serving, one)
            yield Desk(serving, relay, [one[0] for one in studies])
        finally:
            serving.stop()


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    folder = Path(tempfile.mkdtemp(prefix="vna-staff-"))
    folder.chmod(0o755)
    with desk_in(folder) as found:
        yield found
    shutil.rmtree(folder)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    found = browser.new_page(viewport=DESKTOP)  # type: ignore[arg-type]  # a TypedDict of these keys
    found.set_default_timeout(WAIT_MS)
    yield found
    found.close()


_COUNTED = """
addEventListener('click', () => {
  sessionStorage.clicks = Number(sessionStorage.clicks || 0) + 1;
}, true);
"""


def tab_to(page: Page, name: str) -> None:
    """Go on by the keyboard until the field, or the button, of this name has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name || document.activeElement.innerText") == name:
            return
    raise AssertionError(f"{name} is not reached")


def awaited(desk: Desk, count: int) -> list[Mailed]:
    """Wait until the relay has taken that many mails."""
    deadline = time.monotonic() + READY_S
    while len(desk.relay.mails) < count:
        assert time.monotonic() < deadline, len(desk.relay.mails)
        select_nothing(0.05)  # the server is another process: its mails are the event
    return list(desk.relay.mails)


def test_from_the_list_to_a_sent_share_in_five_clicks(desk: Desk, page: Page) -> None:
    told = Told()
    told.watch(page)
    page.add_init_script(_COUNTED)
    before = len(desk.relay.mails)
    page.goto(desk.root)
    begun = time.monotonic()
    page.locator(f'a[href="/study/{desk.uid(0)}/share"]').click()
    page.get_by_label(f"Name {SHOWN}").check()
    page.get_by_label("Date of birth 1970-01-02").check()
    tab_to(page, "to")
    page.keyboard.type("kim@example.org")
    page.keyboard.press("Tab")
    page.keyboard.type("+44 20 7946 0018")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("heading", name=re.compile("^Shared: ")).wait_for()
    assert time.monotonic() - begun < 60
    assert 0 < int(page.evaluate("sessionStorage.clicks")) <= 5
    assert "k…@example.org" in page.content()
    mailed = awaited(desk, before + 1)[-1]
    assert mailed.recipients == ["kim@example.org"]
    assert re.search(r"/s#[\w-]{43}", mailed.part("plain"))
    for secret in (b"Canary", b"Clara", b"Chest", b"C-1"):
        assert secret not in mailed.content
    assert told.errors == []


def test_a_share_is_made_by_the_keyboard_alone(desk: Desk, page: Page) -> None:
    page.goto(desk.root)
    page.locator(f'a[href="/study/{desk.uid(0)}/share"]').focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Share “Chest 1”").wait_for()
    for field in ("confirmed.name", "confirmed.birth-date"):
        tab_to(page, field)
        page.keyboard.press("Space")
    tab_to(page, "to")
    page.keyboard.type("lee@example.org")
    tab_to(page, "passcode")
    page.keyboard.press("Space")
    tab_to(page, "Send")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=re.compile("^Shared: ")).wait_for()
    assert page.locator(".shown-once").count() == 1


@pytest.mark.parametrize(
    ("path", "form", "text"),
    [
        ("/study/{study}", "form[action$='/disc']", "Disc"),
        ("/imports", "form[action='/imports']", "Import"),
        ("/study/{study}/correct", "form:has([name='AccessionNumber'])", "Correct"),
    ],
)
def test_what_is_pressed_twice_on_a_slow_line_is_done_once(
    desk: Desk, page: Page, path: str, form: str, text: str
) -> None:
    """A second disc held a patient's images; a second correction said that nothing was changed."""
    told = Told()
    told.watch(page)
    posts: list[str] = []
    page.on("request", lambda one: posts.append(one.url) if one.method == "POST" else None)
    page.goto(desk.root + path.format(study=desk.uid(0)))
    for name in ("AccessionNumber", "reason"):
        for field in page.locator(f"{form} [name='{name}']").all():
            field.fill("A-1")
    button = page.locator(f"{form} button")
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    assert box is not None
    slow = {"offline": False, "latency": 1000, "downloadThroughput": -1, "uploadThroughput": -1}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    for _ in range(2):
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, delay=50)
        select_nothing(0.2)  # a person's second press
    page.wait_for_load_state("networkidle")
    page.get_by_role("heading", name=re.compile(text)).first.wait_for()
    assert len(posts) == 1
    assert page.locator("[role=alert]").count() == 0
    assert told.errors == []


def test_every_page_of_staff_is_for_everybody(desk: Desk, page: Page) -> None:
    """No page scrolls sideways from 320 px up, and axe finds nothing, in both colour schemes."""
    study = f"{desk.root}/study/{desk.uid(1)}"

    def look(name: str) -> None:
        all_there(page)
        looked_at(page, f"staff-{name}")
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        assert violations(page) == [], name
        page.emulate_media(color_scheme="light")

    page.goto(desk.root)
    look("studies")
    page.goto(f"{study}/share")
    look("share-new")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("alert").wait_for()
    look("share-refused")
    page.get_by_label(f"Name {SHOWN}").check()
    page.get_by_label("Date of birth 1970-01-02").check()
    page.get_by_label("The link goes to").fill("kim@example.org")
    page.get_by_label("Also a passcode").check()
    page.get_by_label("Also on paper").check()
    page.get_by_role("button", name="Send").click()
    page.get_by_role("heading", name=re.compile("^Shared: ")).wait_for()
    look("share-made")
    with page.expect_download() as sheet:
        page.get_by_role("button", name="Print the link").click()
    assert sheet.value.suggested_filename.endswith("-link.pdf")
    page.get_by_role("button", name="Test it as a stranger").click()
    page.get_by_role("heading", name=re.compile("^It opens: ")).wait_for()
    look("share-tested")
    page.get_by_role("link", name="To the share").click()
    look("share")
    for tab in ("today", "failed", "ended", "figures"):
        page.goto(f"{desk.root}/shares?tab={tab}")
        look(f"shares-{tab}")
    page.goto(study)
    page.get_by_role("button", name="Make a disc").click()
    page.get_by_role("link", name="Download ISO").wait_for()
    look("disc")
    page.goto(f"{desk.root}/discs")
    look("discs")
    page.goto(f"{study}/consents")
    page.get_by_text("Write down what was said").click()
    form = page.locator("form[action='/consents/record']")
    form.get_by_label("Yes").check()
    form.get_by_label("Name under the text").fill("Clara")
    for box in form.locator("[name^='confirmed.']").all()[:2]:
        box.check()
    form.get_by_role("button", name="Record").click()
    page.get_by_role("button", name="Withdraw").wait_for()
    look("consents")
    page.goto(study)
    look("study")
    page.get_by_role("link", name="Who opened it").click()
    look("opened")


def test_pages_of_staff_are_there_in_german(desk: Desk, browser: Browser) -> None:
    context = browser.new_context(locale="de-DE")
    page = context.new_page()
    study = f"/study/{desk.uid(1)}"
    for path, heading, name in (
        ("/", "Studien", "studies"),
        (study, "Chest 2", "study"),
        (f"{study}/share", "„Chest 2“ freigeben", "share-new"),
        ("/shares", "Freigaben", "shares"),
        ("/requests/patients", "Anfragen", "requests"),
        (f"{study}/consents", "Einwilligungen", "consents"),
        (f"{study}/correct", "„Chest 2“ berichtigen", "correct"),
        ("/imports", "Importe", "imports"),
        ("/rules", "Regeln", "rules"),
    ):
        page.goto(desk.root + path)
        page.get_by_role("heading", name=heading, level=1).wait_for()
        assert page.locator("html").get_attribute("lang") == "de"
        glanced(page, f"staff-german-{name}")
    context.close()

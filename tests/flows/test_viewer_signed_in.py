"""The advanced viewer as staff use it: over TLS, without `--dev`, by a session that can end.

Screenshots are kept in build/screens for people to look at.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pyotp
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response
from pydicom.data import get_testdata_file

from tests import prepared
from tests.cli.serving import Serving, serving
from tests.flows.chromium import SCREENS
from tests.flows.test_sign_in import PASSPHRASE, link, root, vna
from tests.flows.test_viewer import DESKTOP, DRAWN_MS, HAS_DRAWN, Told, browser

__all__ = ["browser"]

SLICES = 6


@pytest.fixture(scope="module")
def study(served: Serving) -> str:
    """A series of some slices in an archive; its Study Instance UID."""
    name = get_testdata_file("CT_small.dcm")
    assert name is not None
    folder = served.data.parent / "slices"
    folder.mkdir()
    ds = pydicom.dcmread(name)
    for number in range(1, SLICES + 1):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"2.25.815.{number}"
        ds.InstanceNumber = number
        ds.ImagePositionPatient = [*ds.ImagePositionPatient[:2], 2.0 * number]
        ds.SliceLocation = 2.0 * number
        ds.save_as(folder / f"{number}.dcm")
    vna("import", str(folder), "--data", str(served.data))
    return str(ds.StudyInstanceUID)


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    """An archive with TLS, with the viewer, that knows nobody yet."""
    folder = Path(tempfile.mkdtemp(prefix="vna-viewer-"))
    folder.chmod(0o755)
    prepared.lay(folder / "data")
    vna("init", "--data", str(folder / "data"))
    prepared.lay_viewer(folder / "data")
    with serving(folder / "data", dev=False) as server:
        yield server
    shutil.rmtree(folder)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    # our certificate is our own: who signs in compares its fingerprint
    found = browser.new_context(viewport=DESKTOP, ignore_https_errors=True)  # type: ignore[arg-type]  # a TypedDict of the same keys
    yield found
    found.close()


def enrol(page: Page, served: Serving) -> None:
    """Come in as a radiologist, by passphrase and app."""
    said = vna("user", "add", "ada", "--role", "radiologist", "--data", str(served.data))
    page.goto(link(said, served))
    page.get_by_role("button", name="Begin").click()
    page.get_by_label("Passphrase").fill(PASSPHRASE)
    page.get_by_label("Once more").fill(PASSPHRASE)
    page.get_by_role("button", name="Go on").click()
    app = pyotp.TOTP(page.locator("code.secret").inner_text().replace(" ", ""))
    page.get_by_label("Code").fill(app.now())
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("link", name="I have them").click()
    page.get_by_role("heading", name="Studies").wait_for()


def test_a_study_is_read_in_the_viewer_until_its_reader_signs_out(
    served: Serving, context: BrowserContext, study: str
) -> None:
    told, frames, kept = Told(), list[str](), set[tuple[str | None, str | None]]()
    page = context.new_page()
    told.watch(page)
    page.on("request", lambda one: frames.append(one.url) if "/frames/" in one.url else None)
    page.on("response", lambda one: kept.add(said_of(one)) if "/dicom-web/" in one.url else None)
    enrol(page, served)
    page.locator(f'a[href="/viewer/viewer?StudyInstanceUIDs={study}"]').first.click()
    try:
        page.wait_for_function(HAS_DRAWN, timeout=DRAWN_MS)
        scroll(page, range(2, SLICES + 1), 100)
        seen = len(frames)
        scroll(page, range(SLICES - 1, 0, -1), -100)
    finally:
        page.screenshot(path=SCREENS / "viewer-signed-in.png")
    # nothing is kept by the browser, and nothing is asked for twice: the viewer holds it itself
    assert (seen, len(frames), len(set(frames))) == (SLICES, SLICES, SLICES)
    assert kept == {("no-store", None)}
    assert told.errors == []

    other = context.new_page()
    other.goto(root(served))
    other.get_by_role("button", name="Sign out").click()
    other.get_by_role("heading", name="Sign in").wait_for()
    for path in ("/dicom-web/studies", frames[0].removeprefix(root(served))):
        asked = "path => fetch(path, {credentials: 'include'}).then(answer => answer.status)"
        page.wait_for_function(f"async path => (await ({asked})(path)) === 401", arg=path)
    page.reload()
    page.get_by_role("heading", name="Sign in").wait_for()


def said_of(answer: Response) -> tuple[str | None, str | None]:
    """What an answer says of being kept, and what credential was sent besides the cookie."""
    return answer.headers.get("cache-control"), answer.request.headers.get("authorization")


def scroll(page: Page, places: range, by: int) -> None:
    """Turn the wheel over the images, one by one, until each is shown."""
    page.locator(".cornerstone-canvas").first.hover()
    for place in places:
        page.mouse.wheel(0, by)
        page.get_by_text(f"({place}/{SLICES})").first.wait_for(timeout=DRAWN_MS)

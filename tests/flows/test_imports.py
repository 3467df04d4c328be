"""The import desk in a real browser: a disc's folder is chosen, cut off, sent on, confirmed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.conftest import TestPostgres
from tests.factories import broken, ct
from tests.flows.test_inbox import browser, looked_at
from tests.imports.conftest import PDF, iso_of
from tests.jobs.conftest import worker_of
from tests.web.conftest import Site, serving

__all__ = ["browser"]

WHO = {"patient_name": "Adams^Ada Augusta", "values": {"StudyDescription": "CT of the chest"}}
OTHER = {"patient_name": "Roe^Richard", "patient_id": "P-0002"}


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site")) as site:
        yield site


def disc(folder: Path, *, study: int, count: int = 6) -> Path:
    """Write a disc of one patient, with what discs have besides."""
    (folder / "DICOM").mkdir(parents=True)
    for n in range(1, count + 1):
        (folder / "DICOM" / f"IM{n:04}").write_bytes(ct(study, 1, n, **WHO).part10())
    (folder / "DICOM" / "IM0099").write_bytes(broken("truncated", study=study, instance=99))
    (folder / "DICOM" / "IM0100").write_bytes(bytes(4096))
    (folder / "REPORT.PDF").write_bytes(PDF)
    (folder / "START.EXE").write_bytes(b"MZ" + bytes(3000))
    return folder


def begun(page: Page, site: Site, note: str) -> None:
    page.goto(f"{site.address.url}/imports")
    page.get_by_label("Where does it come from?").fill(note)
    page.get_by_role("button", name="Begin an import").click()
    page.get_by_role("heading", name="Import ").wait_for()


def carried_out(site: Site) -> None:
    worker = worker_of(site.archive)
    while worker.do_one():
        pass


def test_a_disc_is_sent_cut_off_sent_on_and_filed(
    site: Site, browser: Browser, tmp_path: Path
) -> None:
    page = browser.new_page()
    page.goto(f"{site.address.url}/imports")
    looked_at(page, "imports-empty")
    begun(page, site, "Hospital of another town, a disc")
    looked_at(page, "import-begun")
    folder = disc(tmp_path / "disc", study=1)
    sent: list[str] = []

    def cut_off(route: Route) -> None:  # after four files the network is gone
        sent.append(route.request.url)
        if len(sent) > 4:
            route.abort()
        else:
            route.continue_()

    page.route("**/file/*", cut_off)
    page.evaluate(
        "() => { window.setTimeout = (work) => queueMicrotask(work); }"
    )  # no waiting between tries
    page.locator("#sending").wait_for()  # its script listens by then
    page.locator("#folder").set_input_files(folder)
    expect(page.locator("#failed li")).to_have_count(6)
    expect(page.locator("#failed")).to_contain_text("choose the folder again to go on")
    page.unroute("**/file/*")
    here = page.url
    page.close()

    page = browser.new_page()
    page.goto(here)
    with page.expect_request("**/file/*"):
        page.locator("#sending").wait_for()  # its script listens by then
        page.locator("#folder").set_input_files(folder)
    expect(page.locator("#how")).to_have_text("All sent. Files sent: 6")
    page.reload()
    looked_at(page, "import-sent")
    page.get_by_role("button", name="That is all: go on").click()
    page.get_by_role("heading", name="Is this you, and are these your exams?").wait_for()
    looked_at(page, "import-confirm")
    page.get_by_label("Family name").fill("Smith")
    page.get_by_label("Date of birth").fill("1970-01-01")
    page.get_by_role("button", name="Confirm and file").click()
    page.get_by_text("The family name is not the one in the images").wait_for()
    page.get_by_label("Family name").fill("adams")
    page.get_by_role("button", name="Confirm and file").click()
    page.get_by_text("It is being filed.").wait_for()
    looked_at(page, "import-filing")
    carried_out(site)
    page.get_by_text("6 objects filed").wait_for()  # the page looks again by itself
    looked_at(page, "import-filed")
    page.get_by_role("link", name="Open").first.click()
    page.get_by_role("heading", name="CT of the chest").wait_for()
    page.close()


def test_two_patients_on_one_image_stop_it(site: Site, browser: Browser, tmp_path: Path) -> None:
    files = {f"IMG/IM{n:04}": ct(11, 1, n, **WHO).part10() for n in range(1, 4)}
    files |= {f"IMG/XX{n:04}": ct(12, 1, n, **OTHER).part10() for n in range(1, 3)}
    image = tmp_path / "disc.iso"
    image.write_bytes(iso_of(files))
    page = browser.new_page()
    begun(page, site, "a disc of two")
    page.locator("#sending").wait_for()  # its script listens by then
    page.locator("#several").set_input_files(image)
    expect(page.locator("#how")).to_have_text("All sent. Files sent: 1")
    page.get_by_role("button", name="That is all: go on").click()
    page.get_by_text("Stop. 2 persons are in this import.").wait_for()
    looked_at(page, "import-stopped")
    page.get_by_text("Reject this import").click()
    page.get_by_label("Why").fill("the discs of two patients were mixed up")
    page.get_by_role("button", name="Reject and destroy").click()
    page.get_by_text("It is being destroyed.").wait_for()
    carried_out(site)
    page.get_by_text("5 objects destroyed").wait_for()
    looked_at(page, "import-rejected")
    page.goto(f"{site.address.url}/imports")
    looked_at(page, "imports")
    page.close()


def test_without_scripts_a_form_takes_the_files(
    site: Site, browser: Browser, tmp_path: Path
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    begun(page, site, "no scripts here")
    file = tmp_path / "a.dcm"
    file.write_bytes(ct(21).part10())
    page.get_by_label("A ZIP, a disc image, or single files").set_input_files(file)
    page.get_by_role("button", name="Send").click()
    page.get_by_text("Doe, Jane").wait_for()
    context.close()


def test_images_are_asked_for_and_sent_on_a_phone(
    site: Site, browser: Browser, tmp_path: Path
) -> None:
    desk = browser.new_page()
    desk.goto(f"{site.address.url}/requests")
    looked_at(desk, "requests-empty")
    desk.get_by_label("Whom do you ask?").fill("Hospital of another town")
    desk.get_by_label("Their e-mail or mobile number").fill("radiology@example.org")
    desk.get_by_label("What do you need?").fill("CT of the chest, last winter")
    desk.get_by_role("button", name="Send the link").click()
    passcode = desk.locator(".shown-once").inner_text()
    looked_at(desk, "request-made")
    carried_out(site)
    desk.goto(f"{site.address.url}/dev/inbox")
    desk.get_by_role("link", name="Please send us medical images").click()
    href = desk.get_by_role("link", name="/u#").first.get_attribute("href") or ""

    phone = browser.new_context(locale="de-DE", viewport={"width": 360, "height": 740})
    page = phone.new_page()
    page.goto(f"{site.address.url}/u#{href.partition('#')[2]}")
    assert page.evaluate("location.hash") == ""
    looked_at(page, "upload-landing")
    page.set_viewport_size({"width": 360, "height": 740})
    page.get_by_label("Kennwort").fill("AAAA-AAAA-AA")
    page.get_by_role("button", name="Weiter").click()
    page.get_by_text("Das öffnet nicht.").wait_for()
    page.goto("about:blank")
    page.goto(f"{site.address.url}/u#{href.partition('#')[2]}")
    page.get_by_label("Kennwort").fill(passcode)
    page.get_by_role("button", name="Weiter").click()
    page.get_by_text("CT of the chest, last winter").wait_for()
    page.locator("#sending").wait_for()  # its script listens by then
    page.locator("#folder").set_input_files(disc(tmp_path / "disc", study=41, count=3))
    expect(page.locator("#how")).to_have_text("Alles gesendet. Dateien gesendet: 7")
    looked_at(page, "upload")
    page.get_by_role("button", name="Alles ist gesendet").click()
    page.get_by_text("Danke.").wait_for()
    looked_at(page, "upload-done")
    phone.close()

    desk.goto(f"{site.address.url}/requests")
    desk.get_by_text("The images are here").wait_for()
    looked_at(desk, "requests")
    desk.close()

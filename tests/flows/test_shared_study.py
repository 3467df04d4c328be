"""A study's whole way: C-STORE, a share, the messages, a stranger's phone, the files, bit for bit.

Against a real `vna serve`; mails go to a relay, short messages to a gateway.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pydicom
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.dimse.test_move_scp import storescp
from tests.flows.post import Post, posting
from tests.flows.serving import Serving, select_nothing
from tests.flows.test_shares import FIRST, PHONE, STUDY, browser, looked_at, phone
from tests.flows.test_viewer import Told
from tests.web.guests import coded
from vna.access.principal import developer
from vna.access.remotes import Remote
from vna.app import at_work
from vna.dicom.refs import UID, StudyRef
from vna.loading import load
from vna.sharing.values import Confirmed, Offer, Offered, Person, Purpose, Recipient

__all__ = ["browser", "phone"]


@pytest.fixture(scope="module")
def post() -> Iterator[Post]:
    with posting() as found:
        yield found


@pytest.fixture(scope="module")
def served(post: Post) -> Iterator[Serving]:
    """An archive to which a modality has sent a study by C-STORE."""
    with post.served() as serving:
        sent = serving.data.parent / "sent"
        sent.mkdir()
        for number, one in enumerate(STUDY):
            (sent / f"{number:04}.dcm").write_bytes(one.part10())
        subprocess.run(
            ["storescu", "-aec", "VNA", "+sd", "127.0.0.1", str(serving.dicom), str(sent)],
            check=True,
            timeout=60,
        )
        yield serving


def offer(served: Serving, address: str, number: str, organisation: str = "") -> Offered:
    """Share the study as an administrator at the shell does: a link by mail, a code by phone."""
    flags = {"data": str(served.data), "dev": True, "sharing.url": url(served)}
    with at_work(load(environ={}, flags=flags), "share") as archive:
        return archive.engines.sharing.offer(
            developer("clerk"),
            Offer(
                studies=frozenset({StudyRef(UID(FIRST.study))}),
                person=Person(
                    name="Doe, Jane",
                    birth_date=dt.date(1970, 1, 1),
                    confirmed=frozenset({Confirmed.NAME, Confirmed.BIRTH_DATE}),
                ),
                recipient=Recipient(name="Dr. Gray", organisation=organisation),
                purpose=Purpose.TREATMENT,
                until=dt.datetime.now(dt.UTC) + dt.timedelta(days=20),
                legal_basis="treatment",
                **coded(address, number),
            ),
        )


def shared(desk: Page, served: Serving, address: str, number: str) -> str:
    """Share the study at a desk; return the number of the share."""
    desk.goto(url(served))
    desk.locator(f'a[href="/study/{FIRST.study}/share"]').click()
    for compared in ("Name Doe, Jane", "Patient ID"):
        desk.get_by_label(compared).check()
    desk.get_by_label("Name", exact=True).fill("Dr. Gray")
    desk.get_by_label("The link goes to").fill(address)
    desk.get_by_label("The code goes to").fill(number)
    desk.get_by_role("button", name="Send").click()
    made = desk.get_by_role("heading", name=re.compile("^Shared: "))
    made.wait_for()
    return made.inner_text().partition(": ")[2]


def url(served: Serving) -> str:
    return f"http://127.0.0.1:{served.http}"


def hashed(file: bytes) -> str:
    """Hash the data set of a file: what stands before it is written anew (PS3.10 7.1)."""
    meta = pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True).file_meta
    return hashlib.sha256(file[144 + meta.FileMetaInformationGroupLength :]).hexdigest()


def test_a_study_reaches_a_strangers_phone_and_comes_out_as_it_came_in(
    served: Serving, post: Post, browser: Browser, phone: BrowserContext
) -> None:
    told = Told()
    desk = browser.new_page()
    number = shared(desk, served, "gray@example.org", "+44 7700 900123")
    link = post.link("gray@example.org")

    page = phone.new_page()
    told.watch(page)
    page.goto(link)
    looked_at(page, "journey-landing")
    page.get_by_role("button", name="Open").click()
    page.get_by_text("A code is on its way to the phone …23.").wait_for()
    looked_at(page, "journey-code")
    page.get_by_label("Code").fill(post.code("+44 7700 900123"))
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("heading", name="Images of Doe, Jane").wait_for()
    assert number in page.locator("footer").inner_text()
    looked_at(page, "journey-home")
    page.get_by_role("link", name="View").click()
    page.locator("[data-stage] canvas").wait_for()
    for place in range(2, len(STUDY) + 1):
        page.get_by_role("link", name="Next image").click()
        page.wait_for_function(
            "alt => document.querySelector('[data-stage] canvas').ariaLabel.includes(alt)",
            arg=f"Image {place} of",
        )
    looked_at(page, "journey-viewer")
    page.get_by_role("link", name="Back").click()
    page.get_by_role("link", name="Download").first.click()
    looked_at(page, "journey-download")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Only pictures (JPEG)").click()
    with zipfile.ZipFile(downloading.value.path()) as pictures:
        assert sum(name.endswith(".JPG") for name in pictures.namelist()) == len(STUDY)
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Everything as one ZIP file").click()
    with zipfile.ZipFile(downloading.value.path()) as archive:
        files = [archive.read(name) for name in archive.namelist() if "DICOMDIR" not in name]
        readable = [file for file in files if file[128:132] == b"DICM"]
    assert {hashed(file) for file in readable} == {hashed(one.part10()) for one in STUDY}
    assert len(readable) == len(STUDY)
    page.get_by_role("button", name="Download with a passphrase").click()
    looked_at(page, "journey-sealed")
    passphrase = page.locator(".shown-once").inner_text()
    assert passphrase not in page.url
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download the sealed file").click()
    sealed, taken = Path(downloading.value.path()), served.data.parent / "taken"
    opened = [
        shutil.which("7zz") or "7z",
        "x",
        "-tzip",
        f"-p{passphrase}",
        f"-o{taken}",
        str(sealed),
    ]
    assert subprocess.run(opened, capture_output=True, check=False).returncode == 0
    files = [one.read_bytes() for one in taken.rglob("IM*")]
    assert {hashed(file) for file in files} == {hashed(one.part10()) for one in STUDY}
    assert told.errors == []
    assert page.viewport_size == PHONE
    for canary in (b"Jane", b"1970-01", b"P-0001", b"chest", FIRST.study.encode()):
        assert canary not in post.everything()
    desk.goto(f"{url(served)}/shares?tab=figures")  # and no disc was made
    this_month = desk.locator("tbody tr").first
    assert this_month.locator("td[data-of=Discs]").inner_text() == "0"
    assert int(this_month.locator("td[data-of=Opened]").inner_text()) >= 1
    desk.close()


def test_fifty_looks_at_the_link_leave_it_to_its_owner(
    served: Serving, post: Post, phone: BrowserContext
) -> None:
    offer(served, "house@example.org", "+447700900124")
    link = post.link("house@example.org")
    with httpx.Client() as scanner:
        for _ in range(50):
            answer = scanner.get(link)  # as a mail filter does: the fragment stays with it
            assert answer.status_code == 200
    page = phone.new_page()
    page.goto(link)
    page.get_by_role("button", name="Open").click()
    page.get_by_text("A code is on its way").wait_for()
    page.get_by_label("Code").fill(post.code("+447700900124"))
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("heading", name="Images of Doe, Jane").wait_for()
    looked_at(page, "journey-after-a-filter")


def test_a_doctor_has_it_sent_to_the_archive_of_their_hospital(
    served: Serving, post: Post, browser: Browser, phone: BrowserContext
) -> None:
    told, desk = Told(), browser.new_page()
    taken = served.data.parent / "clinic"
    with storescp(taken, "-B") as port:
        flags = {"data": str(served.data), "dev": True}
        with at_work(load(environ={}, flags=flags), "remote") as archive:
            for title, name in (("STORESCP", "Example Clinic"), ("OTHER", "Hospital East")):
                remote = Remote(ae_title=title, host="127.0.0.1", port=port, offered_as=name)
                archive.engines.remotes.add(developer("administrator"), remote)
        share = offer(served, "white@example.org", "+447700900125", "Example Clinic")
        page = phone.new_page()
        told.watch(page)
        page.goto(post.link("white@example.org"))
        page.get_by_role("button", name="Open").click()
        page.get_by_text("A code is on its way").wait_for()
        page.get_by_label("Code").fill(post.code("+447700900125"))
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("link", name="Send to a hospital's archive").click()
        page.get_by_label("Example Clinic").check()
        looked_at(page, "archive-choose")
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("heading", name="Is this right?").wait_for()
        looked_at(page, "archive-check")
        page.get_by_role("button", name="Send it now").click()
        page.get_by_role("heading", name="What you have sent").wait_for()
        for _ in range(600):
            if page.get_by_text("Arrived").count():
                break
            select_nothing(0.1)
            page.get_by_role("link", name="Look again").click()
        looked_at(page, "archive-arrived")
        assert f"{len(STUDY)} of {len(STUDY)}" in page.locator("#main").inner_text()
    files = [one.read_bytes() for one in taken.iterdir()]
    assert {hashed(file) for file in files} == {hashed(one.part10()) for one in STUDY}
    assert told.errors == []
    desk.goto(f"{url(served)}/share/{share.share_id}")
    desk.get_by_role("heading", name="Sent on to archives").wait_for()
    looked_at(desk, "archive-share")
    assert "To be sent on to an archive" in desk.locator("#main").inner_text()
    desk.close()

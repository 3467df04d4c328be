"""Twenty that are to go out tonight, one of them badly addressed, and a disc in its place.

A real `vna serve`, real C-STORE in, a real SMTP relay, real files out. The night comes as it does
to an archive in another zone: the clocks on its wall are put on.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pydicom
import pytest
from playwright.sync_api import Browser, Page
from pycdlib import PyCdlib

from tests.flows.post import Post, posting
from tests.flows.serving import READY_S, Serving, select_nothing
from tests.flows.test_guests import glanced
from tests.flows.test_inbox import browser
from tests.flows.test_staff import images, sent
from tests.flows.test_viewer import DESKTOP, Told
from vna.app import at_work
from vna.loading import load

__all__ = ["browser"]

BATCH = 20
AFTERNOON, NIGHT, MORNING = 15, 1, 7
CLERKS = "clerks@example.org"
BAD = BATCH - 1
BOARD = "/shares?tab=automatic"


def zone_where_it_is(hour: int) -> str:
    """Name the zone on whose clocks it is about that hour now, and not that hour's last minute."""
    now = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    east = (hour - now.hour + 11) % 24 - 11
    return f"Etc/GMT{-east:+d}" if east else "Etc/GMT"


def patient(number: int) -> dict[str, str]:
    return {
        "patient": f"NIGHT-{number}",
        "issuer": "LOCAL",
        "name": f"Canary, Clara {number}",
        "born": f"19{50 + number}-01-02",
        "accession": f"ORDER-{number}",
        "about": "CT of the chest",
    }


def study(number: int) -> list[pydicom.Dataset]:
    """Two images of the study that one of the patients is asked about."""
    made = images(100 + number, 2)
    for ds in made:
        ds.PatientID, ds.AccessionNumber = f"NIGHT-{number}", f"ORDER-{number}"
        ds.PatientName = f"Canary^Clara {number}"
        ds.PatientBirthDate = f"19{50 + number}0102"
    return made


def address(number: int) -> str:
    return "nobody@example.org" if number == BAD else f"person{number}@example.org"


@pytest.fixture
def post() -> Iterator[Post]:
    with posting() as found:
        yield found


@pytest.fixture
def server(post: Post) -> Iterator[Serving]:
    with post.served(
        VNA_SITE_TIMEZONE=zone_where_it_is(AFTERNOON),
        VNA_SHARING_SETTLE_S="0.1",
        VNA_SHARING_MORNING_MAIL=CLERKS,
    ) as found:
        yield found


def root(server: Serving) -> str:
    return f"http://127.0.0.1:{server.http}"


def planned(page: Page, server: Serving) -> None:
    """Write down, for twenty people, that their images may go out tonight: one of them by hand."""
    with httpx.Client(base_url=root(server), timeout=60) as client:
        form = re.search(r'name="form" value="([^"]+)"', client.get("/consents").text)
        assert form is not None
        for number in range(1, BATCH):
            fields = {"form": form[1], **patient(number), "said": "yes", "only_this": "on"}
            fields |= {"purpose": "patient-request", "way": "staff", "signed_by": "Clara"}
            fields |= {"to": address(number), "by": "+44 20 7946 0018", "lane": "tonight"}
            fields |= {"language": "en", "confirmed.name": "on", "confirmed.birth-date": "on"}
            answer = client.post("/consents/record", data=fields)
            assert answer.status_code == 200, answer.text
            assert "It is recorded." in answer.text
    page.goto(f"{root(server)}/consents")
    first = patient(0)
    for field in ("patient", "name", "born", "accession", "about"):
        page.locator(f"#{field}").fill(first[field])
    page.get_by_role("button", name="Go on").click()
    page.get_by_text("Write down what was said").click()
    said = page.locator("form[action='/consents/record']")
    said.get_by_label("Yes").check()
    said.get_by_label("Name under the text").fill("Clara")
    said.get_by_label("It goes out").select_option("Tonight")
    said.get_by_label("The link goes to").fill(address(0))
    said.get_by_label("The code goes to").fill("+44 20 7946 0018")
    for box in ("Name", "Date of birth"):
        said.get_by_label(box, exact=True).check()
    glanced(page, "night-asked")
    said.get_by_role("button", name="Record").click()
    page.get_by_text("It is recorded.").wait_for()


def states(page: Page) -> list[str]:
    return page.locator("tbody .state").all_inner_texts()


def until(page: Page, where: str, holds: Callable[[], bool]) -> None:
    """Load a page until it shows what another process is about to do."""
    deadline = time.monotonic() + READY_S
    page.goto(where)
    while not holds():
        assert time.monotonic() < deadline, page.locator("main").inner_text()
        select_nothing(0.1)
        page.goto(where)


def come(server: Serving, hour: int) -> None:
    """Stop the archive, and start it when it is that hour: what was to wait is due."""
    server.stop()
    server.environment["VNA_SITE_TIMEZONE"] = zone_where_it_is(hour)
    flags = {"data": str(server.data), "dev": True}
    with (
        at_work(load(environ={}, flags=flags), "share") as archive,
        archive.database.transaction() as tx,
    ):
        tx.execute("UPDATE auto_share SET due_at = now() WHERE state = 'waiting'")
    server.start()


def test_a_batch_of_the_night_with_one_that_fails_and_a_disc_in_its_place(
    post: Post, server: Serving, browser: Browser, tmp_path: Path
) -> None:
    told = Told()
    page = browser.new_page(viewport=DESKTOP)  # type: ignore[arg-type]  # a TypedDict of these keys
    told.watch(page)
    post.relay.refused["nobody@example.org"] = "550 5.1.1 who is that"
    planned(page, server)
    for number in range(BATCH):
        sent(server, study(number))

    # by day nothing goes out: all twenty wait for the night
    board = f"{root(server)}{BOARD}"
    zone = ZoneInfo(server.environment["VNA_SITE_TIMEZONE"])
    tonight = dt.datetime.now(zone).replace(hour=22, minute=0)
    due = page.locator("tbody td[data-of='Due (UTC)']")
    at = tonight.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M")
    until(page, board, lambda: due.all_inner_texts() == [at] * BATCH)
    assert states(page) == ["Waiting"] * BATCH
    glanced(page, "night-waiting")
    assert post.relay.mails == []

    come(server, NIGHT)
    until(page, board, lambda: states(page) == ["Shared"] * BATCH)
    glanced(page, "night-shared")
    failed = page.get_by_text("There is nobody at this address.")
    until(page, f"{root(server)}/shares?tab=failed", lambda: failed.count() == 1)
    assert "n…@example.org" in page.content()
    glanced(page, "night-failed")
    for number in range(BATCH - 1):
        assert re.search(r"/s#[\w-]{43}", post.link(address(number)))
    assert len(post.relay.mails) == BATCH - 1

    # in the morning one mail says so, with nothing of anybody in it; it leads to the board
    come(server, MORNING)
    told_of = post.mail(CLERKS, subject="What went out tonight: 20").part("plain")
    assert "Of these, the message failed: 1." in told_of
    assert "Somebody is needed: 0." in told_of
    for secret in (b"Canary", b"Clara", b"chest", b"NIGHT-", b"ORDER-", b"nobody@"):
        assert secret not in post.everything()
    page.goto(re.findall(r"http://\S+/shares", told_of)[0])
    page.get_by_role("link", name="Failed").click()

    # again, now that the address is known there
    share = page.locator("tbody").get_by_role("link").first.get_attribute("href")
    post.relay.refused.clear()
    page.get_by_role("button", name="Try again", exact=True).click()
    post.link("nobody@example.org")
    nothing = page.get_by_text("Nothing failed.")
    until(page, f"{root(server)}/shares?tab=failed", lambda: nothing.count() == 1)

    # and a disc of the same, for who has no mailbox after all
    page.goto(f"{root(server)}{share}")
    page.get_by_role("button", name="Make a disc of the same").click()
    link = page.get_by_role("link", name="Download ISO")
    link.wait_for()  # the page looks again by itself
    glanced(page, "night-disc")
    with page.expect_download() as download:
        link.click()
    download.value.save_as(tmp_path / "disc.iso")
    read_back(tmp_path / "disc.iso", study(BAD))
    assert told.errors == []
    page.close()


def read_back(image: Path, expected: list[pydicom.Dataset]) -> None:
    """Find every image on the disc through its DICOMDIR, the same in all of its file systems."""
    disc = PyCdlib()
    disc.open(str(image))

    def file(path: str) -> bytes:
        found = set()
        for how in ({"udf_path": path}, {"joliet_path": path}, {"iso_path": _level_1(path)}):
            out = io.BytesIO()
            disc.get_file_from_iso_fp(out, **how)
            found.add(out.getvalue())
        (same,) = found
        return same

    directory = pydicom.dcmread(io.BytesIO(file("/DICOMDIR")))
    found = {}
    for record in directory.DirectoryRecordSequence:
        if "ReferencedFileID" in record:
            path = "/" + "/".join(record.ReferencedFileID)
            uid = str(record.ReferencedSOPInstanceUIDInFile)
            found[uid] = pydicom.dcmread(io.BytesIO(file(path)))
    assert sorted(found) == sorted(str(one.SOPInstanceUID) for one in expected)
    for one in expected:
        assert found[str(one.SOPInstanceUID)] == one
        assert found[str(one.SOPInstanceUID)].PixelData == one.PixelData
    assert "Canary, Clara" in file("/INDEX.HTM").decode()
    disc.close()


def _level_1(path: str) -> str:
    """Write a path as ISO 9660 does: its files have a version (ECMA-119 7.5.1)."""
    above, _, name = path.rpartition("/")
    return f"{above}/{name if '.' in name else name + '.'};1"

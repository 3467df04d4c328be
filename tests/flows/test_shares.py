"""From a link to the images in a real browser: every page and state, by touch and by keyboard.

Screenshots are kept in build/screens for people to look at. axe-core finds nothing on any page.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.conftest import TestPostgres
from tests.factories import Instance, ct
from tests.flows.axe import violations
from tests.flows.chromium import SCREENS, chromium
from tests.flows.serving import READY_S, select_nothing
from tests.flows.test_inbox import PICTURED, WIDTHS
from tests.flows.test_viewer import Told
from tests.web.conftest import Site, serving
from tests.web.guests import coded, offered
from tests.web.test_viewing import NO_IMAGE, SR
from vna.sharing.values import Offered

PHONE = {"width": 360, "height": 740}
WINDOW = {"WindowCenter": "900", "WindowWidth": "3000", "StudyDescription": "CT of the chest"}


def slices(study: int, count: int = 12) -> list[Instance]:
    """A series whose images differ: a bright bar that moves from one to the next."""
    found = []
    for number in range(1, count + 1):
        rows = [
            (3000 if abs(row - 16 * number) < 12 else 200 + 8 * row % 900).to_bytes(2, "little")
            * 256
            for row in range(256)
        ]
        found.append(
            ct(study, instance=number, rows=256, columns=256, pixels=b"".join(rows), values=WINDOW)
        )
    return found


def report(study: int) -> Instance:
    values = {**NO_IMAGE, "StudyDescription": "CT of the chest", "SeriesDescription": "Report"}
    return ct(study, 2, sop_class=SR, modality="SR", pixel_element=b"", values=values)


STUDY = slices(1)
FIRST = STUDY[0]


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    name = {"name": "Example Hospital", "help": "Imaging desk, +44 20 7946 0000, 8 to 18"}
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False, site=name) as site:
        for one in (*STUDY, report(1)):
            site.archive.take(one.part10())
        yield site


@pytest.fixture(autouse=True)
def fresh_limits(site: Site) -> None:
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM rate")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def phone(browser: Browser) -> Iterator[BrowserContext]:
    """A phone that was never here."""
    found = browser.new_context(
        viewport=PHONE,  # type: ignore[arg-type]  # a TypedDict of the same keys
        has_touch=True,
        is_mobile=True,
        device_scale_factor=2,
        accept_downloads=True,
    )
    yield found
    found.close()


@pytest.fixture
def page(phone: BrowserContext) -> Page:
    return phone.new_page()


def link(site: Site, secret: str | None) -> str:
    return f"{site.address.url}/s#{secret}"


def enter(page: Page, site: Site, share: Offered) -> None:
    """Open a link and show the passcode."""
    page.goto(link(site, share.secret))
    page.get_by_role("button", name="Open").click()
    page.get_by_label("Passcode").fill(str(share.passcode))
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("heading", name="Images of Doe, Jane").wait_for()


def looked_at(page: Page, name: str) -> None:
    """Take pictures; nothing scrolls sideways, and axe finds nothing (on a phone as if narrow)."""
    for of, (width, height) in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        if of in PICTURED:
            page.screenshot(path=SCREENS / f"{name}-{of}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), of
        if of != "phone":
            assert violations(page) == [], (name, of)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # a TypedDict of the same keys


def test_a_link_leads_to_the_images_and_every_page_on_the_way_is_sound(
    site: Site, page: Page
) -> None:
    told = Told()
    told.watch(page)
    share = offered(site, FIRST, forward=True)
    page.goto(f"{site.address.url}/s")
    looked_at(page, "share-typed")
    page.get_by_role("link", name="How to open the images, step by step").click()
    page.get_by_role("heading", name="Show that it is for you").wait_for()
    looked_at(page, "share-help")
    page.goto("about:blank")
    page.goto(link(site, share.secret))
    page.get_by_text("Nothing is opened until you press").wait_for()
    assert "#" not in page.url
    looked_at(page, "share-landing")
    page.get_by_role("button", name="Open").click()
    looked_at(page, "share-passcode")
    page.get_by_label("Passcode").fill(str(share.passcode))
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("heading", name="Images of Doe, Jane").wait_for()
    looked_at(page, "share-home")
    page.get_by_role("link", name="View").click()
    page.get_by_text("Image 1 of 12").wait_for()
    page.locator("[data-stage] canvas").wait_for()
    looked_at(page, "share-viewer")
    page.get_by_role("link", name="Back").click()
    page.get_by_role("link", name="Report").click()
    page.frame_locator("iframe").get_by_text("Doe").first.wait_for()
    looked_at(page, "share-report")
    page.get_by_role("link", name="Back").click()
    page.get_by_role("link", name="Download").first.click()
    looked_at(page, "share-download")
    page.get_by_role("link", name="Share on").click()
    looked_at(page, "share-forward")
    page.get_by_label("Name").fill("Dr. House")
    page.get_by_label("A passcode").check()
    page.get_by_role("button", name="Share on", exact=True).click()
    page.get_by_text("It is shown only now").first.wait_for()
    looked_at(page, "share-forwarded")
    assert told.errors == []


def test_another_link_into_the_same_window_opens_what_it_was_sent_for(
    site: Site, page: Page
) -> None:
    page.goto(link(site, offered(site, FIRST).secret))
    page.get_by_text("Nothing is opened until you press").wait_for()
    share = offered(site, FIRST)
    page.goto(link(site, share.secret))  # only the fragment differs: nothing is loaded anew
    page.wait_for_function("() => !location.hash")
    page.get_by_role("button", name="Open").click()
    page.get_by_label("Passcode").fill(str(share.passcode))
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("heading", name="Images of Doe, Jane").wait_for()
    page.goto(f"{site.address.url}/s#main")  # the way past the header is no link that was sent
    page.get_by_label("Code or link").wait_for()


def test_a_code_comes_to_the_phone_and_wrong_ones_are_counted(site: Site, page: Page) -> None:
    offered(site, FIRST, **coded())
    page.goto(link(site, site.archive.posted.secret()))
    page.get_by_role("button", name="Open").click()
    page.get_by_text("A code is on its way to the phone …23.").wait_for()
    assert page.get_by_role("button", name="Send it again in").is_disabled()
    looked_at(page, "share-code")
    page.get_by_label("Code").fill("00000000")
    page.get_by_role("button", name="Go on").click()
    page.get_by_text("19 tries are left").wait_for()
    looked_at(page, "share-wrong")
    page.get_by_label("Code").fill(" - ".join(re.findall("....", site.archive.posted.code())))
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("heading", name="Images of Doe, Jane").wait_for()


def test_wrong_codes_lock_the_link_and_the_page_says_what_to_do(site: Site, page: Page) -> None:
    share = offered(site, FIRST)
    page.goto(link(site, share.secret))
    page.get_by_role("button", name="Open").click()
    for _ in range(20):
        page.get_by_label("Passcode").fill("NOT THIS ONE")
        page.get_by_role("button", name="Go on").click()
    page.get_by_role("heading", name="What you can do").wait_for()
    page.goto("about:blank")
    page.goto(link(site, share.secret))
    page.get_by_role("button", name="Open").click()
    page.get_by_role("heading", name="The link is locked").wait_for()
    assert page.get_by_text("Ask the sender for a new link").is_visible()
    looked_at(page, "share-locked")


def test_pages_of_what_does_not_open_say_why(site: Site, page: Page) -> None:
    page.goto(link(site, "A" * 43))
    page.get_by_role("button", name="Open").click()
    page.get_by_role("heading", name="This does not open").wait_for()
    looked_at(page, "share-unknown")
    revoked = offered(site, FIRST)
    site.archive.sharing.revoke(site.archive.who, revoked.share_id, reason="over")
    page.goto(link(site, revoked.secret))
    page.get_by_role("button", name="Open").click()
    page.get_by_role("heading", name="The sharing was ended").wait_for()
    looked_at(page, "share-revoked")
    stopped = offered(site, FIRST)
    page.goto(link(site, stopped.secret))
    page.get_by_role("button", name="Open").click()
    page.get_by_text("This is not me").click()
    looked_at(page, "share-not-me")
    page.get_by_role("button", name="This is not for me").click()
    page.get_by_role("heading", name="The link is stopped").wait_for()
    looked_at(page, "share-stopped")


def test_whoever_is_looking_when_the_share_ends_sees_nothing_more(site: Site, page: Page) -> None:
    share = offered(site, FIRST)
    enter(page, site, share)
    with page.expect_response(lambda answer: "/rendered?" in answer.url) as seen:
        page.get_by_role("link", name="View").click()
    frame = seen.value.url
    page.locator("[data-stage] canvas").wait_for()
    assert page.request.get(frame).status == 200
    site.archive.sharing.revoke(site.archive.who, share.share_id, reason="over")
    deadline = time.monotonic() + READY_S
    while page.request.get(frame).status == 200:  # who comes is believed for half a second
        assert time.monotonic() < deadline
        select_nothing(0.05)
    for _ in range(11):  # past what was fetched ahead
        page.get_by_role("link", name="Next image").click()
    page.get_by_text("This image could not be loaded").wait_for()
    page.reload()
    page.get_by_role("heading", name="This page is closed").wait_for()
    looked_at(page, "share-closed")


@pytest.mark.parametrize("scheme", ["dark", "forced"])
def test_pages_can_be_read_in_the_dark_and_in_forced_colours(
    site: Site, browser: Browser, scheme: str
) -> None:
    how = {"color_scheme": "dark"} if scheme == "dark" else {"forced_colors": "active"}
    page = browser.new_page(**how)  # type: ignore[arg-type]  # either of the two
    enter(page, site, offered(site, FIRST, forward=True))
    for path, name in (("home", "home"), ("forward", "forward"), (f"view/{FIRST.study}", "viewer")):
        page.goto(f"{site.address.url}/s/{path}")
        looked_at(page, f"share-{name}-{scheme}")
    page.close()


def test_all_of_it_works_by_keyboard_alone(site: Site, page: Page) -> None:
    share = offered(site, FIRST)
    page.goto(link(site, share.secret))
    page.keyboard.press("Enter")  # the button has the focus
    page.get_by_label("Passcode").wait_for()
    page.keyboard.type(str(share.passcode))
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Images of Doe, Jane").wait_for()
    reach(page, "View")
    page.keyboard.press("Enter")
    page.locator("[data-stage] canvas").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the way past the series to the image
    page.locator("#stage").focus()
    for key in ("ArrowDown", "ArrowRight", "PageDown", "End", "Home", "ArrowDown"):
        page.keyboard.press(key)
    page.get_by_text("Image 2 of 12").wait_for()
    page.keyboard.press("i")
    assert "invert" in str(page.locator("[data-stage] canvas").get_attribute("style"))
    page.keyboard.press("+")
    assert page.get_by_role("group", name="Move the image").is_visible()
    page.keyboard.press("r")
    assert page.get_by_role("group", name="Move the image").is_hidden()


def test_fingers_go_through_the_images_and_a_film_can_be_stopped(site: Site, page: Page) -> None:
    enter(page, site, offered(site, FIRST))
    page.get_by_role("link", name="View").click()
    page.locator("[data-stage] canvas").wait_for()
    remote = page.context.new_cdp_session(page)
    touch(page, [(180, 100), (180, 160), (180, 220), (180, 280)])
    moved = page.locator("[data-place]").inner_text()
    assert moved != "Image 1 of 12"
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Pause").wait_for()
    page.wait_for_function("t => document.querySelector('[data-place]').innerText !== t", arg=moved)
    page.get_by_role("button", name="Pause").click()
    page.locator("[data-preset]").select_option(label="Lung")
    page.wait_for_function(
        "() => document.querySelector('[data-stage] canvas').dataset.shown.includes('window=-600')"
    )
    remote.send("HeapProfiler.collectGarbage")
    sizes = {one["name"]: one["value"] for one in metrics(page)}
    assert sizes["JSHeapUsedSize"] < 20 << 20  # pictures are counted in test_light.py
    assert page.evaluate("document.querySelectorAll('img').length") < 20


def pressed_twice(page: Page, button: str) -> None:
    """Press a button, and again while the answer is on its way over a slow network."""
    remote = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 1500, "downloadThroughput": -1, "uploadThroughput": -1}
    remote.send("Network.enable")
    remote.send("Network.emulateNetworkConditions", slow)
    found = page.get_by_role("button", name=button, exact=True)
    found.evaluate("button => { button.click(); setTimeout(() => button.click(), 300); }")
    page.wait_for_event("framenavigated")
    remote.send("Network.emulateNetworkConditions", {**slow, "latency": 0})
    remote.detach()


def metrics(page: Page) -> list[dict[str, float | str]]:
    remote = page.context.new_cdp_session(page)
    remote.send("Performance.enable")
    found: list[dict[str, float | str]] = remote.send("Performance.getMetrics")["metrics"]
    return found


def touch(page: Page, points: list[tuple[int, int]]) -> None:
    """Move one finger over the screen."""
    remote = page.context.new_cdp_session(page)
    for at, (x, y) in enumerate(points):
        kind = "touchMove" if at else "touchStart"
        remote.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    remote.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def reach(page: Page, name: str) -> None:
    """Go on by the tabulator until the link of that name has the focus."""
    for _ in range(30):
        page.keyboard.press("Tab")
        if str(page.evaluate("document.activeElement.innerText")).startswith(name):
            return
    raise AssertionError(f"{name} cannot be reached")


def test_who_presses_twice_shares_once_and_sees_the_passcode(site: Site, page: Page) -> None:
    enter(page, site, offered(site, FIRST, forward=True))
    page.goto(f"{site.address.url}/s/forward")
    page.get_by_label("Name").fill("Dr. House")
    page.get_by_label("A passcode").check()
    sent: list[str] = []
    page.on("request", lambda one: sent.append(one.url) if one.method == "POST" else None)
    pressed_twice(page, "Share on")
    page.get_by_text("It is shown only now").first.wait_for()
    assert sent == [f"{site.address.url}/s/forward"]
    page.go_back()
    page.get_by_label("Name").fill("Dr. Wilson")  # it can be done again, for somebody else
    page.get_by_label("A passcode").check()
    page.get_by_role("button", name="Share on", exact=True).click()
    page.get_by_text("It is shown only now").first.wait_for()
    assert len(sent) == 2

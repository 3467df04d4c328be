"""A patient shares by telephone, in a real browser: four steps, a try, a stranger, the end.

Screenshots are kept in build/screens for people to look at. axe-core finds nothing on any page.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.conftest import TestPostgres
from tests.factories import Instance
from tests.flows.axe import violations
from tests.flows.chromium import SCREENS
from tests.flows.serving import READY_S, select_nothing
from tests.flows.test_shares import PHONE, browser, link, pressed_twice, report, slices
from tests.flows.test_viewer import DESKTOP, Told
from tests.web.conftest import Site, serving
from tests.web.people import Surfer, patient_of, signed_in
from vna.sharing.consents import Consent

__all__ = ["browser"]

CONSENT = Consent(
    issuer="LOCAL",
    patient_id="P-0001",
    purpose="treatment",
    allowed=True,
    text_version="treatment.own-1",
    signed_by="Jane Doe",
    way="kiosk",
)


def born(one: Instance) -> Instance:
    more = {"PatientBirthDate": "19700101", "PatientSex": "F"}
    return dataclasses.replace(one, values={**one.values, **more})


STUDY = [born(one) for one in (*slices(1, 4), report(1))]


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    name = {"name": "Example Hospital", "help": "Imaging desk, +44 20 7946 0000, 8 to 18"}
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False, site=name) as site:
        for one in STUDY:
            site.archive.take(one.part10())
        yield site


def seen_by(browser: Browser, site: Site, who: Surfer | None, **size: int) -> BrowserContext:
    """Open the browser of somebody who is signed in, or of a stranger."""
    found = browser.new_context(viewport=size)  # type: ignore[arg-type]  # a TypedDict of the same keys
    if who is not None:
        cookie = {"name": "vna", "value": who.cookie(), "url": site.address.url}
        found.add_cookies([cookie])  # type: ignore[list-item]  # the same
    return found


def looked_at(page: Page, name: str) -> None:
    """Take pictures on a phone and a desk; nothing scrolls sideways, and axe finds nothing."""
    size = page.viewport_size
    for of, shown in {"phone": PHONE, "desktop": DESKTOP}.items():
        page.set_viewport_size(shown)  # type: ignore[arg-type]  # a TypedDict of the same keys
        page.screenshot(path=SCREENS / f"{name}-{of}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), of
        if shown == size:
            assert violations(page) == [], (name, of)
    assert size is not None
    page.set_viewport_size(size)


def test_a_patient_shares_follows_and_stops_and_gets_an_answer(
    site: Site, browser: Browser
) -> None:
    jane = patient_of(site, STUDY[0].study)
    clerk = signed_in(site, "clerk", "records-clerk")
    site.archive.sharing.consents.record(site.archive.who, CONSENT)
    told, url = Told(), site.address.url
    own = seen_by(browser, site, jane, **PHONE)
    page = own.new_page()
    told.watch(page)
    page.goto(f"{url}/my/study/{STUDY[0].study}")
    page.get_by_role("link", name="Share", exact=True).click()
    page.get_by_role("button", name="Choose parts of them").click()
    expect(page.get_by_role("group", name=re.compile("^Parts of"))).to_be_visible()
    looked_at(page, "own-share-what")
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Name").fill("Dr. Gray")
    page.get_by_label("Their e-mail address").fill("gray@example.org")
    looked_at(page, "own-share-whom")
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Phone, with country code").fill("+44 7700 900123")
    page.get_by_text("no e-mail address of yours").wait_for()
    looked_at(page, "own-share-how")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Try it as a stranger first").click()
    page.get_by_text("4 images, report included").wait_for()
    looked_at(page, "own-share-check")
    assert not re.search(r"Doe|Jane|Gray|gray|7700", page.url)
    page.get_by_role("button", name="Send").click()
    page.get_by_text("on its way to g…@example.org").wait_for()
    page.get_by_role("link", name="Follow this share").click()

    stranger = seen_by(browser, site, None, **DESKTOP).new_page()
    stranger.goto(link(site, site.archive.posted.secret()))
    stranger.get_by_role("button", name="Open").click()
    stranger.get_by_text("A code is on its way").wait_for()
    stranger.get_by_label("Code").fill(site.archive.posted.code())
    stranger.get_by_role("button", name="Go on").click()
    stranger.get_by_role("heading", name="Images of Doe, Jane").wait_for()

    page.reload()
    page.get_by_text("looked at the images").wait_for()
    looked_at(page, "own-share-one")
    page.get_by_role("link", name="All shares").click()
    looked_at(page, "own-shares")
    page.get_by_role("button", name="Stop it now").click()
    page.get_by_text("Stopped", exact=True).wait_for()
    deadline = time.monotonic() + READY_S
    while stranger.request.get(f"{url}/s/home").status != 401:  # believed for half a second
        assert time.monotonic() < deadline
        select_nothing(0.05)

    page.goto(f"{url}/my/share?study={STUDY[0].study}")
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Name").fill("Dr. Gray")
    page.get_by_label("I hand it over myself").check()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("checkbox", name="A passcode")).to_be_checked()
    page.get_by_label("Also on paper").check()
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Make the link").click()
    page.get_by_text("Shown only now").wait_for()
    looked_at(page, "own-share-made")
    page.goto(f"{url}/my/consents")
    looked_at(page, "own-consents")
    page.get_by_role("link", name="My requests").click()
    page.get_by_label("Something is wrong: please correct it").check()
    page.get_by_label("In your words").fill("It was the left side.")
    looked_at(page, "own-requests")
    page.get_by_role("button", name="Send the request").click()
    page.get_by_text("Waiting", exact=True).wait_for()
    desk = seen_by(browser, site, clerk, **DESKTOP).new_page()
    told.watch(desk)
    desk.goto(f"{url}/requests/patients")
    looked_at(desk, "patient-requests")
    desk.get_by_role("link", name=re.compile("^[0-9A-Z]{4}-")).click()
    desk.get_by_text("It was the left side.").wait_for()
    looked_at(desk, "patient-request")
    desk.get_by_label("Words to the patient").fill("Corrected: thank you.")
    desk.get_by_role("button", name="Answer").click()
    desk.get_by_text("Nothing waits.").wait_for()
    page.reload()
    page.get_by_text("Corrected: thank you.").wait_for()
    looked_at(page, "own-requests-answered")
    assert told.errors == []


def test_what_is_shown_only_once_is_shown_to_who_presses_twice(
    site: Site, browser: Browser
) -> None:
    jane = patient_of(site, STUDY[0].study)
    own = seen_by(browser, site, jane, **PHONE)
    page = own.new_page()
    page.goto(f"{site.address.url}/my/share?study={STUDY[0].study}")
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Name").fill("Dr. Gray")
    page.get_by_label("I hand it over myself").check()
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Go on").click()
    pressed_twice(page, "Make the link")
    page.get_by_text("Shown only now").wait_for()
    page.goto(f"{site.address.url}/my/requests")
    before = page.get_by_text("Waiting", exact=True).count()
    if before:
        page.get_by_text("Ask for something").click()
    page.get_by_label("Something is wrong: please correct it").check()
    page.get_by_label("In your words").fill("It was the left side.")
    pressed_twice(page, "Send the request")
    expect(page.get_by_text("Waiting", exact=True)).to_have_count(before + 1)
    page.reload()
    expect(page.get_by_text("Waiting", exact=True)).to_have_count(before + 1)
    page.get_by_role("button", name="Take it back").first.click()
    expect(page.get_by_text("Waiting", exact=True)).to_have_count(before)
    own.close()


def test_before_a_session_ends_its_patient_is_asked_and_who_types_is_not_put_out(
    site: Site, browser: Browser
) -> None:
    own = seen_by(browser, site, patient_of(site, STUDY[0].study), **PHONE)
    page = own.new_page()
    page.clock.install()
    page.goto(f"{site.address.url}/my/requests")
    late = int(site.archive.settings.access.idle_s) - 115
    soon = page.get_by_role("alertdialog", name="This page closes soon")
    expect(soon).to_be_hidden()
    page.clock.fast_forward(late * 1000)
    expect(soon).to_be_visible()
    assert violations(page) == []
    with page.expect_response("**/my/stay") as stayed:
        page.get_by_role("button", name="Stay").click()
    assert stayed.value.status == 204
    expect(soon).to_be_hidden()

    if not page.get_by_label("In your words").is_visible():
        page.get_by_text("Ask for something").click()
    page.get_by_label("In your words").fill("It was the left")
    with page.expect_response("**/my/stay") as stayed:
        page.clock.fast_forward(late * 1000)
    assert stayed.value.status == 204
    expect(soon).to_be_hidden()

    own.clear_cookies()  # over, in another window say
    page.get_by_label("In your words").fill("It was the left side.")
    page.clock.fast_forward(late * 1000)
    expect(soon).to_be_visible()
    expect(page.get_by_label("In your words")).to_have_value("It was the left side.")
    page.get_by_role("button", name="Stay").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    own.close()

"""A mother acts for her child: from the desk to the images, told for whom on each page, to its end.

Screenshots are kept in build/screens. axe-core finds nothing on any page, at three widths.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import TestPostgres
from tests.factories import Instance, ct
from tests.flows.test_own import DESKTOP, PASSPHRASE, looked_at, root, with_passkeys
from tests.flows.test_shares import PHONE, browser
from tests.flows.test_viewer import Told
from tests.web.conftest import Site
from tests.web.patients import hospital
from tests.web.people import patient_of, signed_in

__all__ = ["browser"]

YEAR = dt.datetime.now(dt.UTC).year
CHILD = {"PatientBirthDate": f"{YEAR - 9}0615", "PatientSex": "M", "StudyDate": "20250607"}
TIM: list[Instance] = [
    ct(1, 1, number, patient_id="C-1", patient_name="Roe^Tim", rows=64, columns=64, values=CHILD)
    for number in (1, 2)
]
JANE = ct(2, patient_id="P-1", values={"PatientBirthDate": "19700101", "StudyDate": "20240203"})


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with hospital(postgres, tmp_path_factory.mktemp("site"), *TIM, JANE) as found:
        found.archive.identities.keep_up()
        yield found


@pytest.fixture
def told() -> Told:
    return Told()


def page_of(browser: Browser, site: Site, size: dict[str, int], told: Told, cookie: str) -> Page:
    context = browser.new_context(viewport=size)  # type: ignore[arg-type]  # a TypedDict of the same keys
    if cookie:
        context.add_cookies([{"name": "vna", "value": cookie, "url": root(site)}])
    page = context.new_page()
    told.watch(page)
    return page


def enrolled(site: Site, page: Page, code: str, born: str) -> None:
    """Type the code of a sheet and the birth date; choose a passphrase and a passkey."""
    page.goto(f"{root(site)}/my/start")
    page.get_by_label("Code from your sheet").fill(code)
    page.get_by_label("Your date of birth").fill(born)
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Passphrase").fill(PASSPHRASE)
    page.get_by_label("Once more").fill(PASSPHRASE)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Use a passkey").click()
    page.get_by_role("link", name="I have them").click()


def test_a_mother_acts_for_her_child_until_it_is_ended(
    site: Site, browser: Browser, told: Told
) -> None:
    clerk = signed_in(site, "clerk", "records-clerk")
    desk = page_of(browser, site, DESKTOP, told, clerk.cookie())
    desk.goto(f"{root(site)}/study/{TIM[0].study}")
    desk.get_by_role("link", name="Who acts for this person").click()
    desk.get_by_label("Parent").check()
    desk.get_by_label("Their name, as the person is told").fill("Mother, Jane Roe")
    desk.get_by_label("A birth certificate").check()
    desk.get_by_label("Share the images").check()
    looked_at(desk, "carers-desk-new")
    desk.get_by_role("button", name="Let them act").click()
    desk.get_by_role("heading", name="Hand over this code").wait_for()
    looked_at(desk, "carers-desk-code")
    code = desk.locator(".shown-once").inner_text()
    with desk.expect_download() as sheet:
        desk.get_by_role("button", name="Print the sheet").click()
    assert sheet.value.path().read_bytes().startswith(b"%PDF")

    phone = page_of(browser, site, PHONE, told, "")
    with_passkeys(phone.context, phone)
    enrolled(site, phone, code, f"{YEAR - 9}-06-15")
    phone.get_by_role("heading", name="Acting for somebody").wait_for()  # nothing is about her
    looked_at(phone, "carers-choose")
    phone.get_by_role("button", name="Act for them Roe, Tim").click()
    phone.get_by_role("heading", name="Images of Roe, Tim").wait_for()
    looked_at(phone, "carers-timeline")
    phone.locator("a.exam").click()
    phone.get_by_role("link", name="View", exact=True).click()
    phone.get_by_text("Image 1 of 2").first.wait_for()
    expect(phone.locator(".acting")).to_contain_text("You act for Roe, Tim.")
    looked_at(phone, "carers-viewer")

    # the desk ends it; whoever looks sees nothing more
    desk.goto(f"{root(site)}/study/{TIM[0].study}/carers")
    desk.get_by_text("Mother, Jane Roe").wait_for()
    looked_at(desk, "carers-desk")
    desk.get_by_text("End it", exact=True).click()
    desk.get_by_label("Why").fill("The court decided otherwise")
    desk.get_by_role("button", name="They act no more").click()
    desk.get_by_text("They act no more.").first.wait_for()
    deadline = time.monotonic() + 30
    while not phone.url.endswith("/my/carers"):  # what was verified is believed for half a second
        assert time.monotonic() < deadline
        phone.goto(f"{root(site)}/my")
    phone.get_by_text("You may not act for this person any more.").first.wait_for()
    looked_at(phone, "carers-ended")
    assert told.errors == []


def test_a_patient_chooses_whom_to_trust_by_keyboard_and_ends_it(
    site: Site, browser: Browser, told: Told
) -> None:
    friend = patient_of(site, TIM[0].study, f"{YEAR - 9}-06-15")
    login = friend.get("/my/account").text.split('class="together">')[1].partition("<")[0]
    jane = patient_of(site, JANE.study)
    page = page_of(browser, site, PHONE, told, jane.cookie())
    page.goto(f"{root(site)}/my/carers")
    page.get_by_text("Let somebody act for me").press("Enter")
    page.get_by_label("What you call them").fill("My nephew")
    page.get_by_label("The name of their account").fill("p-none-none")
    page.get_by_role("button", name="Let them act for me").press("Enter")
    page.get_by_text("No account has this name.").wait_for()
    looked_at(page, "carers-mine-wrong")
    told.errors.clear()  # the browser logs the refusal as what it is
    page.get_by_label("The name of their account").fill(login)
    page.get_by_role("button", name="Let them act for me").press("Enter")
    page.get_by_role("heading", name="My nephew").wait_for()
    looked_at(page, "carers-mine")
    page.goto(f"{root(site)}/my/study/{JANE.study}")
    page.get_by_role("button", name="Keep it from them").press("Enter")
    page.get_by_text("Nobody who acts for you sees this examination.").wait_for()
    looked_at(page, "carers-kept")
    page.goto(f"{root(site)}/my/carers")
    page.get_by_role("button", name="End it now").press("Enter")
    page.get_by_text("ended on").wait_for()
    looked_at(page, "carers-mine-ended")
    german = browser.new_context(viewport=PHONE, locale="de-DE")  # type: ignore[arg-type]  # a TypedDict
    german.add_cookies([{"name": "vna", "value": jane.cookie(), "url": root(site)}])
    deutsch = german.new_page()
    deutsch.goto(f"{root(site)}/my/carers")
    deutsch.get_by_role("heading", name="Wer für mich handelt").wait_for()
    looked_at(deutsch, "carers-mine-german")
    assert told.errors == []

"""Several things of one name, and what is typed and pressed on a small telephone.

Two shares with the same doctor, two studies of the same description, the same wish twice: each can
be told from the other by who does not see the page, and pressed by who has large fingers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.flows.axe import all_there, violations
from tests.flows.test_long_names import SMALL
from tests.flows.test_own import browser
from tests.flows.test_own_shares import seen_by
from tests.flows.test_shares import enter, link
from tests.web.conftest import Site
from tests.web.guests import offered
from tests.web.patients import BORN, hospital, without_limits
from tests.web.people import Surfer, patient_of, signed_in
from vna.dicom.refs import UID, StudyRef

__all__ = ["browser"]

EARLY, LATE = (ct(n, values={**BORN, "StudyDate": f"2024010{n}"}) for n in (1, 2))
BOTH = frozenset(StudyRef(UID(one.study)) for one in (EARLY, LATE))
CODE = "WXYZ-MNPQ-RSTW-VXYZ"  # of sixteen signs, as a letter has it, of the widest there are

# links that stand alone in a list or a heading, and how high they are (WCAG 2.2, 2.5.5)
_LOW = """() => [...document.querySelectorAll('main .list > li > a, main .card h2 > a')]
  .filter(link => link.getBoundingClientRect().height < 44).map(link => link.outerHTML)"""
# choices of more than one line whose texts touch the next
_TOUCHING = """() => [...document.querySelectorAll('label.choice + label.choice')]
  .filter(one => one.querySelector('span').getBoundingClientRect().top
    - one.previousElementSibling.querySelector('span').getBoundingClientRect().bottom < 6)
  .map(one => one.innerText)"""


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with hospital(postgres, tmp_path_factory.mktemp("site"), EARLY, LATE) as found:
        yield found


@pytest.fixture(scope="module")
def jane(site: Site) -> Surfer:
    found = patient_of(site, EARLY.study)
    for one in (EARLY, LATE):
        offered(site, one)
    for _ in range(2):
        wish = {"kind": "disc", "study": EARLY.study, "words": "for my doctor"}
        assert found.post("/my/requests", **wish).status_code == 303
    return found


@pytest.fixture(autouse=True)
def unlimited(site: Site) -> None:
    without_limits(site)


def shown(page: Page, where: str) -> Page:
    answer = page.goto(where)
    assert answer is not None
    assert answer.status == 200
    all_there(page)
    return page


@pytest.mark.parametrize("path", ["/my/shares", "/my/requests", f"/my/study/{EARLY.study}"])
def test_a_patient_tells_alike_things_apart_and_presses_them(
    site: Site, browser: Browser, jane: Surfer, path: str
) -> None:
    page = shown(seen_by(browser, site, jane, **SMALL).new_page(), site.address.url + path)
    assert violations(page) == []
    assert page.evaluate(_LOW) == []
    page.context.close()


def test_a_guest_tells_two_studies_of_one_description_apart(site: Site, browser: Browser) -> None:
    page = browser.new_context(viewport=SMALL).new_page()  # type: ignore[arg-type]  # a TypedDict of these keys
    enter(page, site, offered(site, EARLY, studies=BOTH))
    assert violations(page) == []
    shown(page, f"{site.address.url}/s/download")
    assert violations(page) == []
    page.context.close()


def test_a_code_is_seen_whole_while_it_is_typed(site: Site, browser: Browser) -> None:
    page = browser.new_context(viewport=SMALL).new_page()  # type: ignore[arg-type]  # a TypedDict of these keys
    field = shown(page, f"{site.address.url}/s").get_by_label("Code or link")
    field.fill(CODE)
    assert field.evaluate("field => field.scrollWidth <= field.clientWidth")
    page.context.close()


def test_choices_of_two_lines_stand_apart(site: Site, browser: Browser) -> None:
    clerk = signed_in(site, "clerk", "records-clerk")
    page = seen_by(browser, site, clerk, **SMALL).new_page()
    shown(page, f"{site.address.url}/study/{EARLY.study}/share")
    assert page.evaluate(_TOUCHING) == []
    page.context.close()


def test_who_is_put_back_into_a_field_hears_what_was_wrong(site: Site, browser: Browser) -> None:
    """Focus goes to the field as the page opens: what stands above it is not read out."""
    page = browser.new_page()
    shown(page, f"{site.address.url}/login?ended=yes")
    field = page.get_by_label("Name")
    expect(field).to_be_focused()
    expect(field).to_have_accessible_description(re.compile("What you sent last was not done"))
    field.fill("nobody")
    page.get_by_label("Passphrase").fill("four green bicycles")
    page.get_by_role("button", name="Go on").click()
    expect(field).to_have_accessible_description(re.compile("not right"))
    expect(field).to_have_attribute("aria-invalid", "true")
    share = offered(site, EARLY)
    page.goto(link(site, share.secret))
    page.get_by_role("button", name="Open").click()
    field = page.get_by_label("Passcode")
    expect(field).not_to_have_attribute("aria-invalid", "true")
    field.fill("ABCD-EFGH-JK")
    page.get_by_role("button", name="Go on").click()
    expect(field).to_be_focused()
    expect(field).to_have_accessible_description(re.compile("Capitals.*tries are left"))
    expect(field).to_have_attribute("aria-invalid", "true")
    page.close()

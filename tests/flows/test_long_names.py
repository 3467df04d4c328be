"""Names as long as DICOM allows, in one word, on a small telephone: no page scrolls sideways."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.flows.axe import all_there
from tests.flows.test_own import DESKTOP, browser
from tests.flows.test_own_shares import seen_by
from tests.flows.test_shares import link
from tests.web.conftest import Site
from tests.web.guests import offered
from tests.web.patients import BORN, hospital
from tests.web.people import Surfer, patient_of, signed_in
from vna.sharing.values import Confirmed, Person, Recipient

__all__ = ["browser"]

SMALL = {"width": 320, "height": 640}
WORD = "Wolfeschlegelsteinhausenbergerdorff" * 2
NAME, LONGEST = WORD[:62], WORD[:64]  # a component group, and a Long String (PS3.5 6.2)
LONG = ct(
    patient_name=f"{NAME}^E",
    patient_id=LONGEST,
    values={
        **BORN,
        "StudyDescription": LONGEST,
        "SeriesDescription": LONGEST,
        "InstitutionName": LONGEST,
        "AccessionNumber": LONGEST[:16],
    },
)
OF_STAFF = (
    "/",
    *(f"/study/{LONG.study}{part}" for part in ("", "/share", "/consents", "/correct")),
)
OF_A_DESK = tuple(f"/study/{LONG.study}/{part}" for part in ("account", "carers"))
OF_A_PATIENT = (
    *("/my", "/my/access", "/my/share", "/my/requests", "/my/carers"),
    *(f"/my/{part}/{LONG.study}" for part in ("study", "view")),
)


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with hospital(postgres, tmp_path_factory.mktemp("site"), LONG) as found:
        yield found


def too_wide(browser: Browser, site: Site, who: Surfer, *paths: str) -> list[str]:
    """Say which pages are wider than the telephone they are looked at on."""
    page = seen_by(browser, site, who, **SMALL).new_page()
    found = []
    for path in paths:
        answer = page.goto(f"{site.address.url}{path}")
        assert answer is not None
        assert answer.status == 200, path
        all_there(page)
        if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            found.append(path)
    page.context.close()
    return found


def test_no_page_of_staff_grows_with_a_name(site: Site, browser: Browser) -> None:
    clerk = signed_in(site, "clerk", "records-clerk")
    assert too_wide(browser, site, clerk, *OF_STAFF, *OF_A_DESK) == []


def test_one_long_name_pushes_no_button_of_the_list_out_of_sight(
    site: Site, browser: Browser
) -> None:
    clerk = signed_in(site, "desk", "records-clerk")
    page = seen_by(browser, site, clerk, **DESKTOP).new_page()
    page.goto(site.address.url)
    all_there(page)
    assert page.evaluate("(w => w.scrollWidth <= w.clientWidth)(document.querySelector('.wide'))")
    page.context.close()


def test_no_page_of_a_patient_grows_with_a_name(site: Site, browser: Browser) -> None:
    owner = patient_of(site, LONG.study)
    assert too_wide(browser, site, owner, *OF_A_PATIENT) == []


def test_no_page_of_a_guest_grows_with_a_name(site: Site, browser: Browser) -> None:
    whose = Person(name=NAME, confirmed=frozenset({Confirmed.NAME, Confirmed.PATIENT_ID}))
    named = Recipient(name=LONGEST, organisation=LONGEST)
    share = offered(site, LONG, person=whose, recipient=named, forward=True)
    page = seen_by(browser, site, None, **SMALL).new_page()
    page.goto(link(site, share.secret))
    page.get_by_role("button", name="Open").click()
    page.get_by_label("Passcode").fill(str(share.passcode))
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("heading", name="Images of").wait_for()
    wide = []
    for part in ("home", "download", "forward", f"view/{LONG.study}"):
        page.goto(f"{site.address.url}/s/{part}")
        all_there(page)
        if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            wide.append(part)
    page.context.close()
    assert wide == []

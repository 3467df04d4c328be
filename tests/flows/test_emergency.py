"""An emergency with a second person, in a real browser: two colleagues and the privacy officer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.flows.test_inbox import browser, looked_at
from tests.web.conftest import Site, serving
from tests.web.people import SHELL, signed_in
from vna.access.principal import Label
from vna.dicom.refs import uid

__all__ = ["browser"]
STUDY = ct(1, patient_id="E-4711")


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as site:
        site.archive.take(STUDY.part10())
        site.archive.labels.put(SHELL, uid(STUDY.study), Label.SENSITIVE, reason="known to all")
        yield site


def page_of(site: Site, browser: Browser, login: str, role: str) -> Page:
    """Open a browser somebody is signed in with."""
    found = browser.new_context(base_url=site.address.url)
    cookie = signed_in(site, login, role).cookie()
    found.add_cookies([{"name": "vna", "value": cookie, "url": site.address.url}])
    return found.new_page()


def test_two_colleagues_open_what_is_sensitive(site: Site, browser: Browser) -> None:
    doctor = page_of(site, browser, "dr-gray", "referring")
    doctor.goto("/emergency")
    doctor.get_by_label("Patient ID", exact=True).fill("E-4711")
    doctor.get_by_label("The patient is being treated right now").check()
    doctor.get_by_label("In your own words").fill("Brought in by ambulance, cannot speak.")
    doctor.get_by_role("button", name="See this patient's studies").click()
    doctor.get_by_text("A second person has to agree").wait_for()
    looked_at(doctor, "emergency-locked")
    colleague = page_of(site, browser, "dr-white", "radiologist")
    colleague.goto("/emergency")
    looked_at(colleague, "emergency-asking")
    colleague.get_by_role("link", name="Agree as a second person").click()
    colleague.get_by_text("Brought in by ambulance").wait_for()
    looked_at(colleague, "emergency-second")
    colleague.get_by_role("button", name="Let dr-gray see them").click()
    colleague.get_by_text("Nobody asks for a second person.").wait_for()
    looked_at(colleague, "emergency-agreed")
    doctor.goto("/")
    doctor.get_by_role("link", name="Doe, Jane", exact=True).wait_for()
    officer = page_of(site, browser, "officer", "privacy-officer")
    officer.goto("/emergencies")
    officer.get_by_text("Second person: dr-white.").wait_for()
    looked_at(officer, "emergencies-second")
    for page in (doctor, colleague, officer):
        page.context.close()

"""A link to a new address waits for a second person, in a real browser: a clerk and a colleague."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.flows.test_guests import glanced
from tests.flows.test_inbox import browser
from tests.web.conftest import Site, serving
from tests.web.people import patient_of, signed_in
from vna.access.sessions import Browser as Visiting
from vna.delivery.channels import EMAIL
from vna.sharing.values import channel

__all__ = ["browser"]
STUDY = ct(1, patient_id="E-4711", values={"00100030": "19700101"})
HERS, NEW = channel(EMAIL, "jane@example.org"), channel(EMAIL, "jane@example.com")
HERE = Visiting(address="127.0.0.1")


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as site:
        site.archive.take(STUDY.part10())
        prove(site)
        yield site


def prove(site: Site) -> None:
    """Let the patient sign in and prove a mailbox."""
    archive = site.archive
    visitor = archive.people.sessions.visitor(patient_of(site, STUDY.study).cookie(), None)
    assert visitor is not None
    contacts = archive.sharing.contacts
    contacts.begin(visitor.principal, visitor.account_id, HERS, language="en")
    code = archive.posted.last("prove").values["code"]
    contacts.prove(visitor.principal, visitor.account_id, EMAIL, code)


def page_of(site: Site, browser: Browser, login: str, locale: str = "en") -> Page:
    """Open a browser somebody is signed in with."""
    found = browser.new_context(base_url=site.address.url, locale=locale)
    cookie = signed_in(site, login, "records-clerk").cookie()
    found.add_cookies([{"name": "vna", "value": cookie, "url": site.address.url}])
    return found.new_page()


def shared(page: Page) -> str:
    """Share as a clerk does, at an address nobody has seen; return the number of the share."""
    page.goto(f"/study/{STUDY.study}/share")
    for compared in ("Name", "Date of birth"):
        page.get_by_role("checkbox", name=compared).first.check()
    page.get_by_label("The link goes to").fill(NEW.value)
    page.get_by_role("checkbox", name="passcode").check()
    page.get_by_role("button", name="Send").click()
    page.get_by_text("It waits for a second person.").wait_for()
    return page.get_by_role("heading", level=1).inner_text().rpartition(" ")[2]


def test_a_colleague_looks_at_a_new_address_and_agrees_or_refuses(
    site: Site, browser: Browser
) -> None:
    sharing, posted = site.archive.sharing, site.archive.posted
    clerk = page_of(site, browser, "clerk")
    numbers = [shared(clerk), shared(clerk)]
    glanced(clerk, "second-made")
    clerk.get_by_role("link", name="Follow it").click()
    clerk.get_by_text("Somebody else must agree").wait_for()
    glanced(clerk, "second-own")
    clerk.goto("/shares?tab=second")
    assert clerk.get_by_text("Somebody else must agree.").count() == 2
    assert "invitation" not in {one.template for one in posted.messages}

    colleague = page_of(site, browser, "colleague")
    colleague.goto("/shares")
    colleague.get_by_role("link", name="Second person 2").click()
    glanced(colleague, "second-board")
    colleague.get_by_role("link", name=numbers[0], exact=True).click()
    colleague.get_by_text("known by another address").wait_for()
    assert NEW.value in colleague.locator("main").inner_text()  # a mask could be anybody's
    glanced(colleague, "second-one")
    colleague.get_by_role("button", name="Agree: send it").click()
    colleague.get_by_text("colleague agreed as a second person").wait_for()
    assert posted.last("invitation").to == NEW
    assert isinstance(sharing.open(posted.secret(NEW), HERE), tuple)
    assert posted.last("shared-with-person").to == HERS

    german = page_of(site, browser, "kollegin", locale="de")
    german.goto("/shares?tab=second")
    german.get_by_role("link", name=numbers[1], exact=True).click()
    glanced(german, "second-one-de")
    german.get_by_label("Warum nicht").fill("Sie weiß nichts davon")
    german.get_by_role("button", name="Ablehnen: stoppen").click()
    german.get_by_text("kollegin hat als zweite Person abgelehnt").wait_for()
    assert len([one for one in posted.messages if one.template == "invitation"]) == 1
    for page in (clerk, colleague, german):
        page.context.close()

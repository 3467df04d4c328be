"""The inbox of --dev in a real browser: readable at every width, with nothing for axe to find."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import TestPostgres
from tests.flows.axe import violations
from tests.flows.chromium import SCREENS, chromium
from tests.web.conftest import Site, serving
from tests.web.test_inbox import LINK, invited, kept
from vna.delivery.channels import email, phone

WIDTHS = {"narrow": (320, 640), "phone": (360, 740), "tablet": (768, 1024), "desktop": (1280, 800)}
PICTURED = ("phone", "desktop")  # a picture takes longer than all else that is looked at
CODE = {"code": "12345678", "minutes": "10", "host": "localhost"}


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def looked_at(page: Page, name: str) -> None:
    """Take pictures; nothing scrolls sideways, and axe finds nothing (on a phone as if narrow)."""
    for of, (width, height) in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        if of in PICTURED:
            page.screenshot(path=SCREENS / f"{name}-{of}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), of
        if of == "phone":
            continue
        assert violations(page) == [], (name, of)


def test_the_inbox_is_read_on_every_screen(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{site.address.url}/dev/inbox")
    page.get_by_text("Nothing yet").wait_for()
    looked_at(page, "inbox-empty")
    invited(site, email("a.rather.long.name.of.somebody@a-rather-long-domain.example.org"))
    kept(site, to=phone("+49 30 123456"), template="code", values=CODE, language="de")
    page.get_by_role("link", name="Look again").click()
    looked_at(page, "inbox")
    page.get_by_role("link", name="Medical images for you").click()
    assert page.get_by_role("link", name=LINK).get_attribute("href") == LINK
    looked_at(page, "inbox-mail")
    page.get_by_role("link", name="Back to the inbox").click()
    page.get_by_role("link", name="12345678 ist Ihr Code").click()
    looked_at(page, "inbox-sms")
    page.close()

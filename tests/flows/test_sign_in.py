"""Signing in with a real browser, over TLS, at a real `vna serve`, from `vna init` on.

Screenshots are kept in build/screens for people to look at.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests import prepared
from tests.cli.serving import Serving, serving
from tests.flows.axe import violations
from tests.flows.chromium import SCREENS, chromium
from tests.flows.serving import ROOT
from tests.flows.test_viewer import DESKTOP, PHONE, Told

PASSPHRASE = "four green bicycles"


def vna(*words: str) -> str:
    """Run a command and return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "vna", *words], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    """An archive with TLS and nobody in it yet."""
    folder = Path(tempfile.mkdtemp(prefix="vna-sign-in-"))
    folder.chmod(0o755)
    prepared.lay(folder / "data")
    vna("init", "--data", str(folder / "data"))
    with serving(folder / "data", dev=False) as server:
        yield server
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # our certificate is our own: who signs in compares its fingerprint
    with chromium("--ignore-certificate-errors") as found:
        yield found


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    found = browser.new_context(
        viewport=DESKTOP,  # type: ignore[arg-type]  # a TypedDict of the same keys
        ignore_https_errors=True,
    )
    yield found
    found.close()


def root(served: Serving) -> str:
    return "https://localhost:" + served.state()["http"].rpartition(":")[2]


def link(text: str, served: Serving) -> str:
    found = re.search(r"/enrol#\S+", text)
    assert found is not None, text
    return root(served) + found[0]


def shoot(page: Page, name: str) -> None:
    """Take a picture on phone and desktop; neither scrolls sideways, axe finds nothing."""
    for size, of in ((PHONE, "phone"), (DESKTOP, "desktop")):
        page.set_viewport_size(size)  # type: ignore[arg-type]  # a TypedDict of the same keys
        page.screenshot(path=SCREENS / f"{name}-{of}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
        assert violations(page) == [], (name, of)


def test_the_first_administrator_enrols_signs_in_and_out(
    served: Serving, context: BrowserContext
) -> None:
    told = Told()
    page = context.new_page()
    told.watch(page)
    page.goto(link(vna("init", "--data", str(served.data)), served))
    shoot(page, "enrol")
    assert "#" not in page.url
    page.get_by_role("button", name="Begin").click()
    page.get_by_label("Passphrase").fill(PASSPHRASE)
    page.get_by_label("Once more").fill(PASSPHRASE)
    shoot(page, "enrol-passphrase")
    page.get_by_role("button", name="Go on").click()
    app = pyotp.TOTP(page.locator("code.secret").inner_text().replace(" ", ""))
    assert page.locator(".picture svg").is_visible()
    shoot(page, "enrol-factor")
    page.get_by_label("Code").fill(app.now())
    page.get_by_role("button", name="Go on").click()
    assert page.locator(".codes li").count() == 10
    shoot(page, "enrol-codes")
    page.get_by_role("link", name="I have them").click()
    page.get_by_role("heading", name="Studies").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    shoot(page, "sign-in")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Passphrase").fill(PASSPHRASE)
    page.get_by_role("button", name="Go on").click()
    shoot(page, "sign-in-factor")
    page.get_by_label("Code").fill(app.at(int(time.time()) + 30))
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("heading", name="Studies").wait_for()
    shoot(page, "studies-signed-in")
    page.get_by_role("link", name="admin").click()
    page.get_by_role("heading", name="My account").wait_for()
    shoot(page, "account")
    page.get_by_role("button", name="Sign out").click()
    page.goto(root(served))
    assert page.get_by_role("heading", name="See my images").is_visible()
    assert told.errors == []


def test_a_person_enrols_and_signs_in_with_a_passkey(
    served: Serving, context: BrowserContext
) -> None:
    page = context.new_page()
    remote = context.new_cdp_session(page)
    remote.send("WebAuthn.enable")
    remote.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    page.goto(
        link(vna("user", "add", "ada", "--role", "radiologist", "--data", str(served.data)), served)
    )
    page.get_by_role("button", name="Begin").click()
    page.get_by_label("Passphrase").fill(PASSPHRASE)
    page.get_by_label("Once more").fill(PASSPHRASE)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Use a passkey").click()
    page.get_by_role("heading", name="Your recovery codes").wait_for()
    page.get_by_role("link", name="I have them").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.get_by_role("heading", name="Studies").wait_for()
    assert page.get_by_role("link", name="ada").is_visible()
    page.goto(root(served) + "/account")
    assert page.get_by_text("For localhost").is_visible()
    shoot(page, "account-passkey")

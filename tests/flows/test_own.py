"""A patient's account in a real browser: from the code of a desk to the images, on a phone.

Screenshots are kept in build/screens for people to look at. axe-core finds nothing on any page.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.flows.test_inbox import AXE
from tests.flows.test_shares import _VIOLATIONS, PHONE, browser, report, slices
from tests.flows.test_viewer import SCREENS, Told
from tests.web.conftest import Site, serving
from tests.web.people import signed_in

__all__ = ["browser"]

DESKTOP = {"width": 1280, "height": 800}
SIZES = {"phone": PHONE, "narrow": {"width": 320, "height": 640}, "desktop": DESKTOP}
DARK = ("doors", "timeline", "study")
PASSPHRASE = "four green bicycles"
BORN = {"PatientBirthDate": "19700102", "PatientSex": "F"}
STUDY = slices(1, 6)
ELSEWHERE = ct(
    2,
    patient_id="E-7",
    patient_name="Doe^Jane",
    values={**BORN, "StudyDate": "20230405", "InstitutionName": "Clinic East"},
)


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    name = {"name": "Example Hospital", "help": "Imaging desk, +44 20 7946 0000, 8 to 18"}
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False, site=name) as site:
        for one in (*STUDY, report(1), ELSEWHERE):
            one.values = {**BORN, **one.values}
            site.archive.take(one.part10())
        site.archive.identities.keep_up()
        yield site


@pytest.fixture
def phone(browser: Browser) -> Iterator[BrowserContext]:
    found = browser.new_context(
        viewport=PHONE,  # type: ignore[arg-type]  # a TypedDict of the same keys
        has_touch=True,
        is_mobile=True,
        device_scale_factor=2,
    )
    yield found
    found.close()


@pytest.fixture
def desk(browser: Browser, site: Site) -> Iterator[Page]:
    """The browser of a records clerk who is signed in."""
    clerk = signed_in(site, "clerk", "records-clerk")
    found = browser.new_context(viewport=DESKTOP)  # type: ignore[arg-type]  # a TypedDict of the same keys
    found.add_cookies([{"name": "vna", "value": clerk.cookie(), "url": root(site)}])
    yield found.new_page()
    found.close()


def root(site: Site) -> str:
    return f"http://localhost:{site.address.port}"  # passkeys know no addresses of numbers


def looked_at(page: Page, name: str) -> None:
    """Take pictures; nothing scrolls sideways, axe finds nothing, here and there in the dark."""
    page.wait_for_load_state("networkidle")
    page.evaluate(AXE.read_text(encoding="utf-8"))  # past the policy of the page
    for of, size in SIZES.items():
        page.set_viewport_size(size)  # type: ignore[arg-type]  # a TypedDict of the same keys
        if of != "narrow":
            page.screenshot(path=SCREENS / f"own-{name}-{of}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), of
    for scheme in ("light", "dark") if name in DARK else ("light",):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]  # a word of these
        assert page.evaluate(_VIOLATIONS) == [], (name, scheme)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # a TypedDict of the same keys


def with_passkeys(context: BrowserContext, page: Page) -> None:
    """Give a page an authenticator that says yes."""
    remote = context.new_cdp_session(page)
    remote.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True,
        "hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True,
    }  # fmt: skip
    remote.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def test_from_the_code_of_a_desk_to_the_images_and_who_looked(
    site: Site, phone: BrowserContext, desk: Page
) -> None:
    told = Told()
    told.watch(desk)

    # the desk: one person over two identities, compared, and a code
    first, other = (
        site.archive.identities.named(site.archive.who, site.archive.settings.site.issuer, one)[0]
        for one in (STUDY[0].patient_id, "E-7")
    )
    site.archive.identities.link(site.archive.who, first.id, other.id, reason="Asked her")
    desk.goto(f"{root(site)}/study/{STUDY[0].study}")
    desk.get_by_role("link", name="Account for this person").click()
    looked_at(desk, "desk")
    desk.get_by_label("Name Doe, Jane").check()
    desk.get_by_label("Date of birth 1970-01-02").check()
    desk.get_by_role("button", name="Make a code").click()
    desk.get_by_role("heading", name="Hand over this code").wait_for()
    looked_at(desk, "desk-code")
    code = desk.locator(".shown-once").inner_text()
    with desk.expect_download() as sheet:
        desk.get_by_role("button", name="Print the sheet").click()
    assert sheet.value.suggested_filename == "account.pdf"
    desk.goto(f"{root(site)}/view/{STUDY[0].study}")  # somebody of the staff looks, too

    # the telephone: the start page, the code of the sheet, a passkey
    page = phone.new_page()
    told.watch(page)
    with_passkeys(phone, page)
    page.goto(root(site))
    page.get_by_role("heading", name="See my images").wait_for()
    looked_at(page, "doors")
    page.get_by_role("link", name="I have a code for an account").click()
    page.get_by_role("heading", name="Your own account").wait_for()
    looked_at(page, "start")
    page.goto("about:blank")
    page.goto(f"{root(site)}/my/start#{code}")  # as the picture on the sheet has it
    assert "#" not in page.url
    assert page.get_by_label("Code from your sheet").is_hidden()
    page.get_by_label("Your date of birth").fill("1970-01-02")
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Passphrase").fill(PASSPHRASE)
    page.get_by_label("Once more").fill(PASSPHRASE)
    looked_at(page, "passphrase")
    page.get_by_role("button", name="Go on").click()
    looked_at(page, "factor")
    page.get_by_role("button", name="Use a passkey").click()
    page.get_by_role("heading", name="Your recovery codes").wait_for()
    page.get_by_role("link", name="I have them").click()

    # everything about her, of both identities, newest first
    page.get_by_role("heading", name="Images of Doe, Jane").wait_for()
    looked_at(page, "timeline")
    assert page.locator("a.exam").count() == 2
    assert page.get_by_text("Clinic East").is_visible()
    page.locator(f'a[href="/my/study/{STUDY[0].study}"]').click()
    page.get_by_role("heading", name="Who looked at it").wait_for()
    looked_at(page, "study")
    assert page.get_by_text("The records office, Example Hospital").is_visible()
    page.get_by_role("link", name="View").click()
    page.get_by_text("Image 1 of 6").first.wait_for()
    page.get_by_role("link", name="Next image").click()
    page.get_by_text("Image 2 of 6").first.wait_for()
    looked_at(page, "viewer")
    page.get_by_role("link", name="Back").click()
    page.get_by_role("heading", name="Who looked at it").wait_for()
    page.get_by_role("link", name="Who looked").click()
    page.get_by_role("heading", name="Who looked at your images").wait_for()
    page.locator("summary").click()
    looked_at(page, "access")
    page.get_by_role("link", name="My account").click()
    page.get_by_text("Passkey of").wait_for()
    looked_at(page, "account")

    # staff find out that it is two people: what is another's is gone at once
    site.archive.identities.part(site.archive.who, first.id, other.id, reason="Her sister")
    page.get_by_role("link", name="My images").click()
    page.locator("a.exam").first.wait_for()
    if page.locator("a.exam").count() == 2:  # who was believed is, for half a second
        page.wait_for_function("fetch('/my').then(a => a.text()).then(t => !t.includes('Clinic'))")
        page.reload()
    assert page.locator("a.exam").count() == 1
    assert page.goto(f"{root(site)}/my/study/{ELSEWHERE.study}").status == 404  # type: ignore[union-attr]  # answered
    looked_at(page, "not-hers")

    # out, and in again by the passkey: to her pages, never to those of staff
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.get_by_role("heading", name="Images of Doe, Jane").wait_for()
    # the refused pages are logged by the browser as what they are
    assert [one for one in told.errors if "404" not in one] == []

"""A patient's account in a real browser: from the code of a desk to the images, on a phone.

Screenshots are kept in build/screens for people to look at. axe-core finds nothing on any page.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.flows.axe import all_there, violations
from tests.flows.chromium import SCREENS
from tests.flows.test_shares import PHONE, browser, report, slices
from tests.flows.test_viewer import Told
from tests.web.conftest import Site, serving
from tests.web.guests import offered
from tests.web.people import signed_in
from vna.sharing.values import Purpose, Recipient

__all__ = ["browser"]

DESKTOP = {"width": 1280, "height": 800}
SIZES = {"phone": PHONE, "narrow": {"width": 320, "height": 640}, "desktop": DESKTOP}
_CLERKS = itertools.count()
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
    with serving(
        postgres, tmp_path_factory.mktemp("site"), dev=False, site=name, guests={"enabled": True}
    ) as site:
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
    clerk = signed_in(site, f"clerk{next(_CLERKS)}", "records-clerk")
    found = browser.new_context(viewport=DESKTOP)  # type: ignore[arg-type]  # a TypedDict of the same keys
    found.add_cookies([{"name": "vna", "value": clerk.cookie(), "url": root(site)}])
    yield found.new_page()
    found.close()


def root(site: Site) -> str:
    return f"http://localhost:{site.address.port}"  # passkeys know no addresses of numbers


def looked_at(page: Page, name: str) -> None:
    """Take pictures; nothing scrolls sideways, axe finds nothing, here and there in the dark."""
    all_there(page)
    for of, size in SIZES.items():
        page.set_viewport_size(size)  # type: ignore[arg-type]  # a TypedDict of the same keys
        if of != "narrow":
            page.screenshot(path=SCREENS / f"own-{name}-{of}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), of
    for scheme in ("light", "dark") if name in DARK else ("light",):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]  # a word of these
        assert violations(page) == [], (name, scheme)
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
        site.archive.identities.views.named(
            site.archive.who, site.archive.settings.site.issuer, one
        )[0]
        for one in (STUDY[0].patient_id, "E-7")
    )
    site.archive.join(first.id, other.id)
    desk.goto(f"{root(site)}/study/{STUDY[0].study}")
    desk.get_by_role("link", name="Account for this person").click()
    looked_at(desk, "desk")
    new = desk.locator("section[aria-labelledby=new]")
    if new.locator("summary").count():  # she has another one by a link
        new.locator("summary").click()
    new.get_by_label("Name Doe, Jane").check()
    new.get_by_label("Date of birth 1970-01-02").check()
    new.get_by_label("A paper with their picture").check()
    new.get_by_role("button", name="Make a code").click()
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

    # where she is written to: at once the first time, a day later from then on
    posted, field = site.archive.posted, "E-mail"
    for address in ("jane@example.org", "somebody@example.net"):
        page.get_by_role("textbox", name=field).fill(address)
        page.get_by_role("button", name="Send a code there E-mail").click()
        page.get_by_label("The code we sent there").fill(posted.last("prove").values["code"])
        page.get_by_role("button", name="Confirm").click()
        page.get_by_text("Confirmed").wait_for()
        field = "Another instead: E-mail"
    page.get_by_text("we write to s…@example.net instead").wait_for()
    looked_at(page, "account-held")
    assert posted.last("contact-held").to.value == "jane@example.org"
    desk.goto(f"{root(site)}/study/{STUDY[0].study}/account")
    desk.get_by_text("to s…@example.net").wait_for()
    looked_at(desk, "desk-held")
    desk.get_by_role("button", name="Stop it: leave it as it was").click()
    desk.get_by_text("It stays as it was").wait_for()
    looked_at(desk, "desk-kept")
    page.reload()
    assert page.get_by_text("example.net").count() == 0

    # staff find out that it is two people: what is another's is gone at once
    site.archive.identities.part(site.archive.who, first.id, other.id, reason="Her sister")
    page.get_by_role("link", name="My images").click()
    page.locator("a.exam").first.wait_for()
    for _ in range(100):  # who was believed is, for half a second
        if page.locator("a.exam").count() == 1:
            break
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


def test_from_a_link_to_an_account_that_waits_for_the_desk_in_german(
    site: Site, browser: Browser, desk: Page
) -> None:
    told = Told()
    theirs = Recipient(name="Doe, Jane")
    share = offered(site, STUDY[0], purpose=Purpose.PATIENT_REQUEST, recipient=theirs)
    context = browser.new_context(
        viewport=PHONE,  # type: ignore[arg-type]  # a TypedDict of the same keys
        locale="de-DE",
    )
    page = context.new_page()
    told.watch(page)
    with_passkeys(context, page)
    page.goto(f"{root(site)}/s#{share.secret}")
    page.get_by_role("button", name="Öffnen").click()
    page.get_by_label("Kennwort").fill(str(share.passcode))
    page.get_by_role("button", name="Weiter").click()
    page.get_by_role("link", name="Diese Bilder in einem eigenen Konto behalten").click()
    looked_at(page, "keep")
    page.get_by_label("Das sind Bilder von mir").check()
    page.get_by_role("button", name="Mein Konto anlegen").click()
    page.get_by_label("Kennsatz").fill(PASSPHRASE)
    page.get_by_label("Noch einmal").fill(PASSPHRASE)
    page.get_by_role("button", name="Weiter").click()
    page.get_by_role("button", name="Passkey benutzen").click()
    page.get_by_role("link", name="Ich habe sie").click()
    page.get_by_text("Ihr Konto ist da.").wait_for()
    looked_at(page, "waits")

    # the desk compares; then the images are there
    desk.goto(f"{root(site)}/patients")
    desk.get_by_role("heading", name="Accounts that wait for you").wait_for()
    looked_at(desk, "desk-waiting")
    desk.get_by_role("link", name="Compare").click()
    waiting = desk.locator("section.card", has_text="Waits for you to compare")
    looked_at(desk, "desk-compare")
    waiting.get_by_label("Name Doe, Jane").check()
    waiting.get_by_label("Date of birth 1970-01-02").check()
    waiting.get_by_role("button", name="It is them").click()
    desk.get_by_text("The account is confirmed").wait_for()
    page.reload()
    page.get_by_role("heading", name="Bilder von Doe, Jane").wait_for()
    page.get_by_role("link", name="Mein Konto").click()
    page.get_by_role("textbox", name="E-Mail").fill("jane@example.org")
    page.get_by_role("button", name="Einen Code dorthin senden E-Mail").click()
    page.get_by_label("Der Code, den wir dorthin gesendet haben").wait_for()
    looked_at(page, "contact")
    page.get_by_label("Der Code").fill(site.archive.posted.last("prove").values["code"])
    page.get_by_role("button", name="Bestätigen").click()
    page.get_by_text("Bestätigt").wait_for()
    assert told.errors == []
    context.close()

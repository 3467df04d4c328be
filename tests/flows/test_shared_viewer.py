"""The advanced viewer over a share's own base, in a real browser: it draws, and sees no more."""

from __future__ import annotations

import datetime as dt

from playwright.sync_api import Browser
from playwright.sync_api import Error as PlaywrightError

from tests.flows.chromium import SCREENS
from tests.flows.serving import Serving
from tests.flows.test_viewer import DESKTOP, DRAWN_MS, HAS_DRAWN, Told, browser, served
from vna.access.principal import developer
from vna.app import at_work
from vna.dicom.refs import UID, StudyRef
from vna.loading import load
from vna.sharing.values import Confirmed, Offer, Person, Protection, Purpose, Recipient

__all__ = ["browser", "served"]


def test_the_advanced_viewer_opens_what_was_shared(
    served: tuple[Serving, dict[str, str]], browser: Browser
) -> None:
    serving, studies = served
    url = f"http://127.0.0.1:{serving.http}"
    with at_work(load(environ={}, flags={"data": str(serving.data), "dev": True}), "share") as it:
        share = it.engines.sharing.offer(
            developer("clerk"),
            Offer(
                studies=frozenset({StudyRef(UID(studies["ct"]))}),
                person=Person(
                    name="Somebody", confirmed=frozenset({Confirmed.NAME, Confirmed.PATIENT_ID})
                ),
                recipient=Recipient(name="Dr. Gray"),
                purpose=Purpose.TREATMENT,
                to=None,
                proof=frozenset({Protection.PASSCODE}),
                until=dt.datetime.now(dt.UTC) + dt.timedelta(days=20),
                legal_basis="treatment",
            ),
        )
    told = Told()
    asked: list[str] = []
    page = browser.new_page(viewport=DESKTOP)  # type: ignore[arg-type]  # a TypedDict
    told.watch(page)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{url}/s#{share.secret}")
    page.get_by_role("button", name="Open").click()
    page.get_by_label("Passcode").fill(str(share.passcode))
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("link", name="View").click()
    page.get_by_role("link", name="Open advanced viewer").click()
    try:
        page.wait_for_function(HAS_DRAWN, timeout=DRAWN_MS)
    except PlaywrightError as exc:
        raise AssertionError(f"nothing is drawn: {told.errors}, asked last: {asked[-5:]}") from exc
    finally:
        page.screenshot(path=SCREENS / "share-advanced.png")
    assert not [one for one in asked if one.startswith(f"{url}/dicom-web")]
    assert told.errors == []
    page.close()

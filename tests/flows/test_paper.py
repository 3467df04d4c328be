"""Pages on paper: dark ink, whose it is, nothing cut off, and no buttons."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import TestPostgres
from tests.factories import ct, uid
from tests.flows.chromium import SCREENS
from tests.flows.test_shares import browser
from tests.web.conftest import Site, serving

__all__ = ["browser"]

A4 = {"width": 718, "height": 1020}  # between margins of a centimetre
PAGES = {
    "list": "/",
    "study": f"/study/{uid(1)}",
    "viewer": f"/view/{uid(1)}",
    "opened": f"/study/{uid(1)}/opened",
    "shares": "/shares?tab=all",
}
# luminance of ink and of what it stands on, of each element with text of its own (WCAG 1.4.3)
_CONTRAST = """() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(n => {
      const part = n / 255;
      return part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4;
    });
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(color)) return light(color);
    }
    return 1;
  };
  const weak = [];
  for (const one of document.querySelectorAll('main *, body.light header *')) {
    const own = [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || !one.checkVisibility() || one.closest('.unseen, .over, button, .button')) continue;
    const [a, b] = [light(getComputedStyle(one).color), ground(one)].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) weak.push(one.outerHTML.slice(0, 90));
  }
  return weak;
}"""


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site")) as site:
        plane = {"ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"]}
        site.archive.take(ct(1, rows=64, columns=64, values=plane).part10())
        yield site


@pytest.fixture(params=["dark", "light"])
def paper(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(
        viewport=A4,  # type: ignore[arg-type]  # a TypedDict of the same keys
        color_scheme=request.param,
    )
    page = context.new_page()
    page.emulate_media(media="print")
    yield page
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_on_paper_can_be_read(site: Site, paper: Page, name: str) -> None:
    """A screen set to dark printed near white on white."""
    paper.goto(f"{site.address.url}{PAGES[name]}")
    paper.wait_for_load_state()
    assert paper.evaluate(_CONTRAST) == []
    assert paper.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for way in (".nav", ".search", ".pages", ".ways", ".actions", ".tools"):
        assert paper.locator(way).filter(visible=True).count() == 0, way
    paper.screenshot(path=SCREENS / f"paper-{name}.png")


def test_a_picture_on_paper_says_whose_it_is(site: Site, paper: Page) -> None:
    paper.goto(f"{site.address.url}/view/{uid(1)}")
    paper.wait_for_function("() => shown === address(1)")
    head = paper.locator("header").inner_text()
    for told in ("Doe, Jane", "ID ", "2024-01-02", "Not for diagnosis"):
        assert told in head
    assert paper.locator('[data-side="top"]').is_visible()
    assert paper.locator("[data-scaled]").is_hidden()  # as long as it was on the screen

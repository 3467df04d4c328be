"""The letters, the scale and the line of the light viewer, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.conftest import TestPostgres
from tests.factories import ct, uid
from tests.flows.chromium import SCREENS
from tests.flows.test_shares import browser, phone
from tests.web.conftest import Site, serving

__all__ = ["browser", "phone"]

TRANSVERSE, SAGITTAL = ["1", "0", "0", "0", "1", "0"], ["0", "1", "0", "0", "0", "-1"]
ROWS, COLUMNS = 100, 200
SHADOW = {"Modality": "CR", "ImagerPixelSpacing": ["0.5", "0.5"], "PixelSpacing": None}
SHOWN = "() => [...document.querySelectorAll('[data-side]')].map(one => one.textContent).join('')"
DRAWN = "n => shown === address(n)"


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site")) as site:
        size = {"rows": ROWS, "columns": COLUMNS}
        for number, plane in enumerate((TRANSVERSE, SAGITTAL), 1):
            values = {"PixelSpacing": ["1", "0.5"], "ImageOrientationPatient": plane}
            site.archive.take(ct(instance=number, values=values, **size).part10())
        site.archive.take(ct(2, values=SHADOW, modality="CR", **size).part10())
        yield site


def opened(site: Site, phone: BrowserContext, study: int = 1) -> Page:
    page = phone.new_page()
    page.goto(f"{site.address.url}/view/{uid(study)}")
    page.wait_for_function(DRAWN, arg=1)
    page.wait_for_function("() => geometry.series === series.uid && geometry.kinds.length")
    return page


def test_letters_belong_to_the_picture_that_is_shown(site: Site, phone: BrowserContext) -> None:
    """A letter of the next picture beside this one would turn the patient round."""
    page = phone.new_page()
    second = re.compile(re.escape(uid(1, 1, 2)) + r"/.*/rendered\?")
    page.route(second, lambda route: route.abort())
    page.goto(f"{site.address.url}/view/{uid(1)}")
    page.wait_for_function(DRAWN, arg=1)
    assert page.evaluate(SHOWN) == "ALPR"
    page.locator("[data-stage]").press("End")
    page.get_by_text("This image could not be loaded").wait_for()
    assert page.evaluate(SHOWN) == ""
    page.unroute(second)
    page.evaluate("dispatchEvent(new Event('online'))")
    page.wait_for_function(DRAWN, arg=2)
    assert page.evaluate(SHOWN) == "HPFA"
    names = page.locator("[data-sides]").get_attribute("aria-label")
    assert names == "At the edges: top H, right P, bottom F, left A"
    page.screenshot(path=SCREENS / "light-sides.png")


def test_no_letters_of_the_last_picture_stay_while_those_of_this_one_are_unknown(
    site: Site, phone: BrowserContext
) -> None:
    page = phone.new_page()
    page.route("**/geometry", lambda route: route.abort())
    page.goto(f"{site.address.url}/view/{uid(1)}")
    page.wait_for_function(DRAWN, arg=1)
    assert page.evaluate(SHOWN) == "ALPR"
    page.locator("[data-stage]").press("End")
    page.wait_for_function(DRAWN, arg=2)
    assert page.evaluate(SHOWN) == ""
    page.unroute("**/geometry")
    page.evaluate("dispatchEvent(new Event('online'))")
    page.wait_for_function(f"() => ({SHOWN})() === 'HPFA'")


@pytest.mark.parametrize("zoomed", [False, True])
def test_a_line_measures_what_it_is_drawn_over(
    site: Site, phone: BrowserContext, zoomed: bool
) -> None:
    """Of pixels that are not square, too: 1 mm down and half of one across."""
    page = opened(site, phone)
    if zoomed:
        page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Measure a length").click()
    box = page.evaluate("fitted()")
    stage = page.locator("[data-stage]").bounding_box()
    assert stage is not None
    x, y = stage["x"] + box["x"], stage["y"] + box["y"] + box["high"] / 4
    drag(page, (x, y), (x + box["wide"] * 0.15, y))
    assert length(page) == pytest.approx(15, abs=0.5)  # 200 columns of half a millimetre
    x -= box["wide"] * 0.15  # away from its ends: another line
    drag(page, (x, y), (x, y - box["high"] * 0.4))
    assert length(page) == pytest.approx(40, abs=0.5)  # 100 rows of one
    assert scaled(page) == pytest.approx(page.evaluate("100 / fitted().wide"), rel=0.01)
    page.screenshot(path=SCREENS / f"light-line-{zoomed}.png")


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=3)
    page.mouse.up()


def length(page: Page) -> float:
    text = page.locator("[data-measured]").inner_text()
    number, unit = text.split(" ")
    assert unit == "mm"
    return float(number)


def scaled(page: Page) -> float:
    """How many millimetres a pixel of the screen is, by the scale."""
    drawn = page.locator("[data-scale]").evaluate("one => one.getBBox().width")
    return float(page.locator("[data-scaled]").inner_text().split(" ")[0]) / float(drawn)


def test_by_keyboard_a_line_is_moved_and_told(site: Site, phone: BrowserContext) -> None:
    page = opened(site, phone)
    stage = page.locator("[data-stage]")
    stage.press("m")
    before = length(page)
    for _ in range(20):
        stage.press("ArrowRight")
    assert length(page) > before
    expect(page.locator("[data-told]")).to_have_text(page.locator("[data-measured]").inner_text())
    for _ in range(20):
        stage.press("Shift+ArrowRight")
    assert length(page) == pytest.approx(before, abs=0.2)
    assert page.evaluate("at") == 1
    stage.press("PageDown")
    page.wait_for_function(DRAWN, arg=2)
    assert page.locator("[data-measured]").is_hidden()  # that was of another picture


def test_of_a_shadow_a_size_says_that_it_holds_at_the_detector(
    site: Site, phone: BrowserContext
) -> None:
    """PS3.3 10.7.1.3: what lies nearer to the source is smaller than its shadow."""
    page = opened(site, phone, study=2)
    page.get_by_role("button", name="Measure a length").click()
    for part in ("measured", "scaled"):
        assert page.locator(f"[data-{part}]").inner_text().endswith("mm at the detector")


_COVERED = """() => {
  const boxes = [...document.querySelectorAll('.side, .place, .scaled, .measured')]
    .filter(one => one.checkVisibility()).map(one => [one.className, one.getBoundingClientRect()]);
  return boxes.flatMap(([name, a], at) => boxes.slice(at + 1).filter(([, b]) =>
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
  ).map(([other]) => `${name} and ${other}`));
}"""
_LARGE = """() => {
  document.documentElement.style.fontSize = '32px';
  dispatchEvent(new Event('resize'));
}"""


@pytest.mark.parametrize("size", [(375, 667), (320, 568), (320, 256), (667, 375), (1280, 800)])
@pytest.mark.parametrize("is_large", [False, True])
def test_there_is_an_image_to_see_however_large_the_letters_are(
    site: Site, phone: BrowserContext, size: tuple[int, int], is_large: bool
) -> None:
    """At a zoom of 400 %, or with letters twice as large, its height was nothing (WCAG 1.4.4)."""
    page = phone.new_page()
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto(f"{site.address.url}/view/{uid(1)}")
    page.wait_for_function(DRAWN, arg=1)
    if is_large:
        page.evaluate(_LARGE)
    assert page.evaluate("stage.clientHeight") >= min(140, size[1] * 0.5)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    if not is_large:
        assert page.evaluate(_COVERED) == []
    for name in ("Less contrast", "Zoom in", "Previous image"):  # nothing is out of reach
        page.get_by_label(name).or_(page.get_by_title(name)).first.click(trial=True)

"""What the light viewer keeps, counted in a real browser: few bytes, however long one looks."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.conftest import TestPostgres
from tests.factories import Instance, ct, uid
from tests.flows.test_shares import browser, phone
from tests.flows.test_viewer import Told
from tests.web.conftest import Site, serving

__all__ = ["browser", "phone"]

PICTURES = re.compile(r"/rendered\?")
COUNT, SIDE = 24, 1024  # the largest pictures the viewer asks for
PICTURE = 4 * SIDE * SIDE  # decoded
# how much stands decoded at once, whoever holds it: counted where the browser makes and frees it
COUNTED = """
  const made = window.createImageBitmap, free = ImageBitmap.prototype.close, alive = new Set();
  window.decoded = { now: 0, most: 0, all: 0 };
  const counted = (step, bitmap) => {
    alive[step > 0 ? 'add' : 'delete'](bitmap);
    decoded.now += step * 4 * bitmap.width * bitmap.height;
    decoded.most = Math.max(decoded.most, decoded.now);
    decoded.all += step > 0;
  };
  window.createImageBitmap = async (source) => {
    const bitmap = await made(source);
    counted(1, bitmap);
    return bitmap;
  };
  ImageBitmap.prototype.close = function () {
    if (alive.has(this)) counted(-1, this);
    free.call(this);
  };
"""
AT = "n => document.querySelector('[data-stage] canvas')?.ariaLabel.includes(`Image ${n} of`)"
HELD = "() => [[...held.values()].reduce((sum, one) => sum + (one.size || 0), 0), HELD, held.size]"


def slices() -> Iterator[Instance]:
    """Noise, so that pictures weigh as much as they can: no two rows are alike."""
    row = [(7919 * n * n % 4093).to_bytes(2, "little") for n in range(SIDE)]
    for number in range(1, COUNT + 1):
        turned = (b"".join(row[n % 97 :] + row[: n % 97]) for n in range(number, number + SIDE))
        yield ct(
            instance=number,
            rows=SIDE,
            columns=SIDE,
            pixels=b"".join(turned),
            values={"WindowCenter": "2000", "WindowWidth": "4000"},
        )


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site")) as site:
        for one in slices():
            site.archive.take(one.part10())
        for number in range(1, 9):
            small = ct(study=2, series=max(1, number - 5), instance=number, rows=64, columns=64)
            site.archive.take(small.part10())
        yield site


def test_a_phone_holds_a_few_pictures_however_long_one_looks(
    site: Site, phone: BrowserContext
) -> None:
    told, page = Told(), phone.new_page()
    told.watch(page)
    page.set_viewport_size({"width": 600, "height": 1000})  # so that it asks for the largest
    page.add_init_script(COUNTED)
    page.goto(f"{site.address.url}/view/{uid(1)}")
    page.wait_for_function(AT, arg=1)
    stage = page.locator("[data-stage]")
    there, back = range(2, COUNT + 1), range(COUNT - 1, 0, -1)
    for key, number in (*(("ArrowDown", n) for n in there), *(("ArrowUp", n) for n in back)):
        stage.press(key)
        page.wait_for_function(AT, arg=number)
        few_bytes(page)
    film(page)
    few_bytes(page)
    assert page.evaluate("decoded.all") >= COUNT
    assert told.errors == []
    no_text_becomes_markup(page)


def few_bytes(page: Page) -> None:
    """One that waits and one that is being decoded; as they came, four megabytes and a little."""
    assert page.evaluate("decoded.most") <= 2 * PICTURE
    size, most, count = page.evaluate(HELD)
    assert size <= most + 3 * PICTURE // 4
    assert count <= 15
    assert page.locator("[data-stage] img").count() == 0
    assert page.evaluate("canvas.width * canvas.height * 4") == PICTURE


def film(page: Page) -> None:
    """Play past the end: a film goes on with its first picture."""
    page.locator("[data-stage]").press("End")
    page.wait_for_function(AT, arg=COUNT)
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("() => at > 2 && at < 20")
    page.get_by_role("button", name="Pause").click()


def no_text_becomes_markup(page: Page) -> None:
    """The policy of the page refuses it, whatever a script does (Trusted Types)."""
    sinks = (
        "document.body.innerHTML = '<p>x'",
        "document.body.insertAdjacentHTML('beforeend', '<p>x')",
        "new DOMParser().parseFromString('<p>x', 'text/html')",
        "document.createElement('script').text = 'x'",
        "document.createElement('iframe').srcdoc = 'x'",
        "trustedTypes.createPolicy('any', { createHTML: (text) => text })",
    )
    for sink in sinks:
        tried = f"() => {{ try {{ {sink}; }} catch (e) {{ return e.name; }} return 'done'; }}"
        assert page.evaluate(tried) == "TypeError", sink


def test_what_was_lost_without_a_connection_is_there_again_with_one(
    site: Site, phone: BrowserContext
) -> None:
    """Images are fetched ahead: a few seconds in a lift cost those nobody had looked at yet."""
    page = phone.new_page()
    page.goto(f"{site.address.url}/view/{uid(2)}?series={uid(2, 1)}")
    page.wait_for_function(AT, arg=1)
    page.wait_for_function("() => held.size === series.places && !decoding")  # none is on its way
    page.route(PICTURES, lambda route: route.abort())
    page.evaluate("held.clear()")
    stage = page.locator("[data-stage]")
    stage.press("End")
    page.get_by_text("This image could not be loaded. Check the connection").wait_for()
    page.wait_for_function("() => lost.size > 2")
    page.unroute(PICTURES)
    stage.press("ArrowUp")
    page.wait_for_function(AT, arg=5)
    phone.set_offline(True)
    stage.press("Home")
    phone.set_offline(False)
    page.wait_for_function(AT, arg=1)
    page.wait_for_function("() => !lost.size")


@pytest.mark.parametrize(
    ("status", "text"),
    [(406, "This part cannot be shown here"), (503, "This image could not be loaded")],
)
def test_an_image_nobody_can_draw_is_no_matter_of_the_connection(
    site: Site, phone: BrowserContext, status: int, text: str
) -> None:
    page = phone.new_page()
    page.route(PICTURES, lambda route: route.fulfill(status=status))
    page.goto(f"{site.address.url}/view/{uid(2)}")
    page.get_by_text(text).wait_for()


def test_the_series_chosen_last_is_the_one_that_is_shown(site: Site, phone: BrowserContext) -> None:
    page = phone.new_page()
    page.goto(f"{site.address.url}/view/{uid(2)}?series={uid(2, 1)}")
    page.wait_for_function(AT, arg=1)
    with page.expect_request(f"**/view/{uid(2)}/{uid(2, 2)}"):
        page.evaluate(_LATE, uid(2, 2))
        page.locator(f'[data-go="{uid(2, 2)}"]').click()
        page.locator(f'[data-go="{uid(2, 3)}"]').click()
        page.locator(f'[data-go="{uid(2, 3)}"][aria-current]').wait_for()
        page.evaluate("release()")
    page.wait_for_function("() => late")
    assert page.evaluate("series.uid") == uid(2, 3)
    assert page.locator("[data-go][aria-current]").get_attribute("data-go") == uid(2, 3)


_LATE = """slow => {
  const asked = window.fetch, gate = new Promise(open => { window.release = open; });
  window.late = false;
  window.fetch = async (url, options) => {
    if (!String(url).endsWith(slow)) return asked(url, options);
    await gate;
    const answer = await asked(url, options);
    setTimeout(() => setTimeout(() => { window.late = true; }, 200));
    return answer;
  };
}"""  # the answer about one series comes after that about another


def test_a_series_that_cannot_be_asked_for_is_told_and_may_be_chosen_again(
    site: Site, phone: BrowserContext
) -> None:
    told, page = Told(), phone.new_page()
    page.on("pageerror", lambda e: told.errors.append(str(e)))
    page.goto(f"{site.address.url}/view/{uid(2)}?series={uid(2, 1)}")
    page.wait_for_function(AT, arg=1)
    page.route(f"**/view/{uid(2)}/*", lambda route: route.abort())
    page.locator(f'[data-go="{uid(2, 2)}"]').click()
    page.get_by_text("This image could not be loaded. Check the connection").wait_for()
    page.locator(f'[data-go="{uid(2, 1)}"]').click()
    page.locator("[data-stage] canvas").wait_for()
    page.unroute(f"**/view/{uid(2)}/*")
    page.locator(f'[data-go="{uid(2, 2)}"]').click()
    page.locator(f'[data-go="{uid(2, 2)}"][aria-current]').wait_for()
    assert told.errors == []


def test_a_thumbnail_that_does_not_come_gives_way_to_a_plain_field(
    site: Site, phone: BrowserContext
) -> None:
    page = phone.new_page()
    page.route("**/thumbnail*", lambda route: route.abort())
    page.goto(f"{site.address.url}/view/{uid(1)}")
    page.locator(".strip .no-picture").wait_for()
    assert page.locator(".strip img").is_hidden()

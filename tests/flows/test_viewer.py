"""The viewer in a real browser, over a real archive: studies listed, opened, drawn, no errors.

Screenshots are kept in build/screens for people to look at.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pydicom
import pytest
from playwright.sync_api import Browser, Page
from pydicom.data import get_testdata_file

from tests import prepared
from tests.dicom.corpus import shared
from tests.flows.chromium import SCREENS, chromium
from tests.flows.serving import Serving
from tests.web.conftest import body_of
from vna.web.multipart import multipart_type

PHONE, DESKTOP = {"width": 375, "height": 800}, {"width": 1280, "height": 800}
DRAWN_MS = 60_000

# what a study is made of -> its file in the corpus, or one of pydicom's own
KINDS = {
    "ct": "CT_small.dcm",
    "mr": "MR_small.dcm",
    "us-multiframe": "examples_ybr_color.dcm",
    "mr-enhanced": "mr-enhanced/cine-test.dcm",
    "sr": "reportsi.dcm",
}


@dataclass(slots=True)
class Told:
    """What a page complained of."""

    errors: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda e: self.errors.append(str(e)))
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on(
            "response",
            lambda r: self.errors.append(f"{r.status} {r.url}") if r.status >= 400 else None,
        )


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Serving, dict[str, str]]]:
    """An archive with the viewer and one study of each kind: kind -> Study Instance UID."""
    folder = Path(tempfile.mkdtemp(prefix="vna-viewer-"))
    folder.chmod(0o755)
    serving = Serving(folder / "data", {"VNA_BLOBS_FREE_BYTES": "0"})
    try:
        serving.start()
        prepared.lay_viewer(serving.data)
        studies = {}
        for kind, name in KINDS.items():
            path = shared() / "data" / "dicom" / name if "/" in name else get_testdata_file(name)
            if path is not None and Path(path).is_file():
                studies[kind] = _store(serving, Path(path))
        yield serving, studies
    finally:
        serving.stop()
        shutil.rmtree(folder)


def _store(serving: Serving, path: Path) -> str:
    data = path.read_bytes()
    answer = httpx.post(
        f"http://127.0.0.1:{serving.http}/dicom-web/studies",
        content=body_of(data),
        headers={"content-type": multipart_type("application/dicom", "b")},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return str(pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True).StudyInstanceUID)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # a machine without a graphics card draws in software
    drawn = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
    with chromium(*drawn) as found:
        yield found


@pytest.mark.parametrize(("size", "name"), [(PHONE, "phone"), (DESKTOP, "desktop")])
def test_the_start_page_leads_into_the_viewer(
    served: tuple[Serving, dict[str, str]], browser: Browser, size: dict[str, int], name: str
) -> None:
    serving, studies = served
    told = Told()
    page = browser.new_page(viewport=size)  # type: ignore[arg-type]  # a TypedDict of the same keys
    told.watch(page)
    page.goto(f"http://127.0.0.1:{serving.http}/")
    page.screenshot(path=SCREENS / f"studies-{name}.png", full_page=True)

    assert page.locator("tbody tr").count() == len(studies)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    ways = page.locator(f'th a[href$="{studies["ct"]}"]').filter(visible=True)
    way = "/view/" if size is PHONE else "/viewer/viewer?StudyInstanceUIDs="
    assert ways.get_attribute("href") == f"{way}{studies['ct']}"
    assert told.errors == []
    page.close()


_LINES = """([name, other]) => {
  for (const cell of document.querySelectorAll('td.long')) cell.textContent = other;
  return [...document.querySelectorAll('tbody th a')].map(link => {
    link.textContent = name;
    const text = new Range();
    text.selectNodeContents(link);
    return text.getClientRects().length;
  });
}"""  # on so many lines each stands


def test_a_long_name_is_not_cut_in_the_list(
    served: tuple[Serving, dict[str, str]], browser: Browser
) -> None:
    """With the words of German in the heads of the other columns there is the least room."""
    serving, _ = served
    page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="de-DE")
    page.goto(f"http://127.0.0.1:{serving.http}/")
    assert page.locator("h1").inner_text() == "Studien"
    lines = page.evaluate(_LINES, ["Schnarrenberger", "CT Thorax, Abdomen and Pelvis"])
    assert set(lines) <= {0, 1}  # nought: the way into the other viewer
    assert page.evaluate("(e => e.scrollWidth <= e.clientWidth)(document.querySelector('.wide'))")
    page.close()


def test_the_viewer_lists_the_studies(
    served: tuple[Serving, dict[str, str]], browser: Browser
) -> None:
    serving, studies = served
    told = Told()
    page = browser.new_page(viewport=DESKTOP)  # type: ignore[arg-type]
    told.watch(page)
    page.goto(f"http://127.0.0.1:{serving.http}/viewer/")
    page.get_by_text(f"1-{len(studies)} of {len(studies)}").wait_for(timeout=DRAWN_MS)
    page.screenshot(path=SCREENS / "viewer-list.png")
    assert told.errors == []
    page.close()


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_viewer_opens_a_study(
    served: tuple[Serving, dict[str, str]], browser: Browser, kind: str
) -> None:
    serving, studies = served
    if kind not in studies:
        pytest.skip(f"no {kind} among pydicom's own files")
    told = Told()
    page = browser.new_page(viewport=DESKTOP)  # type: ignore[arg-type]
    told.watch(page)
    page.goto(f"http://127.0.0.1:{serving.http}/viewer/viewer?StudyInstanceUIDs={studies[kind]}")
    try:
        if kind == "sr":
            page.get_by_text("SR", exact=True).first.wait_for(timeout=DRAWN_MS)
        else:
            page.wait_for_function(HAS_DRAWN, timeout=DRAWN_MS)
    finally:
        page.screenshot(path=SCREENS / f"viewer-{kind}.png")
    assert told.errors == []
    page.close()


# the viewport's canvas has more than a few colours: something was drawn, not only cleared
HAS_DRAWN = """() => {
  const canvas = document.querySelector('.cornerstone-canvas');
  if (!canvas || !canvas.width) return false;
  const copy = document.createElement('canvas');
  copy.width = copy.height = 64;
  const context = copy.getContext('2d', { willReadFrequently: true });
  context.drawImage(canvas, 0, 0, 64, 64);
  const seen = new Set(new Uint32Array(context.getImageData(0, 0, 64, 64).data.buffer));
  return seen.size > 8;
}"""

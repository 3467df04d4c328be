"""The sheets hold what they should, apart from each other; the QR code is the link's own."""

from __future__ import annotations

import datetime as dt
import re
import zlib

import pytest
import segno

from vna.config import Site
from vna.delivery.printout import CodeSheet, Sheet, code_sheet, link_sheet, passcode_sheet

SITE = Site(name="Zoë's Hospital “Łódź” 病院", help="+49 30 1234 (9-17)")
SHEET = Sheet(
    link="https://images.example.org/s#" + "A1_-" * 10 + "xyz",
    typed_at="https://images.example.org/s",
    code="ABCD-EFGH-JKMN-PQRS",
    number="7KQ2-M4",
    until=dt.date(2026, 12, 20),
    way="…42",
)
POINTS = 72 / 25.4


def drawn(pdf: bytes) -> str:
    """What a reader draws: the content of the pages."""
    pages = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    opened = [zlib.decompress(page) for page in pages]
    return "\n".join(page.decode("cp1252", "replace") for page in opened)


def words(pdf: bytes) -> str:
    """What stands on it, line after line."""
    lines = re.findall(r"\((.*?)(?<!\\)\) Tj", drawn(pdf), re.DOTALL)
    return " ".join(re.sub(r"\\(.)", r"\1", line) for line in lines)


def squares(pdf: bytes) -> set[tuple[int, int]]:
    """Measure the QR code: which modules of its grid are dark."""
    number = r"(-?[\d.]+)"
    boxes = re.findall(rf"{number} {number} {number} {number} re f", drawn(pdf))
    found = [tuple(float(part) for part in box) for box in boxes]
    left = min(x for x, _, _, _ in found)
    top = max(y for _, y, _, _ in found)
    module = min(abs(h) for _, _, _, h in found)
    dark = set()
    for x, y, width, _height in found:
        column, row = round((x - left) / module), round((top - y) / module)
        dark |= {(column + n, row) for n in range(round(width / module))}
    return dark


def test_the_picture_is_the_qr_code_of_the_link_and_large_enough() -> None:
    pdf = link_sheet(SHEET, SITE)
    rows = segno.make(SHEET.link, error="m", micro=False).matrix
    wanted = {(x, y) for y, row in enumerate(rows) for x, module in enumerate(row) if module}
    assert squares(pdf) == wanted
    heights = [float(h) for h in re.findall(r"(-?[\d.]+) re f", drawn(pdf))]
    assert min(abs(h) for h in heights) * len(rows) / POINTS >= 40  # millimetres


def test_the_sheet_says_all_that_is_needed_in_large_print() -> None:
    pdf = link_sheet(SHEET, SITE)
    said = words(pdf)
    for part in (
        "Zoë's Hospital “Lódz” ??",
        "point its camera at this picture",
        "Or type this address into a browser",
        "Then type this code",
        "images.example.org/s",
        "ABCD-EFGH-JKMN-PQRS",
        "the telephone whose number ends in 42",
        "December 20, 2026",
        "+49 30 1234 (9-17)",
        "7KQ2-M4",
    ):
        assert part in said
    sizes = [float(size) for size in re.findall(r"/F\d+ ([\d.]+) Tf", drawn(pdf))]
    assert min(sizes) >= 14


def test_the_sheet_is_written_in_the_language_of_its_reader() -> None:
    german = Sheet(**{**fields(SHEET), "language": "de", "has_passcode": True})
    pdf = link_sheet(german, SITE)
    assert "20. Dezember 2026" in words(pdf)
    assert "eigenen Blatt" in words(pdf)
    assert b"/Lang (de)" in pdf


def test_link_and_passcode_never_stand_on_one_sheet() -> None:
    passcode = passcode_sheet("oven-lemon-tiger-quiet", number="7KQ2-M4", language="en", site=SITE)
    assert "oven-lemon-tiger-quiet" in words(passcode)
    assert "ABCD" not in words(passcode)
    assert not re.search(r" re f", drawn(passcode))
    assert "images.example.org" not in words(passcode)
    assert "oven" not in words(link_sheet(SHEET, SITE))


@pytest.mark.parametrize(
    "pdf", [link_sheet(SHEET, SITE), passcode_sheet("W" * 40, number="1", language="en", site=SITE)]
)
def test_each_sheet_is_one_page_and_nothing_runs_over_its_edge(pdf: bytes) -> None:
    assert pdf.count(b"/Type /Page\n") == 1
    for x, y in re.findall(r"([\d.]+) ([\d.]+) Td", drawn(pdf)):
        assert 0 < float(x) < 595
        assert 30 < float(y) < 842


def test_without_a_code_to_type_the_sheet_asks_for_none() -> None:
    bare = Sheet(**{**fields(SHEET), "code": None, "way": ""})
    said = words(link_sheet(bare, Site(name="Hospital")))
    assert "type" not in said
    assert "Questions" not in said


def fields(sheet: Sheet) -> dict[str, object]:
    return {name: getattr(sheet, name) for name in Sheet.__dataclass_fields__}


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_sheet_of_an_account_names_nobody_and_stands_on_one_page(language: str) -> None:
    sheet = CodeSheet(
        code="266F-YJ6Y-2GG6",
        typed_at="https://a-rather-long-name.images.example.org/my/start",
        login="p-2bdv-x4s5",
        until=dt.date(2026, 12, 6),
        language=language,
    )
    pdf = code_sheet(sheet, SITE)
    said = words(pdf)
    for part in ("266F-YJ6Y-2GG6", "images.example.org/my/start", "p-2bdv-x4s5", "2026"):
        assert part in said, part
    rows = segno.make(f"{sheet.typed_at}#{sheet.code}", error="m", micro=False).matrix
    assert squares(pdf) == {
        (x, y) for y, row in enumerate(rows) for x, dark in enumerate(row) if dark
    }
    lowest = min(float(y) for y in re.findall(r"BT [\d.]+ (-?[\d.]+) Td", drawn(pdf)))
    assert lowest > 20  # points above the end of the paper
    assert "266F" not in repr(sheet)

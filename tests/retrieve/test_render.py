"""Looking at things, on real stores: who may, what is kept in mind, and every sample there is."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.archive import Archive
from tests.dicom.corpus import files, read
from tests.factories import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT
from tests.retrieve.test_engine import guest, ref_of, store
from tests.web.pictures import deep, moving, ramp, report, state
from vna.dicom.refs import InstanceRef, StudyRef, uid
from vna.errors import (
    InvalidUID,
    MalformedInstance,
    NotAcceptable,
    NotFound,
    NotPermitted,
    TooLarge,
    Unavailable,
    Undecodable,
    VNAError,
)
from vna.ingest.outcome import AlreadyStored, Stored
from vna.pixels.rendering import Profile, Viewport
from vna.retrieve import documents
from vna.retrieve import report as reports
from vna.retrieve.animation import animated
from vna.retrieve.kept import Lately
from vna.retrieve.kinds import Kind, kind_of
from vna.retrieve.payload import Payload, ready
from vna.retrieve.wish import Wish

PNG = Wish(media=("image/png",))


def pictures(archive: Archive, ref: InstanceRef, wish: Wish = PNG, **more: Any) -> list[bytes]:
    found = archive.render.find(archive.who, ref)
    made, left_out = archive.render.rendered(archive.who, found, wish, **more)
    assert left_out == 0
    return [b"".join(payload.chunks) for payload in made]


def cells(data: bytes) -> np.ndarray[Any, np.dtype[Any]]:
    return np.asarray(Image.open(io.BytesIO(data)))


# -- who may ---------------------------------------------------------------------------------------


def test_what_is_outside_the_scope_is_not_there(archive: Archive) -> None:
    mine, other = store(archive, ramp(1)), store(archive, ramp(2))
    visitor = guest(instances=frozenset({mine}))
    assert archive.render.find(visitor, mine)
    with pytest.raises(NotFound):
        archive.render.find(visitor, other)
    with pytest.raises(NotPermitted):
        archive.render.find(visitor, StudyRef(mine.study))


def test_a_presentation_state_shows_no_image_outside_the_scope(archive: Archive) -> None:
    image = ramp(3)
    hidden, seen = store(archive, image), store(archive, state(3, image))
    visitor = guest(instances=frozenset({seen}))
    found = archive.render.find(visitor, seen)
    with pytest.raises(NotFound, match="not here"):
        archive.render.rendered(visitor, found, PNG)
    assert pictures(archive, seen)
    assert pictures(archive, hidden)


def test_looking_leaves_a_trace(archive: Archive) -> None:
    ref = store(archive, ramp(4))
    pictures(archive, ref)
    with archive.database.reading() as conn:
        row = conn.execute(
            "SELECT detail FROM audit WHERE kind = 'read' AND study = %s", [ref.study]
        ).fetchone()
    assert row is not None
    assert row[0]["what"] == "rendered"


# -- states over an image --------------------------------------------------------------------------


def test_a_presentation_state_can_be_laid_over_an_image(archive: Archive) -> None:
    image = ramp(5)
    ref = store(archive, image)
    over = store(archive, state(5, image, **{"20500020": "INVERSE"}))
    located = archive.render.state(archive.who, over)
    (plain,), (shown,) = pictures(archive, ref), pictures(archive, ref, state=located)
    np.testing.assert_array_equal(cells(shown), 255 - cells(plain))
    with pytest.raises(NotFound):
        archive.render.state(archive.who, ref)


# -- what is kept ----------------------------------------------------------------------------------


def test_a_picture_is_made_once(archive: Archive) -> None:
    ref = store(archive, deep(6))
    first = pictures(archive, ref)
    archive.render._pool.close()  # whatever is made from now on, is made without children
    assert pictures(archive, ref) == first
    with pytest.raises(Unavailable):
        pictures(archive, ref, PNG.but(quality=3))


def test_what_is_kept_is_bounded_and_the_oldest_goes_first() -> None:
    kept: Lately[bytes] = Lately(1000, len)
    made = []

    def make(name: str, size: int) -> bytes:
        made.append(name)
        return bytes(size)

    for name in "abcde":
        kept.get(name, lambda name=name: make(name, 240))
        kept.get("a", lambda: make("a", 240))
    kept.get("large", lambda: make("large", 900))
    kept.get("a", lambda: make("a", 240))
    kept.get("b", lambda: make("b", 240))
    assert made == ["a", "b", "c", "d", "e", "large", "b"]


def test_an_instance_that_was_replaced_meanwhile_is_asked_for_again(archive: Archive) -> None:
    ref = store(archive, ramp(7))
    (located,) = archive.render.find(archive.who, ref)
    old = located._replace(blob_id=bytes(16))
    with pytest.raises(Unavailable, match="replaced"):
        archive.render.rendered(archive.who, [old], PNG)


def test_a_frame_too_large_is_refused_before_it_is_read(archive: Archive) -> None:
    made = ramp(8, values={"Rows": 65535, "Columns": 65535})
    ref = ref_of(made)
    archive.take(made.part10())
    with pytest.raises((TooLarge, Undecodable)):
        pictures(archive, ref)


# -- moving pictures -------------------------------------------------------------------------------


@example(2, 32, 40, False, 2)  # all 256 greys, then all but one
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 40), st.integers(1, 40), st.booleans(), st.integers(0, 9))
def test_pictures_put_together_are_the_same_pictures(
    count: int, rows: int, columns: int, is_coloured: bool, seed: int
) -> None:
    chance = np.random.default_rng(seed)
    shape = (rows, columns, 3) if is_coloured else (rows, columns)
    frames = [chance.integers(0, 256, shape, np.uint8) for _ in range(count)]
    single = []
    for frame in frames:
        out = io.BytesIO()
        Image.fromarray(frame).save(out, "GIF")
        single.append(out.getvalue())
    data = b"".join(animated(single, frame_ms=50))
    assert Image.open(io.BytesIO(data)).n_frames == count
    # giflib reads it: Pillow is wrong in the second picture where only the first is all greys
    whole = imagecodecs.gif_decode(data).reshape(count, rows, columns, 3)
    for shown, alone in zip(whole, single, strict=True):
        wanted = np.asarray(Image.open(io.BytesIO(alone)).convert("RGB"))
        assert np.array_equal(shown, wanted)


def test_what_is_no_gif_is_refused() -> None:
    for data in (b"", b"GIF89a", bytes(40), b"GIF89a" + bytes(7) + b"\x21\xf9\x04"):
        with pytest.raises(Undecodable):
            b"".join(animated([data], frame_ms=100))


def test_frames_of_a_moving_picture_are_taken_one_by_one(archive: Archive) -> None:
    ref = store(archive, moving(9, 5))
    found = archive.render.find(archive.who, ref)
    made, _ = archive.render.rendered(archive.who, found, Wish(media=("image/gif",)))
    chunks = next(made).chunks
    next(chunks)
    kept = archive.render._pictures._entries
    before = len(kept)
    next(chunks)
    next(chunks)
    assert len(kept) == before + 1


# -- reports ---------------------------------------------------------------------------------------


@given(st.text(max_size=200))
def test_no_text_of_a_report_becomes_markup(text: str) -> None:
    members = {
        "0040A730": {
            "vr": "SQ",
            "Value": [
                {
                    "0040A040": {"vr": "CS", "Value": ["TEXT"]},
                    "0040A160": {"vr": "UT", "Value": [text]},
                }
            ],
        }
    }
    page = reports.as_html(members)
    inside = page.split("</strong>")[1].split("</li>")[0].replace("<br>", "")
    assert not set("<>") & set(inside)


@pytest.mark.parametrize(
    ("vr", "value", "written"),
    [
        ("PN", {"Alphabetic": "Doe^Jane^Ann^Dr."}, "Doe, Jane Ann Dr."),
        ("PN", {"Ideographic": "山田^太郎"}, "山田, 太郎"),
        ("DA", "19700102", "1970-01-02"),
        ("DA", "around 1970", "around 1970"),
        ("TM", "101112.5", "10:11"),
        ("DT", "20240102101112.5", "2024-01-02 10:11"),
        ("DT", "20240102101112+0100", "2024-01-02 10:11 +0100"),
        ("DT", "2024", "2024"),
        ("LO", "19700102", "19700102"),
    ],
)
def test_a_report_writes_names_and_days_as_people_do(vr: str, value: Any, written: str) -> None:
    assert reports.told({"00100010": {"vr": vr, "Value": [value]}}, "00100010") == written


def test_a_report_says_whose_it_is_in_words() -> None:
    members = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]},
        "00100030": {"vr": "DA", "Value": ["19700102"]},
    }
    assert "Patient: Doe, Jane\nBirth date: 1970-01-02\n" in reports.as_text(members)
    assert "<dd>Doe, Jane</dd>\n<dt>Birth date</dt><dd>1970-01-02</dd>" in reports.as_html(members)


@pytest.mark.parametrize(
    ("measured", "qualifier", "written"),
    [
        ("12.5", "", "Length: 12.5"),
        ("", "Measurement failure", "Length: Measurement failure"),
        ("99", "Value out of range", "Length: 99 (Value out of range)"),
    ],
)
def test_c_18_1_a_measurement_says_what_qualifies_it(
    measured: str, qualifier: str, written: str
) -> None:
    def coded(meaning: str) -> dict[str, Any]:
        return {"vr": "SQ", "Value": [{"00080104": {"vr": "LO", "Value": [meaning]}}]}

    content = {"0040A040": {"vr": "CS", "Value": ["NUM"]}, "0040A043": coded("Length")}
    if measured:
        value = {"0040A30A": {"vr": "DS", "Value": [measured]}}
        content["0040A300"] = {"vr": "SQ", "Value": [value]}
    if qualifier:
        content["0040A301"] = coded(qualifier)
    shown = reports.as_text({"0040A730": {"vr": "SQ", "Value": [content]}})
    assert shown.splitlines()[-1] == written


def test_a_report_that_nests_without_end_is_cut() -> None:
    item: dict[str, Any] = {"0040A040": {"vr": "CS", "Value": ["CONTAINER"]}}
    for _ in range(200):
        item = {"0040A730": {"vr": "SQ", "Value": [item]}}
    assert len(list(reports.lines(item))) <= 40
    assert reports.as_html(item).count("<ul>") == reports.as_html(item).count("</ul>") <= 40


def test_a_report_is_text_in_the_archive_too(archive: Archive) -> None:
    ref = store(archive, report(10, "finding"))
    (page,) = pictures(archive, ref, Wish())
    assert b"finding" in page


@pytest.mark.parametrize("transfer_syntax", [EXPLICIT, IMPLICIT, DEFLATED, BIG_ENDIAN])
@pytest.mark.parametrize("size", [1023, 1025, 200_000])
def test_a_report_is_shown_with_its_long_texts(
    archive: Archive, size: int, transfer_syntax: str
) -> None:
    """What is longer stands behind a BulkDataURI in its DICOM JSON (PS3.18 F.2.6)."""
    text = f"{'x' * (size - 8)} the end"
    made = replace(report(10, text), transfer_syntax=transfer_syntax)
    ref = store(archive, made)
    for media in ("text/html", "text/plain"):
        (shown,) = pictures(archive, ref, Wish(media=(media,)))
        assert text.encode() in shown


def long_report(
    *texts: bytes, charset: str = "ISO_IR 144"
) -> tuple[dict[str, Any], documents.Values]:
    """Make a report of texts that stand behind URIs, one below the other, and what gives them."""
    below: dict[str, Any] = {}
    for number in reversed(range(len(texts))):
        content = {
            "0040A040": {"vr": "CS", "Value": ["TEXT"]},
            "0040A160": {"vr": "UT", "BulkDataURI": f"bulkdata/{number}"},
        }
        below = {"0040A730": {"vr": "SQ", "Value": [content | below]}}

    def values(uri: str) -> Payload:
        data = texts[int(uri.removeprefix("bulkdata/"))]
        return Payload(
            ref=ref_of(report(10, "")),
            media_type="application/octet-stream",
            transfer_syntax=None,
            length=len(data),
            chunks=iter((data,)),
            stretch=ready(data),
        )

    return {"00080005": {"vr": "CS", "Value": [charset]}} | below, values


def test_long_texts_are_read_in_the_character_set_of_the_report(archive: Archive) -> None:
    (located,) = archive.render.find(archive.who, store(archive, report(10, "finding")))
    texts = ("Люксембург ".encode("iso8859_5") + b"x " * 600, "нижний".encode("iso8859_5") + b"\0")
    members, values = long_report(*texts)
    shown = b"".join(documents.document(located, members, "text/plain", values).chunks).decode()
    assert "Люксембург x x" in shown
    assert "нижний\n" in shown


@pytest.mark.parametrize("length", [None, 5])
def test_a_document_is_given_without_the_byte_that_pads_it(
    archive: Archive, length: int | None
) -> None:
    """PS3.3 C.24.2: Encapsulated Document Length is not required, the even length is."""
    (located,) = archive.render.find(archive.who, store(archive, report(10, "finding")))
    data = base64.b64encode(b"%PDF-\0").decode()
    members: dict[str, Any] = {"00420011": {"vr": "OB", "InlineBinary": data}}
    if length is not None:
        members["00420015"] = {"vr": "UL", "Value": [length]}
    given = documents.document(located, members, "application/pdf", lambda _: None)
    assert (given.length, b"".join(given.chunks)) == (5, b"%PDF-")


def test_a_report_past_what_is_held_says_so(archive: Archive) -> None:
    (located,) = archive.render.find(archive.who, store(archive, report(10, "finding")))
    members, values = long_report(*[bytes(6 << 20)] * 3)
    with pytest.raises(NotAcceptable):
        documents.document(located, members, "text/html", values)


@pytest.mark.parametrize("ending", ["78.6", "79.1"])
def test_a_35_reports_of_eyes_are_structured_reports_like_all_others(
    archive: Archive, ending: str
) -> None:
    sop_class = f"1.2.840.10008.5.1.4.1.1.{ending}"
    ref = store(archive, replace(report(10, "finding"), sop_class=sop_class))
    (page,) = pictures(archive, ref, Wish())
    assert b"finding" in page


# -- everything there is ---------------------------------------------------------------------------

WISHES = (
    Wish(),
    PNG.but(annotation=frozenset(("patient", "technique")), viewport=Viewport(width=90, height=90)),
    Wish(media=("image/gif",)),
    Wish(media=("image/jpeg",), profile=Profile.SRGB, all_frames=True),
)


def samples(archive: Archive) -> Iterator[tuple[Path, InstanceRef]]:
    for path in files():
        data = path.read_bytes()
        try:
            scan = read(data).scan
            ref = InstanceRef(
                uid(scan.study or ""), uid(scan.series or ""), uid(scan.sop_instance or "")
            )
        except (MalformedInstance, InvalidUID):
            continue
        if isinstance(archive.take(data), Stored | AlreadyStored):
            yield path, ref


@pytest.mark.long
def test_every_sample_can_be_looked_at_or_says_why_not(archive: Archive) -> None:
    shown = 0
    for path, ref in samples(archive):
        (located,) = archive.render.find(archive.who, ref)
        allowed: tuple[type[VNAError], ...] = (NotAcceptable, TooLarge, NotFound)
        if kind_of(located) is Kind.IMAGE:
            allowed = (Undecodable, TooLarge)
        for wish in WISHES:
            with contextlib.suppress(*allowed):
                made, _ = archive.render.rendered(archive.who, [located], wish)
                assert all(sum(map(len, payload.chunks)) for payload in made), path
                shown += 1
    assert shown > 200


# -- what it asks the database ---------------------------------------------------------------------


def test_a_picture_costs_one_question(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = store(archive, ramp(1))
    asked: list[str] = []
    pointing = archive.database.pointing

    def counted() -> Any:
        asked.append("question")
        return pointing()

    monkeypatch.setattr(archive.database, "pointing", counted)
    first = pictures(archive, ref)
    assert len(asked) == 1
    assert pictures(archive, ref) == first
    assert len(asked) == 2

"""Rendered resources and thumbnails, row by row: PS3.18 8.3.5, 8.7.4, 10.4.

The name of a test cites the section it is about.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from io import BytesIO

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ImageCms

from tests.conftest import TestPostgres
from tests.factories import DEFLATED, MPEG_4, Instance, compressed, ct, uid
from tests.web.conftest import Site, parts_of, serving
from tests.web.pictures import (
    CDA,
    PDF,
    cells,
    deep,
    document,
    item,
    kept,
    moving,
    opened,
    path_of,
    ramp,
    report,
    state,
    without_pixels,
)

Cells = NDArray[np.uint8]
PARTS = 'multipart/related; type="image/jpeg"'


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One archive for these tests; each has a study of its own."""
    with serving(postgres, tmp_path_factory.mktemp("archive")) as found:
        yield found


def refusal(answer: httpx.Response, *named: str) -> None:
    """A 400 that names the parameter and what is allowed."""
    assert answer.status_code == 400, answer.text
    message = answer.json()["message"]
    assert all(word in message for word in named), message


# -- 10.4.1.1.3: resources -------------------------------------------------------------------------


def test_10_4_1_1_3_an_instance_is_rendered_as_jpeg_by_default(site: Site) -> None:
    path = kept(site, deep(1))
    for accept in ("*/*", "image/*", "image/jpeg", None):
        answer = site.get(f"{path}/rendered", accept)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert opened(answer.content).size == (32, 32)
        assert answer.headers["content-location"] == f"{site.root}{path}"


def test_10_4_1_1_3_frames_are_rendered_in_the_order_asked_for(site: Site) -> None:
    path = kept(site, moving(2))
    answer = site.get(f"{path}/frames/3,1/rendered", 'multipart/related; type="image/png"')
    parts = parts_of(answer)
    firsts = [cells(content)[0, 0] for _, content in parts]
    assert firsts == [2, 0]
    named = [headers["content-location"] for headers, _ in parts]
    assert named == [f"{site.root}{path}/frames/{n}" for n in (3, 1)]
    one = site.get(f"{path}/frames/2/rendered", "image/png")
    assert one.headers["content-location"] == f"{site.root}{path}/frames/2"
    assert cells(one.content)[0, 0] == 1


def test_10_4_1_1_3_a_series_and_a_study_come_as_one_part_a_picture(site: Site) -> None:
    images = [ramp(3, instance=n) for n in (1, 2)]
    images.append(moving(3, series=2))
    kept(site, *images)
    series = site.get(f"/studies/{uid(3)}/series/{images[0].series}/rendered", PARTS)
    assert len(parts_of(series)) == 2
    study = site.get(f"/studies/{uid(3)}/rendered", "image/png")
    assert study.headers["content-type"].startswith('multipart/related; type="image/png"')
    assert [cells(content).shape for _, content in parts_of(study)] == [(16, 32)] * 5


def test_10_4_1_1_3_what_cannot_be_rendered_is_left_out_of_a_study_and_said(site: Site) -> None:
    plain = without_pixels(4, "1.2.840.10008.5.1.4.1.1.481.3")
    kept(site, ramp(4), Instance(**{**vars(plain), "instance": uid(4, 1, 2)}))
    answer = site.get(f"/studies/{uid(4)}/rendered", "image/jpeg")
    assert answer.status_code == 200
    assert "1 instances cannot be rendered" in answer.headers["warning"]


def test_10_4_3_1_what_is_unknown_is_404(site: Site) -> None:
    path = kept(site, moving(5))
    for below in ("/frames/4/rendered", "/frames/1,9/rendered", "/frames/4/thumbnail"):
        assert site.get(f"{path}{below}").status_code == 404
    assert site.get(f"/studies/{uid(5, 5)}/rendered").status_code == 404
    assert site.get(f"/studies/{uid(5, 5)}/thumbnail").status_code == 404
    assert site.get(f"{path}/frames/0/rendered").status_code == 400


def test_10_4_3_1_what_cannot_be_rendered_is_406_and_says_what_can(site: Site) -> None:
    path = kept(site, without_pixels(6, "1.2.840.10008.5.1.4.1.1.481.3"))
    answer = site.get(f"{path}/rendered")
    assert answer.status_code == 406
    image = kept(site, ramp(7))
    for accept in ("video/mp4", "text/html", "image/x-unknown", "application/dicom"):
        answer = site.get(f"{image}/rendered", accept)
        assert answer.status_code == 406
        assert "image/jpeg" in answer.json()["message"]


# -- 8.7.4: media types ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("media", "sign"),
    [
        ("image/jpeg", b"\xff\xd8"),
        ("image/png", b"\x89PNG"),
        ("image/gif", b"GIF8"),
        ("image/jp2", b"\x00\x00\x00\x0cjP"),
        ("image/jxl", b""),
        ("image/webp", b"RIFF"),
    ],
)
def test_table_8_7_4_1_a_single_frame_in_every_media_type(
    site: Site, media: str, sign: bytes
) -> None:
    path = kept(site, ramp(10))
    answer = site.get(f"{path}/rendered", media)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media)
    assert answer.content.startswith(sign)


def test_table_8_7_4_1_several_frames_as_one_moving_gif(site: Site) -> None:
    path = kept(site, moving(11, 5, values={"FrameTime": "40"}))
    answer = site.get(f"{path}/rendered", "image/gif")
    picture = opened(answer.content)
    assert picture.n_frames == 5
    for number in range(5):
        picture.seek(number)
        assert picture.convert("L").getpixel((0, 0)) == number
        assert picture.info["duration"] == 40


def test_table_8_7_4_1_several_frames_as_parts_or_the_first_by_itself(site: Site) -> None:
    path = kept(site, moving(12))
    assert len(parts_of(site.get(f"{path}/rendered", PARTS))) == 3
    single = site.get(f"{path}/rendered", "image/png")
    assert cells(single.content)[0, 0] == 0


def test_table_8_7_4_1_video_is_given_as_it_is_stored(site: Site) -> None:
    stream = bytes(range(64))
    path = kept(site, compressed([[stream]], transfer_syntax=MPEG_4, count=9, study=13))
    answer = site.get(f"{path}/rendered")
    assert (answer.headers["content-type"], answer.content) == ("video/mp4", stream)


@pytest.mark.parametrize("stored", ["video", "document", "large document"])
def test_8_6_1_1_a_range_of_video_and_of_a_document_can_be_asked_for(
    site: Site, stored: str
) -> None:
    data = bytes(range(64))
    made = compressed([[data]], transfer_syntax=MPEG_4, count=9, study=131)
    if stored != "video":
        data = b"%PDF" + bytes(range(256)) * (40 if stored == "document" else 1 << 16) + b"."
        made = document(132 + len(data) % 97, PDF, data, "application/pdf")
    path = kept(site, made)
    whole = site.get(f"{path}/rendered")
    assert (whole.content == data, whole.headers["accept-ranges"]) == (True, "bytes")
    tag = whole.headers["etag"]
    assert not tag.startswith("W/")
    study, series, instance = path.split("/")[2::2]
    query = f"requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}"
    for url in (f"{site.root}{path}/rendered", f"{site.root[: -len('/dicom-web')]}/wado?{query}"):
        told = {"accept": "*/*", "range": "bytes=1-5"}
        part = site.client.get(url, headers=told)
        assert (part.status_code, part.content) == (206, data[1:6])
        assert part.headers["content-range"] == f"bytes 1-5/{len(data)}"
    for condition, status in ((tag, 206), ('"other"', 200)):
        answer = site.get(f"{path}/rendered", range="bytes=0-1", if_range=condition)
        assert answer.status_code == status
    assert site.get(f"{path}/rendered", range=f"bytes={len(data)}-").status_code == 416


def test_a_document_that_would_be_held_whole_is_406_past_the_limit(site: Site) -> None:
    """What is deflated cannot be walked from anywhere: no more than the limit is unpacked."""
    most = site.engines.settings.limits.metadata_bytes
    for number, size, status in ((1401, most, 200), (1402, most + 2, 406)):
        data = b"%PDF" + random.Random(number).randbytes(size - 5) + b"."  # no bomb
        made = document(number, PDF, data, "application/pdf")
        path = kept(site, dataclasses.replace(made, transfer_syntax=DEFLATED))
        answer = site.get(f"{path}/rendered")
        assert answer.status_code == status
        assert status != 200 or answer.content == data


def test_table_8_7_4_1_reports_are_html_or_plain_text_with_every_value_escaped(
    site: Site,
) -> None:
    path = kept(site, report(14, "a <script>alert(1)</script> & more"))
    page = site.get(f"{path}/rendered")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "a &lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page.text
    assert "<script" not in page.text
    assert "<strong>Length</strong>: 12.5 millimeter" in page.text
    text = site.get(f"{path}/rendered", "text/plain")
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert "Site: Liver\n  Side: left" in text.text


@pytest.mark.parametrize("data", [b"%PDF-1.4 odd!", b"%PDF-1.4 even", b"%PDF" + bytes(5001)])
def test_table_8_7_4_1_a_pdf_is_given_as_it_is(site: Site, data: bytes) -> None:
    path = kept(site, document(1500 + len(data) % 97 + data[-1], PDF, data, "application/pdf"))
    answer = site.get(f"{path}/rendered")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content == data


def test_table_8_7_4_1_a_cda_is_given_as_xml(site: Site) -> None:
    data = b"<ClinicalDocument/>"
    path = kept(site, document(16, CDA, data, "text/XML"))
    answer = site.get(f"{path}/rendered", "text/xml")
    assert (answer.headers["content-type"], answer.content) == ("text/xml", data)
    assert answer.headers["content-security-policy"].startswith("sandbox")


def test_8_7_5_the_accept_parameter_counts_before_the_header(site: Site) -> None:
    path = kept(site, ramp(17))
    answer = site.get(f"{path}/rendered?accept=image/png", "image/jpeg, image/*;q=0.5")
    assert answer.headers["content-type"] == "image/png"
    answer = site.get(f"{path}/rendered?accept=image/png", "image/gif")
    assert answer.headers["content-type"] == "image/gif"


def test_8_7_5_preferences_are_followed_and_zero_is_never(site: Site) -> None:
    path = kept(site, ramp(18))
    answer = site.get(f"{path}/rendered", "image/gif;q=0.3, image/png;q=0.8")
    assert answer.headers["content-type"] == "image/png"
    answer = site.get(f"{path}/rendered", "image/jpeg;q=0, */*")
    assert answer.headers["content-type"] == "image/png"


def test_8_3_3_1_dicom_and_rendered_media_types_must_not_be_mixed(site: Site) -> None:
    path = kept(site, ramp(19))
    assert site.get(f"{path}/rendered", "application/dicom, image/jpeg").status_code == 400


# -- 8.3.5.1.1: annotation -------------------------------------------------------------------------


def test_8_3_5_1_1_annotation_is_burned_in(site: Site) -> None:
    path = kept(site, ramp(20, rows=64, columns=64))
    plain = cells(site.get(f"{path}/rendered", "image/png").content)
    pictures = [plain]
    for words in ("patient", "technique", "patient,technique"):
        answer = site.get(f"{path}/rendered?annotation={words}", "image/png")
        pictures.append(cells(answer.content))
        assert (pictures[-1] != plain).any()
    top, bottom = (pictures[1] != plain), (pictures[2] != plain)
    assert top[:32].any()
    assert bottom[32:].any()


@pytest.mark.parametrize("words", ["", "patient,", "pat%20ient", "%22patient%22"])
def test_8_3_5_1_1_what_is_no_keyword_is_400(site: Site, words: str) -> None:
    path = kept(site, ramp(21))
    refusal(site.get(f"{path}/rendered?annotation={words}"), "annotation", "patient, technique")


def test_8_3_5_1_1_an_unknown_keyword_is_a_warning(site: Site) -> None:
    path = kept(site, ramp(22))
    answer = site.get(f"{path}/rendered?annotation=patient,weather")
    assert answer.status_code == 200
    told = f"299 {site.root}: The following annotation values are not supported: weather"
    assert answer.headers["warning"] == told


def test_8_3_5_1_1_overlays_come_with_annotation(site: Site) -> None:
    bits = np.zeros((64, 64), np.uint8)
    bits[2, 50:55] = 1
    overlay = {
        "60000010": 64,
        "60000011": 64,
        "60000040": "G",
        "60000050": [1, 1],
        "60000100": 1,
        "60000102": 0,
    }
    data = ("60003000", "OW", np.packbits(bits.reshape(-1), bitorder="little").tobytes())
    path = kept(site, ramp(23, rows=64, columns=64, values=overlay, extra=[data]))
    plain = cells(site.get(f"{path}/rendered", "image/png").content)
    shown = cells(site.get(f"{path}/rendered?annotation=weather", "image/png").content)
    np.testing.assert_array_equal(shown, plain)  # no keyword is known: there is no annotation
    shown = cells(site.get(f"{path}/rendered?annotation=technique", "image/png").content)
    assert (plain[2, 50:55] != 255).all()
    assert (shown[2, 50:55] == 255).all()


# -- 8.3.5.1.2: quality ----------------------------------------------------------------------------


def test_8_3_5_1_2_quality_makes_lossy_pictures_larger_or_smaller(site: Site) -> None:
    path = kept(site, ramp(30, rows=64, columns=64))
    sizes = [
        len(site.get(f"{path}/rendered?quality={quality}").content) for quality in (1, 50, 100)
    ]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 3


@pytest.mark.parametrize("quality", ["", "0", "101", "-1", "1.5", "high", "%EF%BC%91"])
def test_8_3_5_1_2_a_quality_outside_1_to_100_is_400(site: Site, quality: str) -> None:
    path = kept(site, ramp(31))
    refusal(site.get(f"{path}/rendered?quality={quality}"), "quality", "1 to 100")


# -- 8.3.5.1.3: viewport ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("viewport", "size"),
    [
        ("16,16", (16, 8)),
        ("64,64", (64, 32)),
        ("64,10", (20, 10)),
        ("8,8,0,0,8,8", (8, 8)),
        ("16,16,16", (16, 16)),
        ("32,16,,,32,16", (32, 16)),
        ("10,10,1.5,2.5,10.5,10.5", (10, 10)),
    ],
)
def test_8_3_5_1_3_an_image_is_cut_and_scaled_keeping_its_shape(
    site: Site, viewport: str, size: tuple[int, int]
) -> None:
    path = kept(site, ramp(40))
    answer = site.get(f"{path}/rendered?viewport={viewport}", "image/png")
    assert opened(answer.content).size == size, answer.text


def test_8_3_5_1_3_a_region_is_cut_exactly_and_turned_over_when_negative(site: Site) -> None:
    path = kept(site, ramp(41))
    whole = cells(site.get(f"{path}/rendered", "image/png").content)
    for region, wanted in (
        ("8,4,4,2,8,4", whole[2:6, 4:12]),
        ("8,4,4,2,-8,4", whole[2:6, 4:12][:, ::-1]),
        ("8,4,4,2,8,-4", whole[2:6, 4:12][::-1]),
        ("8,4,-4,-2,8,4", whole[2:6, 4:12]),
    ):
        answer = site.get(f"{path}/rendered?viewport={region}", "image/png")
        np.testing.assert_array_equal(cells(answer.content), wanted)


@pytest.mark.parametrize(
    "viewport",
    [
        *("", "16", "16,", "0,16", "16,-1", "a,b", "1e3,5", "99999,5", "16,16,", "16,16,0,0,"),
        *("16,16,0,0,0,5", "16,16,x,0,5,5", "1,1,1,1,1,1,1", "16,16,nan,0,5,5"),
    ],
)
def test_8_3_5_1_3_an_ill_formed_viewport_is_400(site: Site, viewport: str) -> None:
    path = kept(site, ramp(42))
    refusal(site.get(f"{path}/rendered?viewport={viewport}"), "viewport")


def test_8_3_5_1_3_a_region_outside_the_image_is_400(site: Site) -> None:
    path = kept(site, ramp(43))
    refusal(site.get(f"{path}/rendered?viewport=8,8,100,100,5,5"), "viewport", "32", "16")


# -- 8.3.5.1.4: window -----------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["linear", "linear-exact", "sigmoid"])
def test_8_3_5_1_4_a_window_is_applied_to_the_modality_values(site: Site, function: str) -> None:
    path = kept(site, deep(50, RescaleIntercept="-1024", RescaleSlope="2"))
    answer = site.get(f"{path}/rendered?window=-100.5,300,{function}", "image/png")
    values = np.arange(1024).reshape(32, 32) * 2.0 - 1024
    center, width = -100.5, 300.0
    if function == "sigmoid":
        level = 1 / (1 + np.exp(-4 * (values - center) / width))
    elif function == "linear":
        level = (values - (center - 0.5)) / (width - 1) + 0.5
    else:
        level = (values - center) / width + 0.5
    wanted = np.floor(np.clip(level, 0, 1) * 255 + 0.5)
    assert np.abs(cells(answer.content) - wanted).max() <= 0


@pytest.mark.parametrize(
    "window",
    [
        *("", "40", "40,400", "40,400,", "40,400,cubic", "x,400,linear", "40,,linear"),
        *("40,0,linear", "40,-5,sigmoid", "40,0,linear-exact", "nan,400,linear"),
        *("40,inf,linear", "1,2,linear,4"),
    ],
)
def test_8_3_5_1_4_a_window_lacking_something_is_400(site: Site, window: str) -> None:
    path = kept(site, deep(51))
    refusal(site.get(f"{path}/rendered?window={window}"), "window")


def test_8_3_5_1_4_the_stored_window_is_used_where_none_is_asked_for(site: Site) -> None:
    stored = deep(52, WindowCenter="500", WindowWidth="100", RescaleIntercept="0")
    bare = deep(53, RescaleIntercept="0")
    one = site.get(f"{kept(site, stored)}/rendered", "image/png")
    other = site.get(f"{kept(site, bare)}/rendered?window=500,100,linear", "image/png")
    assert one.content == other.content


def test_8_3_5_a_parameter_may_be_given_once(site: Site) -> None:
    path = kept(site, deep(54))
    refusal(site.get(f"{path}/rendered?quality=5&quality=6"), "quality", "once")


# -- 8.3.5.1.5: ICC profile ------------------------------------------------------------------------


@pytest.mark.parametrize("media", ["image/jpeg", "image/png"])
@pytest.mark.parametrize("space", ["no", "yes", "srgb", "adobergb"])
def test_8_3_5_1_5_a_colour_space_is_said_in_the_picture(
    site: Site, media: str, space: str
) -> None:
    path = kept(site, ramp(60))
    answer = site.get(f"{path}/rendered?iccprofile={space}", media)
    profile = opened(answer.content).info.get("icc_profile")
    if space == "no":
        assert profile is None
        return
    assert profile is not None
    name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile)))
    assert ("adobe" in name.lower()) == (space == "adobergb")


def test_8_3_5_1_5_an_unknown_space_and_a_type_without_profiles_are_400(site: Site) -> None:
    path = kept(site, ramp(61))
    refusal(site.get(f"{path}/rendered?iccprofile=cmyk"), "iccprofile", "srgb")
    answer = site.get(f"{path}/rendered?iccprofile=srgb", "image/gif")
    refusal(answer, "iccprofile", "image/jpeg, image/png")
    assert site.get(f"{path}/rendered?iccprofile=no", "image/gif").status_code == 200


# -- presentation states (PS3.4 N.2) ---------------------------------------------------------------


def test_n_2_a_presentation_state_is_rendered_as_its_images(site: Site) -> None:
    image = ramp(70)
    made = state(70, image, **{"20500020": "INVERSE"})
    path = kept(site, made, image)
    answer = site.get(f"{path}/rendered", "image/png")
    assert answer.headers["content-location"] == f"{site.root}{path_of(image)}"
    plain = site.get(f"{path_of(image)}/rendered", "image/png")
    np.testing.assert_array_equal(cells(answer.content), 255 - cells(plain.content))


def test_n_2_1_window_area_rotation_flip_and_shutter_of_a_presentation_state(site: Site) -> None:
    image = deep(71)
    whole = np.arange(1024).reshape(32, 32)
    voi = [item({"WindowCenter": "512", "WindowWidth": "1025"})]
    area = [item({"00700052": [5, 3], "00700053": [12, 6]})]
    more = {
        "00283110": voi,
        "0070005A": area,
        "00700042": 90,
        "00700041": "Y",
        "00181600": "RECTANGULAR",
        "00181602": "6",
        "00181604": "12",
        "00181606": "3",
        "00181608": "9",
        "00181622": 0,
    }
    path = kept(site, state(71, image, **more), image)
    answer = site.get(f"{path}/rendered", "image/png")
    level = (whole - 511.5) / 1024 + 0.5
    shown = np.floor(np.clip(level, 0, 1) * 255 + 0.5)
    shown[:2], shown[9:], shown[:, :5], shown[:, 12:] = 0, 0, 0, 0  # what the shutter covers
    wanted = np.rot90(shown[2:6, 4:12], -1)[:, ::-1]
    np.testing.assert_array_equal(cells(answer.content), wanted)


def overlay(group: str, bits: Cells, layer: str | None) -> dict[str, object]:
    """An overlay plane; a presentation state shows it in a layer."""
    activated = {} if layer is None else {f"{group}1001": layer}
    return activated | {
        f"{group}0010": bits.shape[0],
        f"{group}0011": bits.shape[1],
        f"{group}0040": "G",
        f"{group}0050": [1, 1],
        f"{group}0100": 1,
        f"{group}0102": 0,
        f"{group}3000": np.packbits(bits.reshape(-1), bitorder="little").tobytes(),
    }


def row(number: int) -> Cells:
    """Bits of a plane in which one row is set."""
    bits = np.zeros((32, 32), np.uint8)
    bits[number] = 1
    return bits


def test_c_11_7_a_presentation_state_shows_the_overlays_it_activates(site: Site) -> None:
    image = deep(75, **overlay("6000", row(3), None), **overlay("6002", row(6), None))
    layers = {"60001001": "HERE", "60021001": None}  # of the image: one shown, one not
    own = overlay("6004", row(9), "HERE") | overlay("6006", row(12), "")
    path = kept(site, state(75, image, **layers, **own), image)
    shown = cells(site.get(f"{path}/rendered", "image/png").content)
    white = [number for number in range(32) if (shown[number] == 255).all()]
    assert white == [3, 9]


def test_c_11_7_the_overlay_of_a_presentation_state_stands_for_that_of_the_image(
    site: Site,
) -> None:
    image = deep(76, **overlay("6000", row(3), None))
    path = kept(site, state(76, image, **overlay("6000", row(9), "HERE")), image)
    shown = cells(site.get(f"{path}/rendered", "image/png").content)
    assert [number for number in range(32) if (shown[number] == 255).all()] == [9]


def test_c_7_6_15_a_bitmap_shutter_covers_and_is_not_drawn(site: Site) -> None:
    image = deep(77)
    more = {"00181600": "BITMAP", "00181622": 0, "00181623": 0x6004}
    path = kept(site, state(77, image, **more, **overlay("6004", row(30), None)), image)
    wanted = cells(site.get(f"{path_of(image)}/rendered", "image/png").content).copy()
    assert (wanted[30] > 0).all()
    wanted[30] = 0
    shown = cells(site.get(f"{path}/rendered", "image/png").content)
    np.testing.assert_array_equal(shown, wanted)
    annotated = cells(site.get(f"{path}/rendered?annotation=technique", "image/png").content)
    assert (annotated[30, 24:] == 0).all()  # right of the letters


def test_n_2_a_copy_of_a_presentation_state_is_not_good_when_its_image_came_later(
    site: Site,
) -> None:
    images = [deep(78, number) for number in (1, 2)]
    named = [item({"00081150": one.sop_class, "00081155": one.instance}) for one in images]
    series = item({"0020000E": images[0].series, "00081140": named})
    path = kept(site, state(78, images[0], **{"00081115": [series]}), images[0])
    first = site.get(f"{path}/rendered", "*/*")
    assert first.headers["content-type"] == "image/jpeg"
    kept(site, images[1])
    told = {"if_none_match": first.headers.get("etag", '"none"')}
    told |= {"if_modified_since": first.headers.get("last-modified", first.headers["date"])}
    assert len(parts_of(site.get(f"{path}/rendered", "*/*", **told))) == 2


AREAS: list[tuple[dict[str, object], tuple[int, int | None]]] = [
    ({}, (24, 8)),
    ({"00700042": 90}, (24, 8)),
    ({"00700042": 270, "00700041": "Y"}, (24, 8)),
    ({"0070005A": [item({"00700052": [17, 17], "00700053": [32, 32]})]}, (12, 4)),
    ({"0070005A": [item({"00700052": [-31, 1], "00700053": [32, 32]})]}, (24, None)),
    ({"0070005A": [item({"00700052": [1, 1], "00700053": [64, 32]})]}, (24, 16)),
    ({"0070005A": [item({"00700052": [64, 1], "00700053": [1, 32]})], "00700041": "Y"}, (24, None)),
]
"""What a state says of its displayed area, and where in what is shown its point then is."""


@pytest.mark.parametrize("number", range(len(AREAS)))
def test_c_10_5_display_units_are_of_the_displayed_area_whatever_is_turned(
    site: Site, number: int
) -> None:
    more, (row, column) = AREAS[number]
    image = deep(800 + number)
    point = {"00700005": "DISPLAY", "00700022": [0.25, 0.75], "00700023": "POINT"}
    drawn = {"00700020": 2, "00700021": 1, "00700024": "N"}
    marked = [item({"00700002": "HERE", "00700009": [item(point | drawn)]})]
    window = [item({"WindowCenter": "9000", "WindowWidth": "2"})]  # the image itself is black
    made = state(800 + number, image, **{"00700001": marked, "00283110": window}, **more)
    shown = cells(site.get(f"{kept(site, made, image)}/rendered", "image/png").content)
    found = [] if column is None else [(row, column)]
    assert list(zip(*np.nonzero(shown), strict=True)) == found


def test_c_10_5_pixel_units_begin_at_the_corner_of_the_first_pixel(site: Site) -> None:
    image = deep(820)
    point = {"00700005": "PIXEL", "00700022": [6.5, 24.5], "00700023": "POINT"}
    drawn = {"00700020": 2, "00700021": 1, "00700024": "N"}
    marked = [item({"00700002": "HERE", "00700009": [item(point | drawn)]})]
    window = [item({"WindowCenter": "9000", "WindowWidth": "2"})]  # the image itself is black
    made = state(820, image, **{"00700001": marked, "00283110": window})
    shown = cells(site.get(f"{kept(site, made, image)}/rendered", "image/png").content)
    assert list(zip(*np.nonzero(shown), strict=True)) == [(24, 6)]


def test_n_2_only_the_frames_a_presentation_state_names(site: Site) -> None:
    image = moving(72, 4)
    path = kept(site, state(72, image, "2,4"), image)
    answer = site.get(f"{path}/rendered", 'multipart/related; type="image/png"')
    assert [cells(content)[0, 0] for _, content in parts_of(answer)] == [1, 3]


def test_8_3_5_a_presentation_state_takes_no_window_no_region_and_no_frame(site: Site) -> None:
    image = ramp(73)
    path = kept(site, state(73, image), image)
    refusal(site.get(f"{path}/rendered?window=1,2,linear"), "window")
    refusal(site.get(f"{path}/rendered?viewport=5,5,1,1,2,2"), "viewport", "vw,vh")
    refusal(site.get(f"{path}/frames/1/rendered"), "frames")
    assert site.get(f"{path}/rendered?viewport=5,5").status_code == 200


def test_n_2_a_presentation_state_without_its_images_is_404(site: Site) -> None:
    path = kept(site, state(74, ramp(74)))
    assert site.get(f"{path}/rendered").status_code == 404


# -- 10.4.1.1.4: thumbnails ------------------------------------------------------------------------


def test_10_4_1_1_4_a_thumbnail_at_every_level(site: Site) -> None:
    image = moving(80, 3, rows=300, columns=600)
    path = kept(site, image)
    study, series = f"/studies/{image.study}", f"/studies/{image.study}/series/{image.series}"
    for level in (study, series, path, f"{path}/frames/2"):
        answer = site.get(f"{level}/thumbnail")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert opened(answer.content).size == (256, 128)
        assert answer.headers["content-location"] == site.root + level.removesuffix("/frames/2")


def test_10_4_1_1_4_a_thumbnail_has_a_viewport_and_nothing_else(site: Site) -> None:
    path = kept(site, ramp(81, rows=64, columns=64))
    answer = site.get(f"{path}/thumbnail?viewport=20,30")
    assert opened(answer.content).size == (20, 20)
    refusal(site.get(f"{path}/thumbnail?viewport=20,30,1,1"), "viewport", "vw,vh")
    small = site.get(f"{path}/thumbnail", "image/png")
    assert opened(small.content).size == (64, 64)  # never larger than the image


def test_10_4_1_1_4_a_study_is_shown_by_its_first_series_of_images(site: Site) -> None:
    images = [ramp(82, series=2, instance=n) for n in (1, 2, 3)]
    other = report(82, "text")
    kept(site, Instance(**{**vars(other), "series": uid(82, 1)}), *images)
    assert site.get(f"/studies/{uid(82)}/thumbnail").status_code == 200
    report_only = site.get(f"/studies/{uid(82)}/series/{uid(82, 1)}/thumbnail")
    assert report_only.status_code == 404


# -- caching, HEAD, again --------------------------------------------------------------------------


def test_8_5_what_the_client_holds_is_not_sent_again(site: Site) -> None:
    path = kept(site, ramp(90))
    for what in ("rendered", "thumbnail", "rendered?viewport=4,4"):
        first = site.get(f"{path}/{what}")
        again = site.get(f"{path}/{what}", if_none_match=first.headers["etag"])
        assert (again.status_code, again.content) == (304, b"")
    other = site.get(f"{path}/rendered?viewport=4,5").headers["etag"]
    assert other != first.headers["etag"]


def test_8_5_head_is_answered_as_get_without_its_body(site: Site) -> None:
    path = kept(site, ramp(91))
    got = site.get(f"{path}/rendered")
    told = site.client.head(f"{site.root}{path}/rendered")
    assert told.status_code == 200
    assert told.headers["content-length"] == got.headers["content-length"]


def test_a_second_request_is_answered_from_what_is_kept(site: Site) -> None:
    path = kept(site, deep(92))
    first = site.get(f"{path}/rendered")
    made = len(site.archive.render._pictures._entries)
    assert site.get(f"{path}/rendered").content == first.content
    assert len(site.archive.render._pictures._entries) == made


def test_pixels_that_cannot_be_decoded_are_406_and_never_500(site: Site) -> None:
    broken = compressed([[bytes(80)]], study=93)
    path = kept(site, broken)
    answer = site.get(f"{path}/rendered")
    assert answer.status_code == 406
    assert "decoded" in answer.json()["message"]
    unlike = ct(94, rows=16, columns=16, pixels=bytes(10))
    assert site.get(f"{kept(site, unlike)}/rendered").status_code == 406


def test_a_damaged_image_does_not_hide_the_others_of_its_study(site: Site) -> None:
    good = ramp(95)
    other = compressed([[bytes(80)]])
    damaged = Instance(**{**vars(other), "study": good.study, "instance": uid(95, 1, 7)})
    kept(site, good, damaged)
    answer = site.get(f"/studies/{good.study}/rendered", 'multipart/related; type="image/png"')
    assert len(parts_of(answer)) == 1

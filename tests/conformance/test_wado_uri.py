"""The URI service, row by row: PS3.18 ch. 9."""

from __future__ import annotations

import io
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pydicom
import pytest
from PIL import Image

from tests.conftest import TestPostgres
from tests.factories import (
    EXPLICIT,
    IMPLICIT,
    JPEG_2000,
    MPEG_4,
    Instance,
    compressed,
    ct,
    jpeg,
    multi_frame,
)
from tests.web.conftest import Site, serving
from tests.web.pictures import CDA, document, report

DICOM = "application/dicom"
JPEG_LS = "1.2.840.10008.1.2.4.80"


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One archive for these tests; each has studies of its own, or only reads."""
    with serving(postgres, tmp_path_factory.mktemp("archive")) as found:
        yield found


def kept(site: Site, made: Instance) -> dict[str, str]:
    """Store an instance; give the parameters that name it."""
    assert site.store(made.part10()).status_code == 200
    return named(made)


def named(made: Instance) -> dict[str, str]:
    return {
        "requestType": "WADO",
        "studyUID": made.study,
        "seriesUID": made.series,
        "objectUID": made.instance,
    }


def ask(
    site: Site, values: dict[str, str], accept: str | None = "*/*", **more: str
) -> httpx.Response:
    query = "&".join(f"{name}={quote(value)}" for name, value in {**values, **more}.items())
    headers = {} if accept is None else {"accept": accept}
    return site.client.get(f"{site.address.url}/wado?{query}", headers=headers)


# ---- 9.1, 9.3: request and parameters -----------------------------------------------------------


@pytest.mark.parametrize("name", ["requestType", "studyUID", "seriesUID", "objectUID"])
def test_table_9_1_2_1_a_missing_parameter_is_400_and_named(site: Site, name: str) -> None:
    values = named(ct(1))
    del values[name]
    for value in (values, {**values, name: ""}):
        answer = ask(site, value, contentType=DICOM)
        assert answer.status_code == 400
        assert name in answer.json()["message"]


def test_9_1_2_1_1_request_type_is_wado(site: Site) -> None:
    answer = ask(site, {**named(ct(1)), "requestType": "wado"})
    assert answer.status_code == 400
    assert "requestType" in answer.json()["message"]


@pytest.mark.parametrize("name", ["studyUID", "seriesUID", "objectUID", "transferSyntax"])
@pytest.mark.parametrize("value", ["1.2.x", "../etc", "1" * 300, "1.2,3.4"])
def test_9_1_2_1_2_what_is_no_uid_is_400_and_named(site: Site, name: str, value: str) -> None:
    answer = ask(site, {**named(ct(1)), name: value}, contentType=DICOM)
    assert answer.status_code == 400
    assert name in answer.json()["message"]


def test_9_1_1_the_order_of_parameters_is_free_and_none_stands_twice(site: Site) -> None:
    values = kept(site, ct(2))
    turned = dict(reversed(values.items()))
    assert ask(site, turned, contentType=DICOM).status_code == 200
    twice = f"{site.address.url}/wado?" + "&".join(f"{k}={v}" for k, v in values.items())
    answer = site.client.get(f"{twice}&studyUID=1.2")
    assert answer.status_code == 400
    assert "studyUID" in answer.json()["message"]


def test_8_3_unknown_parameters_are_ignored(site: Site) -> None:
    values = kept(site, ct(3))
    assert ask(site, values, contentType=DICOM, nonsense="1").status_code == 200


# ---- 9.4: DICOM instance ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["parameter", "header"])
def test_9_4_1_an_instance_as_a_file(site: Site, how: str) -> None:
    made = ct(10)
    values = kept(site, made)
    if how == "parameter":
        answer = ask(site, values, contentType=DICOM)
    else:
        answer = ask(site, values, accept=DICOM)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == DICOM
    assert answer.content == made.part10()
    location = answer.headers["content-location"]
    assert site.client.get(location, headers={"accept": DICOM}).content == made.part10()


def test_9_4_1_2_3_without_transfer_syntax_it_is_explicit_little_endian(site: Site) -> None:
    made = ct(11, transfer_syntax=IMPLICIT)
    answer = ask(site, kept(site, made), contentType=DICOM)
    ds = pydicom.dcmread(io.BytesIO(answer.content))
    assert ds.file_meta.TransferSyntaxUID == EXPLICIT
    assert ds.PixelData == made._pixels()


def test_9_4_1_2_3_a_transfer_syntax_that_is_asked_for(site: Site) -> None:
    made = ct(12)
    values = kept(site, made)
    answer = ask(site, values, contentType=DICOM, transferSyntax=JPEG_LS)
    ds = pydicom.dcmread(io.BytesIO(answer.content))
    assert ds.file_meta.TransferSyntaxUID == JPEG_LS
    assert ds.pixel_array.tobytes() == made._pixels()
    assert ask(site, values, contentType=DICOM, transferSyntax="*").content == made.part10()


def test_9_4_1_2_3_a_transfer_syntax_that_cannot_be_given_is_406_with_those_that_can(
    site: Site,
) -> None:
    answer = ask(site, kept(site, ct(13)), contentType=DICOM, transferSyntax=MPEG_4)
    assert answer.status_code == 406
    assert EXPLICIT in answer.json()["message"]
    damaged = kept(site, compressed([[jpeg(1)]], transfer_syntax=JPEG_2000, study=14))
    assert ask(site, damaged, contentType=DICOM).status_code == 406
    stored = ask(site, damaged, contentType=DICOM, transferSyntax=JPEG_2000)
    assert stored.status_code == 200


def test_9_4_1_2_1_de_identification_is_refused(site: Site) -> None:
    values = kept(site, ct(15))
    refused = ask(site, values, contentType=DICOM, anonymize="yes")
    assert refused.status_code == 406
    assert "de-identify" in refused.json()["message"]
    for value in ("no", "true", ""):
        answer = ask(site, values, contentType=DICOM, anonymize=value)
        assert answer.status_code == 400
        assert "anonymize" in answer.json()["message"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("windowCenter", "40"),
        ("windowWidth", "400"),
        ("frameNumber", "1"),
        ("rows", "64"),
        ("region", "0,0,1,1"),
        ("imageQuality", "90"),
        ("presentationUID", "1.2"),
    ],
)
def test_9_5_1_2_6_parameters_of_a_rendering_do_not_go_with_a_file(
    site: Site, name: str, value: str
) -> None:
    answer = ask(site, kept(site, ct(16)), contentType=DICOM, **{name: value})
    assert answer.status_code == 400
    assert name in answer.json()["message"]


@pytest.mark.parametrize(
    "value", [f"{DICOM};transfer-syntax={EXPLICIT}", f"{DICOM};charset=UTF-8", "", "nonsense"]
)
def test_9_1_2_2_1_content_type_takes_media_types_alone(site: Site, value: str) -> None:
    answer = ask(site, kept(site, ct(17)), contentType=value)
    assert answer.status_code == 400
    assert "contentType" in answer.json()["message"]


def test_9_1_2_2_1_both_kinds_of_media_types_are_400(site: Site) -> None:
    answer = ask(site, kept(site, ct(18)), contentType=f"{DICOM},image/jpeg")
    assert answer.status_code == 400


# ---- 9.5: rendered ------------------------------------------------------------------------------


def seen(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


@pytest.mark.parametrize("accept", ["*/*", None, "image/*", "image/jpeg"])
def test_9_3_a_wildcard_means_a_jpeg_picture(site: Site, accept: str | None) -> None:
    answer = ask(site, kept(site, ct(30)), accept=accept)
    assert answer.headers["content-type"] == "image/jpeg"
    picture = seen(answer)
    assert (picture.format, picture.size) == ("JPEG", (16, 16))
    assert answer.headers["content-location"].startswith(f"{site.root}/studies/")


@pytest.mark.parametrize("media", ["image/png", "image/gif", "image/jpeg"])
def test_table_8_7_4_1_content_type_names_the_picture_wanted(site: Site, media: str) -> None:
    values = kept(site, ct(31))
    assert ask(site, values, contentType=media).headers["content-type"] == media
    assert ask(site, values, accept=media).headers["content-type"] == media
    both = ask(site, values, contentType=f"model/obj,{media};q=0.5")
    assert both.headers["content-type"] == media


def test_table_8_7_4_1_a_type_nobody_renders_is_406(site: Site) -> None:
    assert ask(site, kept(site, ct(32)), contentType="model/obj").status_code == 406


def test_9_5_1_2_1_frame_number_chooses_a_frame(site: Site) -> None:
    pixels = b"".join(bytes([n, 0]) * 256 for n in (10, 250))
    values = kept(site, multi_frame(2, study=33, pixels=pixels))
    window = {"windowCenter": "-896", "windowWidth": "256"}
    light = [
        seen(ask(site, values, contentType="image/png", frameNumber=n, **window)).getpixel((5, 5))
        for n in ("1", "2")
    ]
    assert light[0] != light[1]
    for wrong in ("0", "3", "-1", "1,2", "x", ""):
        answer = ask(site, values, frameNumber=wrong)
        assert answer.status_code == 400
        assert "frameNumber" in answer.json()["message"]
    single = kept(site, ct(34))
    assert ask(site, single, frameNumber="1").status_code == 200
    assert ask(site, single, frameNumber="2").status_code == 400


@pytest.mark.parametrize(
    ("sides", "size"),
    [
        ({"rows": "8", "columns": "8"}, (8, 8)),
        ({"rows": "64"}, (64, 64)),
        ({"columns": "4"}, (4, 4)),
        ({"rows": "8", "columns": "64"}, (8, 8)),
    ],
)
def test_9_5_1_2_4_the_picture_fits_rows_and_columns(
    site: Site, sides: dict[str, str], size: tuple[int, int]
) -> None:
    assert seen(ask(site, kept(site, ct(35)), **sides)).size == size


def test_9_5_1_2_5_a_region_of_the_image(site: Site) -> None:
    values = kept(site, ct(36))
    assert seen(ask(site, values, region="0.25,0.5,0.75,1")).size == (8, 8)
    larger = ask(site, values, region="0.0,0.0,0.5,0.5", rows="32", columns="32")
    assert seen(larger).size == (32, 32)


def test_9_5_1_2_6_a_window_changes_the_picture(site: Site) -> None:
    values = kept(site, ct(37))
    narrow = ask(site, values, contentType="image/png", windowCenter="0", windowWidth="2")
    wide = ask(site, values, contentType="image/png", windowCenter="0", windowWidth="60000")
    assert seen(narrow).tobytes() != seen(wide).tobytes()


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"windowCenter": "1"}, "windowWidth"),
        ({"windowWidth": "1"}, "windowCenter"),
        ({"windowCenter": "1", "windowWidth": "0"}, "windowWidth"),
        ({"windowCenter": "nan", "windowWidth": "1"}, "windowCenter"),
        ({"rows": "0"}, "rows"),
        ({"columns": "1e3"}, "columns"),
        ({"rows": "999999"}, "rows"),
        ({"imageQuality": "101"}, "imageQuality"),
        ({"imageQuality": "high"}, "imageQuality"),
        ({"region": "0,0,1"}, "region"),
        ({"region": "0.5,0,0.5,1"}, "region"),
        ({"region": "0,0,1.1,1"}, "region"),
        ({"region": "0,0,1,1,"}, "region"),
        ({"annotation": "a b"}, "annotation"),
        ({"presentationUID": "1.2"}, "presentationSeriesUID"),
        ({"presentationSeriesUID": "1.2"}, "presentationUID"),
        ({"presentationSeriesUID": "1.2", "presentationUID": "x"}, "presentationUID"),
        ({"transferSyntax": EXPLICIT}, "transferSyntax"),
        ({"anonymize": "yes"}, "anonymize"),
    ],
)
def test_table_9_5_1_1_a_wrong_parameter_is_400_and_named(
    site: Site, values: dict[str, str], name: str
) -> None:
    answer = ask(site, kept(site, ct(38)), **values)
    assert answer.status_code == 400
    assert name in answer.json()["message"]


def test_9_5_1_2_7_nothing_a_presentation_state_says_itself(site: Site) -> None:
    state = {"presentationSeriesUID": "1.2", "presentationUID": "3.4"}
    for more in ({"windowCenter": "1", "windowWidth": "2"}, {"frameNumber": "1"}):
        assert ask(site, kept(site, ct(39)), **state, **more).status_code == 400
    assert ask(site, kept(site, ct(39)), **state).status_code == 404


def test_8_3_5_1_1_an_unknown_annotation_is_ignored_with_a_warning(site: Site) -> None:
    for name in ("annotation", "imageAnnotation"):
        answer = ask(site, kept(site, ct(40)), **{name: "technique,mood"})
        assert answer.status_code == 200
        assert "mood" in answer.headers["warning"]


def test_9_5_3_a_picture_that_is_known_is_304_and_head_sends_nothing(site: Site) -> None:
    values = kept(site, ct(41))
    first = ask(site, values)
    query = str(first.request.url)
    again = site.client.get(query, headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    told = site.client.head(query)
    assert (told.status_code, told.content) == (200, b"")
    assert told.headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("fields", [{}, {"range": "bytes=0-40"}])
def test_9_5_a_document_somebody_else_wrote_runs_nothing_as_a_page_of_ours(
    site: Site, method: str, fields: dict[str, str]
) -> None:
    """A CDA may bring a style sheet along, and a script with it: a browser is told to run none."""
    script = b'<s xmlns="http://www.w3.org/1999/xhtml"><script>alert(origin)</script></s>'
    values = kept(site, document(42, CDA, script, "text/XML"))
    query = {**values, "contentType": "text/xml"}
    answer = site.client.request(method, f"{site.address.url}/wado", params=query, headers=fields)
    assert answer.headers["content-type"] == "text/xml"
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    shown = ask(site, kept(site, report(43, "a <b>bold</b> finding")), contentType="text/html")
    assert "&lt;b&gt;" in shown.text
    assert shown.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


# ---- Table 9.4.3-1, header fields ---------------------------------------------------------------


def test_table_9_4_3_1_404_for_what_is_not_there(site: Site) -> None:
    assert ask(site, named(ct(20)), contentType=DICOM).status_code == 404
    assert ask(site, named(ct(20))).status_code == 404


def test_9_4_3_a_range_and_a_copy_that_is_good(site: Site) -> None:
    made = ct(21)
    values = kept(site, made)
    whole = ask(site, values, contentType=DICOM)
    query = str(whole.request.url)
    part = site.client.get(query, headers={"range": "bytes=128-131"})
    assert (part.status_code, part.content) == (206, b"DICM")
    fresh = site.client.get(query, headers={"if-none-match": whole.headers["etag"]})
    assert fresh.status_code == 304
    told = site.client.head(query)
    assert told.content == b""
    assert told.headers["content-length"] == str(len(made.part10()))


def test_8_5_other_methods_are_405(site: Site) -> None:
    answer = site.client.post(f"{site.address.url}/wado")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"

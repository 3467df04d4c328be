"""The URI service, row by row: PS3.18 ch. 9."""

from __future__ import annotations

import io
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pydicom
import pytest

from tests.conftest import TestPostgres
from tests.factories import EXPLICIT, IMPLICIT, JPEG_2000, MPEG_4, Instance, compressed, ct, jpeg
from tests.web.conftest import Site, serving

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

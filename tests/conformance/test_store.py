"""The Store transaction, row by row: PS3.18 10.5, Annex I, and what 8.x says of its requests."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import imagecodecs
import numpy as np
import orjson
import pytest
from PIL import Image

from tests.conftest import TestPostgres
from tests.dicom import streams
from tests.factories import EXPLICIT, IMPLICIT, JPEG_2000, broken, compressed, ct, uid
from tests.web.conftest import Site, body_of, read_xml, serving
from tests.web.parts import (
    COLOR,
    GREY,
    JSON,
    XML,
    described,
    json_part,
    metadata,
    one,
    pixels,
    post,
    reasons,
    stored,
    values,
    written,
    xml_part,
)

DICOM = "application/dicom"
OCTETS = "application/octet-stream"
MODEL = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One archive for these tests; each has a study of its own."""
    with serving(postgres, tmp_path_factory.mktemp("archive")) as found:
        yield found


def pillow(form: str, array: Any = GREY, **options: Any) -> bytes:
    """Encode an image as a camera or a program would."""
    out = io.BytesIO()
    Image.fromarray(array).save(out, form, **options)
    return out.getvalue()


# ---- 10.5.1 Request -----------------------------------------------------------------------------


def test_10_5_1_table_1_studies_takes_instances_of_any_study(site: Site) -> None:
    answer = site.store(ct(2000).part10(), ct(2001).part10())
    assert answer.status_code == 200
    assert len(values(answer.json(), "00081199")) == 2


def test_10_5_1_table_1_study_takes_instances_of_that_study(site: Site) -> None:
    assert site.store(ct(2002).part10(), path=f"/studies/{uid(2002)}").status_code == 200


@pytest.mark.parametrize("kind", [DICOM, JSON, XML])
def test_10_5_1_table_1_study_fails_instances_of_another(site: Site, kind: str) -> None:
    path = f"/studies/{uid(2002)}"
    if kind == DICOM:
        answer = site.store(ct(2003).part10(), path=path)
    else:
        part = json_part(metadata(2003)) if kind == JSON else xml_part(metadata(2003))
        answer = post(site, part, path=path, root=kind)
    assert answer.status_code == 409
    assert reasons(answer) == [0xA900]


def test_10_5_1_1_there_are_no_query_parameters_and_unknown_ones_are_ignored(site: Site) -> None:
    assert site.store(ct(2004).part10(), path="/studies?unknown=1").status_code == 200


def test_10_5_1_table_2_content_type_is_mandatory(site: Site) -> None:
    answer = site.client.post(f"{site.root}/studies", content=body_of(ct(2005).part10()))
    assert answer.status_code == 415


@pytest.mark.parametrize("chunked", [False, True])
def test_10_5_1_table_2_content_length_or_transfer_encoding(site: Site, chunked: bool) -> None:
    body = body_of(ct(2006 + chunked).part10())
    answer = site.client.post(
        f"{site.root}/studies",
        content=iter([body[:100], body[100:]]) if chunked else body,
        headers={"content-type": f'multipart/related; type="{DICOM}"; boundary=b'},
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("quoted", ['"application/dicom"', "application/dicom"])
def test_8_6_1_2_type_and_boundary_may_be_quoted_or_not(site: Site, quoted: str) -> None:
    answer = site.client.post(
        f"{site.root}/studies",
        content=body_of(ct(2008).part10()),
        headers={"content-type": f'multipart/related; boundary="b"; type={quoted}'},
    )
    assert answer.status_code == 200


# ---- 10.5.2 and 8.6.1.2 Request payload ---------------------------------------------------------


def test_10_5_2_ps3_10_instances_are_one_a_part(site: Site) -> None:
    answer = site.store(*(ct(2010, 1, n).part10() for n in range(1, 4)))
    assert len(values(answer.json(), "00081199")) == 3


def test_10_5_2_json_metadata_is_an_array_in_one_part(site: Site) -> None:
    answer = post(site, json_part(metadata(2011, 1), metadata(2011, 2)))
    assert answer.status_code == 200
    assert len(values(answer.json(), "00081199")) == 2


def test_10_5_2_xml_metadata_is_one_instance_a_part(site: Site) -> None:
    answer = post(site, xml_part(metadata(2012, 1)), xml_part(metadata(2012, 2)), root=XML)
    assert answer.status_code == 200
    assert len(values(answer.json(), "00081199")) == 2


def test_10_5_2_file_meta_information_is_made_by_the_server(site: Site) -> None:
    elements = {**metadata(2013), "00020010": one("UI", "1.2.3.4")}
    assert post(site, json_part(elements)).status_code == 200
    meta = stored(site, 2013).file_meta
    assert meta.TransferSyntaxUID == EXPLICIT
    assert meta.MediaStorageSOPClassUID == elements["00080016"]["Value"][0]
    assert meta.MediaStorageSOPInstanceUID == uid(2013, 1, 1)


@pytest.mark.parametrize("root", [JSON, XML])
def test_8_6_1_2_content_location_is_the_bulkdata_uri(site: Site, root: str) -> None:
    study = 2014 + (root == XML)
    elements = metadata(study, **described(), **pixels("http://a.example/1"))
    part = json_part(elements) if root == JSON else xml_part(elements)
    answer = post(site, part, (OCTETS, "http://a.example/1", bytes(range(16))), root=root)
    assert answer.status_code == 200
    assert stored(site, study).PixelData == bytes(range(16))


def test_10_5_2_uncompressed_bulkdata_is_octets_one_part_an_item(site: Site) -> None:
    elements = metadata(2016, x00280008=one("IS", 3), **described(), **pixels())
    elements["00091001"] = {"vr": "UN", "BulkDataURI": "private"}
    answer = post(
        site, json_part(elements), (OCTETS, "pixels", bytes(48)), (OCTETS, "private", b"ab")
    )
    assert answer.status_code == 200
    assert stored(site, 2016)[0x00091001].value == b"ab"


def test_10_5_2_a_compressed_multi_frame_is_one_part_a_frame(site: Site) -> None:
    elements = metadata(2017, x00280008=one("IS", 2), **pixels())
    frames = [("image/jpeg", f"pixels/frames/{n}", pillow("JPEG")) for n in (1, 2)]
    assert post(site, json_part(elements), *frames).status_code == 200
    assert stored(site, 2017).NumberOfFrames == 2


def test_10_5_2_an_encapsulated_document_has_the_media_type_of_0042_0012(site: Site) -> None:
    elements = metadata(2018, x00420011={"vr": "OB", "BulkDataURI": "d"})
    elements["00420012"] = one("LO", "application/pdf")
    right, wrong = ("application/pdf", "d", b"%PDF-1.7"), ("text/xml", "d", b"<ClinicalDocument/>")
    assert post(site, json_part(elements), right).status_code == 200
    answer = post(site, json_part(elements), wrong)
    assert answer.status_code == 409


def test_10_5_2_image_pixel_attributes_are_needed_with_uncompressed_pixels(site: Site) -> None:
    elements = metadata(2019, **described(), **pixels())
    del elements["00280011"]
    assert post(site, json_part(elements), (OCTETS, "pixels", bytes(16))).status_code == 409


JPEG_2000_LOSSLESS = bytes(
    imagecodecs.jpeg2k_encode(COLOR, codecformat="j2k", reversible=True, mct=True)
)
KEPT = [
    ("image/jpeg", pillow("JPEG"), "4.50"),
    ("image/jpeg", imagecodecs.jpeg8_encode(GREY, lossless=True, predictor=1), "4.70"),
    ("image/jp2", JPEG_2000_LOSSLESS, "4.90"),
    ("image/jp2", pillow("JPEG2000", irreversible=True, quality_layers=[20]), "4.91"),
    ("image/jpx", JPEG_2000_LOSSLESS, "4.92"),
    ("image/jph", imagecodecs.htj2k_encode(GREY, reversible=True), "4.201"),
    ("image/jphc", imagecodecs.htj2k_encode(GREY, reversible=False), "4.203"),
    ("image/jls", imagecodecs.jpegls_encode(GREY), "4.80"),
    ("image/jxl", imagecodecs.jpegxl_encode(GREY, lossless=True), "4.112"),
    (
        "image/jxl; transfer-syntax=1.2.840.10008.1.2.4.110",
        imagecodecs.jpegxl_encode(GREY, lossless=True),
        "4.110",
    ),
    ("video/mp4", streams.mp4(), "4.102"),
    ("video/mp4", streams.mp4(setup=bytes([1, 100, 0, 42])), "4.104"),
    ("video/H265", streams.mp4("hvc1"), "4.107"),
]


@pytest.mark.parametrize("number", range(len(KEPT)))
def test_table_10_5_2_1_compressed_pixels_are_encapsulated_as_they_are(
    site: Site, number: int
) -> None:
    media, data, syntax = KEPT[number]
    study = 2030 + number
    answer = post(site, json_part(metadata(study, **pixels())), (media, "pixels", bytes(data)))
    assert answer.status_code == 200, answer.text
    found = stored(site, study)
    assert found.file_meta.TransferSyntaxUID == f"1.2.840.10008.1.2.{syntax}"
    assert bytes(data)[-40:].rstrip(b"\0") in found.PixelData
    if media.startswith("image/"):
        assert (found.Rows, found.Columns) == (24, 40)
    else:
        assert (found.Rows, found.Columns, found.NumberOfFrames) == (48, 64, 5)
        assert found.PhotometricInterpretation == "YBR_PARTIAL_420"


@pytest.mark.parametrize(("study", "form"), [(2055, "PNG"), (2056, "GIF")])
def test_table_10_5_2_1_png_and_gif_become_uncompressed(site: Site, study: int, form: str) -> None:
    part = (f"image/{form.lower()}", "pixels", pillow(form))
    assert post(site, json_part(metadata(study, **pixels())), part).status_code == 200
    found = stored(site, study)
    assert found.file_meta.TransferSyntaxUID == EXPLICIT
    assert np.array_equal(found.pixel_array[..., 0] if form == "GIF" else found.pixel_array, GREY)


@pytest.mark.parametrize(
    ("study", "media", "content"),
    [
        (2057, "image/png", pillow("PNG", COLOR)),
        (2058, "image/jls", imagecodecs.jpegls_encode(COLOR)),
    ],
)
def test_ps3_5_8_2_planar_configuration_is_that_of_what_is_written(
    site: Site, study: int, media: str, content: bytes
) -> None:
    """Metadata of an image once stored by plane: read so, what came of it was scrambled."""
    elements = metadata(study, x00280006=one("US", 1), **pixels())
    assert post(site, json_part(elements), (media, "pixels", content)).status_code == 200
    found = stored(site, study)
    assert found.PlanarConfiguration == 0
    assert np.array_equal(found.pixel_array, COLOR)


@pytest.mark.parametrize(
    ("form", "array", "tag", "value"),
    [
        ("PNG", COLOR, "00280004", "YBR_FULL_422"),
        ("PNG", COLOR, "00280004", "MONOCHROME2"),
        ("PNG", GREY, "00280004", "RGB"),
        ("JPEG", COLOR, "00280004", "MONOCHROME2"),
    ],
)
def test_10_5_2_colors_that_contradict_the_stream_are_refused(
    site: Site, form: str, array: Any, tag: str, value: str
) -> None:
    """PS3.3 C.7.6.3.1.2: such an object would show other colors."""
    elements = {**metadata(2059, **pixels()), tag: one("CS", value)}
    part = (f"image/{form.lower()}", "pixels", pillow(form, array))
    answer = post(site, json_part(elements), part)
    assert answer.status_code == 409
    assert reasons(answer) == [0xA900]


def test_ps3_3_c_7_6_1_1_5_what_was_compressed_with_loss_says_so_whatever_the_metadata_says(
    site: Site,
) -> None:
    elements = metadata(2064, x00282110=one("CS", "00"), **pixels())
    part = ("image/jpeg", "pixels", pillow("JPEG", GREY))
    assert post(site, json_part(elements), part).status_code == 200
    found = stored(site, 2064)
    assert found.LossyImageCompression == "01"
    assert found.LossyImageCompressionMethod == "ISO_10918_1"
    assert float(found.LossyImageCompressionRatio) > 0


def test_table_10_5_2_1_mpeg_video_needs_the_number_of_frames(site: Site) -> None:
    part = ("video/mpeg", "pixels", streams.mpeg_2())
    assert post(site, json_part(metadata(2050, **pixels())), part).status_code == 409
    told = metadata(2050, x00280008=one("IS", 7), **pixels())
    assert post(site, json_part(told), part).status_code == 200
    found = stored(site, 2050)
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.100"
    assert (found.Rows, found.Columns) == (288, 352)


def test_8_7_3_rle_frames_need_the_whole_description(site: Site) -> None:
    raw = GREY.tobytes()
    runs = [bytes([len(raw[at : at + 128]) - 1]) + raw[at : at + 128] for at in range(0, 960, 128)]
    frame = struct.pack("<16I", 1, 64, *([0] * 14)) + b"".join(runs)
    part = ("image/dicom-rle", "pixels", frame)
    assert post(site, json_part(metadata(2051, **pixels())), part).status_code == 409
    told = metadata(2051, **described(24, 40), **pixels())
    assert post(site, json_part(told), part).status_code == 200
    assert np.array_equal(stored(site, 2051).pixel_array, GREY)


def test_8_7_3_other_pixel_types_without_a_transfer_syntax_are_415(site: Site) -> None:
    for media in ("image/tiff", "image/webp", "video/quicktime"):
        part = (media, "pixels", b"x")
        assert post(site, json_part(metadata(2052, **pixels())), part).status_code == 415


@pytest.mark.parametrize("syntax", [IMPLICIT, "1.2.840.10008.1.2.2"])
def test_8_7_3_bulkdata_is_never_implicit_nor_big_endian(site: Site, syntax: str) -> None:
    elements = metadata(2053, **described(), **pixels())
    part = (f"{OCTETS}; transfer-syntax={syntax}", "pixels", bytes(16))
    answer = post(site, json_part(elements), part)
    assert answer.status_code == 409
    assert reasons(answer) == [0xC122]


def test_8_7_9_the_transfer_syntax_of_the_file_wins(site: Site) -> None:
    body = body_of(
        compressed([[b"\xff\x4f\xff\x51ab"]], transfer_syntax=JPEG_2000, study=2054).part10(),
        content_type=f"{DICOM}; transfer-syntax={EXPLICIT}",
    )
    answer = site.client.post(
        f"{site.root}/studies",
        content=body,
        headers={"content-type": f'multipart/related; type="{DICOM}"; boundary=b'},
    )
    assert answer.status_code == 200
    assert stored(site, 2054).file_meta.TransferSyntaxUID == JPEG_2000


# ---- 10.5.3 Behaviour and response --------------------------------------------------------------


def test_10_5_3_table_1_200_all_instances_stored(site: Site) -> None:
    assert site.store(ct(2060).part10()).status_code == 200


def test_10_5_3_table_1_202_some_stored_failures_for_others(site: Site) -> None:
    answer = site.store(ct(2061).part10(), broken("no-instance", study=2061))
    assert answer.status_code == 202
    assert len(values(answer.json(), "00081199")) == 1


def test_10_5_3_table_1_202_stored_with_a_warning(site: Site) -> None:
    assert site.store(ct(2062).part10()).status_code == 200
    answer = site.store(ct(2062, values={"StudyDescription": "Other"}).part10())
    assert answer.status_code == 202
    (item,) = values(answer.json(), "00081199")
    assert values(item, "00081196") == [0xB000]


@pytest.mark.parametrize("content", [b"", b"no boundary", b"--b\r\n\r\nno DICOM\r\n--b--\r\n"])
def test_10_5_3_table_1_400_nothing_stored_bad_syntax(site: Site, content: bytes) -> None:
    answer = site.client.post(
        f"{site.root}/studies",
        content=content,
        headers={"content-type": f'multipart/related; type="{DICOM}"; boundary=b'},
    )
    assert answer.status_code == 400


def test_10_5_3_table_1_409_unsupported_sop_class(postgres: TestPostgres, tmp_path: Path) -> None:
    with serving(postgres, tmp_path, dicom={"unknown_storage": False}) as strict:
        answer = strict.store(ct(1, sop_class="1.2.3.4.5").part10())
        assert answer.status_code == 409
        assert reasons(answer) == [0x0122]


def test_10_5_3_table_1_409_mixed_reasons(site: Site) -> None:
    answer = site.store(ct(2064).part10(), broken("garbage"), path=f"/studies/{uid(2063)}")
    assert answer.status_code == 409


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain", 'multipart/related; type="image/png"; boundary=b'],
)
def test_10_5_3_table_1_415_content_type_not_supported(site: Site, content_type: str) -> None:
    answer = site.store(ct(2065).part10(), **{"content-type": content_type})
    assert answer.status_code == 415


@pytest.mark.parametrize("kind", [DICOM, JSON])
def test_8_5_413_too_large(postgres: TestPostgres, tmp_path: Path, kind: str) -> None:
    with serving(postgres, tmp_path, limits={"request_bytes": 3000}) as small:
        elements = metadata(1, x00091001={"vr": "OB", "InlineBinary": "A" * 4000})
        content = written([json_part(elements)]) if kind == JSON else body_of(bytes(4000))
        for body in (content, iter([content])):
            answer = small.client.post(
                f"{small.root}/studies",
                content=body,
                headers={"content-type": f'multipart/related; type="{kind}"; boundary=b'},
            )
            assert answer.status_code == 413


@pytest.mark.parametrize("kind", [DICOM, JSON])
def test_8_5_503_busy_with_retry_after(postgres: TestPostgres, tmp_path: Path, kind: str) -> None:
    with serving(postgres, tmp_path, blobs={"free_bytes": 1 << 60}) as full:
        file = ct(1).part10()
        answer = post(full, json_part(metadata(1))) if kind == JSON else full.store(file)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("path", ["/studies", f"/studies/{uid(2066)}"])
def test_10_5_3_table_2_location_and_content_location_of_what_was_created(
    site: Site, path: str
) -> None:
    answer = site.store(ct(2066).part10(), path=path)
    url = f"{site.root}/studies/{uid(2066)}"
    assert answer.headers["content-location"] == answer.headers["location"] == url
    assert site.client.get(url).status_code == 200


def test_10_5_3_2_a_warning_header_has_the_status_and_its_reason(site: Site) -> None:
    answer = site.store(ct(2067).part10(), path=f"/studies/{uid(2068)}")
    assert answer.headers["warning"].startswith(f"299 {site.root}: A900 ")


def test_10_5_3_3_the_payload_of_409_is_the_store_instances_response(site: Site) -> None:
    answer = site.store(ct(2067).part10(), path=f"/studies/{uid(2068)}")
    assert answer.status_code == 409
    assert values(answer.json(), "00081198")


def accept(site: Site, study: int, kind: str | None) -> httpx.Response:
    """Store with an Accept header."""
    return site.store(ct(study).part10(), **({"accept": kind} if kind else {}))


@pytest.mark.parametrize(
    ("study", "kind", "given"),
    [
        (2070, None, JSON),
        (2071, "*/*", JSON),
        (2072, JSON, JSON),
        (2073, XML, XML),
        (2074, f"{XML}, {JSON};q=0.5", XML),
        (2075, f"{XML};q=0.1, {JSON}", JSON),
    ],
)
def test_10_5_4_the_response_is_json_by_default_and_xml_on_request(
    site: Site, study: int, kind: str | None, given: str
) -> None:
    answer = accept(site, study, kind)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == given


def test_8_5_406_no_acceptable_response_nothing_is_stored(site: Site) -> None:
    assert accept(site, 2076, "image/png").status_code == 406
    assert site.get(f"/studies/{uid(2076)}").status_code == 404


def test_b_21_a_single_application_dicom_body_is_taken(site: Site) -> None:
    answer = site.client.post(
        f"{site.root}/studies", content=ct(2077).part10(), headers={"content-type": DICOM}
    )
    assert answer.status_code == 200


# ---- Annex I Store Instances Response Module ----------------------------------------------------


def test_table_i_1_1_retrieve_url_of_the_study(site: Site) -> None:
    told = site.store(ct(2080).part10()).json()
    assert values(told, "00081190") == [f"{site.root}/studies/{uid(2080)}"]


def test_table_i_1_1_retrieve_url_is_empty_for_several_studies(site: Site) -> None:
    told = site.store(ct(2081).part10(), ct(2082).part10()).json()
    assert told["00081190"] == {"vr": "UR"}


def test_table_i_1_1_referenced_sop_sequence(site: Site) -> None:
    told = site.store(ct(2083).part10()).json()
    (item,) = values(told, "00081199")
    url = f"{site.root}/studies/{uid(2083)}/series/{uid(2083, 1)}/instances/{uid(2083, 1, 1)}"
    assert values(item, "00081150") == [ct(1).sop_class]
    assert values(item, "00081155") == [uid(2083, 1, 1)]
    assert values(item, "00081190") == [url]
    assert "00081196" not in item
    assert site.get(url.removeprefix(site.root), DICOM).content == ct(2083).part10()


def test_table_i_1_1_sequences_are_absent_when_there_is_nothing_in_them(site: Site) -> None:
    assert set(site.store(ct(2084).part10()).json()) == {"00081190", "00081199"}
    failed = site.store(ct(2084).part10(), path=f"/studies/{uid(2085)}").json()
    assert set(failed) == {"00081190", "00081198"}


def test_table_i_1_1_failed_sop_sequence(site: Site) -> None:
    told = site.store(ct(2086).part10(), path=f"/studies/{uid(2085)}").json()
    (item,) = values(told, "00081198")
    assert values(item, "00081150") == [ct(1).sop_class]
    assert values(item, "00081155") == [uid(2086, 1, 1)]
    assert values(item, "00081197") == [0xA900]


def test_table_i_1_1_other_failures_sequence(site: Site) -> None:
    told = site.store(ct(2087).part10(), b"no DICOM").json()
    (item,) = values(told, "0008119A")
    assert item == {"00081197": {"vr": "US", "Value": [0xC000]}}


def test_annex_i_the_response_in_xml_says_the_same(site: Site) -> None:
    answer = site.store(ct(2088).part10(), b"no DICOM", accept=XML)
    assert answer.status_code == 202
    top = {node.get("tag"): node for node in read_xml(answer.content)}
    assert set(top) == {"00081190", "00081199", "0008119A"}
    item = top["00081199"].find(f"{MODEL}Item")
    assert item is not None
    said = {node.get("keyword"): node[0].text for node in item}
    assert said["ReferencedSOPInstanceUID"] == uid(2088, 1, 1)


@pytest.mark.parametrize(
    ("reason", "elements", "parts"),
    [
        (0xA900, metadata(2090, **described(9, 9), **pixels()), [(OCTETS, "pixels", bytes(16))]),
        (0xC000, metadata(2090, **described(), **pixels()), []),
        (0xC122, metadata(2090, **pixels()), [("video/mp4", "pixels", streams.mp4("av01", b""))]),
    ],
    ids=["a900", "c000", "c122"],
)
def test_table_i_2_2_failure_reasons(
    site: Site, reason: int, elements: dict[str, Any], parts: list[tuple[str, str, bytes]]
) -> None:
    answer = post(site, json_part(elements), *parts)
    assert answer.status_code >= 400
    assert reasons(answer) == [reason]
    (item,) = values(answer.json(), "00081198")
    assert values(item, "00081155") == [uid(2090, 1, 1)]


# ---- F.2 and PS3.19 A.1, as they are sent -------------------------------------------------------


def test_f_2_1_a_single_object_without_an_array_is_understood(site: Site) -> None:
    assert post(site, (JSON, None, orjson.dumps(metadata(2100)))).status_code == 200


def test_f_2_3_numbers_may_be_strings(site: Site) -> None:
    elements = metadata(2101, x00280030=one("DS", "0.50", 0.25), x00200013=one("IS", "7"))
    assert post(site, json_part(elements)).status_code == 200
    found = stored(site, 2101)
    assert list(found.PixelSpacing) == [0.5, 0.25]
    assert found.InstanceNumber == 7


def test_f_2_7_inline_binary_is_the_value_field(site: Site) -> None:
    elements = metadata(2102, x00091001={"vr": "OB", "InlineBinary": "AQIDBA=="})
    assert post(site, json_part(elements)).status_code == 200
    assert stored(site, 2102)[0x00091001].value == b"\1\2\3\4"


def test_ps3_19_a_1_private_attributes_are_placed_in_their_creators_block(site: Site) -> None:
    elements = metadata(2103)
    elements["00110010"] = one("LO", "FIRST")
    elements["00110011"] = one("LO", "SECOND")
    elements["00111101"] = one("LO", "of the second")
    assert post(site, xml_part(elements), root=XML).status_code == 200
    assert stored(site, 2103).private_block(0x11, "SECOND")[0x01].value == "of the second"


def test_ps3_19_a_1_a_document_without_a_namespace_is_understood(site: Site) -> None:
    media, location, document = xml_part(metadata(2104))
    bare = document.replace(b' xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM"', b"")
    assert bare != document
    assert post(site, (media, location, bare), root=XML).status_code == 200

"""The Retrieve transaction, row by row: PS3.18 10.3, 10.4, and what 8.x says of its requests."""

from __future__ import annotations

import hashlib
import io
import itertools
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.data import get_testdata_file
from pydicom.filereader import dcmread
from pydicom.fileset import FileSet
from pydicom.uid import UID

from tests.conftest import TestPostgres
from tests.dicom.corpus import files, read
from tests.dicom.test_corpus import PYDICOM_CANNOT, REFUSED, theirs_of, unlike
from tests.factories import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    JPEG_2000,
    MPEG_4,
    RLE,
    Instance,
    compressed,
    ct,
    ct_of_bytes,
    jpeg,
    multi_frame,
)
from tests.web.conftest import Site, a_while_ago, parts_of, read_xml, serving

DICOM = 'multipart/related; type="application/dicom"'
OCTETS = 'multipart/related; type="application/octet-stream"'
JSON, XML = "application/dicom+json", 'multipart/related; type="application/dicom+xml"'
JPEG_LS, JPEG_LOSSLESS, HTJ2K = (f"1.2.840.10008.1.2.4.{n}" for n in ("80", "70", "201"))
LEVELS = ("study", "series", "instance")
SAMPLES = {
    EXPLICIT: "CT_small.dcm",
    IMPLICIT: "MR_small_implicit.dcm",
    BIG_ENDIAN: "MR_small_bigendian.dcm",
    DEFLATED: "image_dfl.dcm",
    RLE: "MR_small_RLE.dcm",
    JPEG: "SC_rgb_jpeg_dcmtk.dcm",
    JPEG_LS: "MR_small_jpeg_ls_lossless.dcm",
    JPEG_2000: "MR_small_jp2klossless.dcm",
}


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One archive for these tests; each has studies of its own, or only reads."""
    with serving(postgres, tmp_path_factory.mktemp("archive")) as found:
        yield found


def kept(site: Site, *made: Instance) -> dict[str, str]:
    """Store instances of one series; give the paths of its three levels, the last one's."""
    answer = site.store(*(one.part10() for one in made))
    assert answer.status_code == 200, answer.text
    last = made[-1]
    study = f"/studies/{last.study}"
    series = f"{study}/series/{last.series}"
    return {"study": study, "series": series, "instance": f"{series}/instances/{last.instance}"}


def sample(site: Site, name: str) -> tuple[str, pydicom.Dataset]:
    """Store one of pydicom's files under a UID of its own; give its path and what pydicom reads."""
    source = get_testdata_file(name, download=False)
    assert source is not None, name
    ds = pydicom.dcmread(str(source))
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:12], "big")
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"2.25.{number}"
    out = io.BytesIO()
    ds.save_as(out)
    assert site.store(out.getvalue()).status_code in (200, 202)
    study, series = ds.StudyInstanceUID, ds.SeriesInstanceUID
    path = f"/studies/{study}/series/{series}/instances/{ds.SOPInstanceUID}"
    return path, dataset(out.getvalue())


def dataset(content: bytes) -> pydicom.Dataset:
    return dcmread(io.BytesIO(content))


def head(site: Site, path: str, accept: str) -> httpx.Response:
    return site.client.head(
        site.root + path, headers={"accept": accept, "accept-encoding": "identity"}
    )


# ---- 10.3, 10.4.1: resources --------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_table_10_4_1_1_instances_of_each_level(site: Site, level: str) -> None:
    made = [ct(1, 1, number) for number in (1, 2)]
    parts = parts_of(site.get(kept(site, *made)[level], DICOM))
    assert [p for _, p in parts] == [
        m.part10() for m in (made[1:] if level == "instance" else made)
    ]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("accept", [JSON, XML])
def test_table_10_4_1_2_metadata_of_each_level(site: Site, level: str, accept: str) -> None:
    made = [ct(2, 1, number) for number in (1, 2)]
    answer = site.get(f"{kept(site, *made)[level]}/metadata", accept)
    found = answer.json() if accept == JSON else parts_of(answer)
    assert len(found) == (1 if level == "instance" else 2)


@pytest.mark.parametrize("level", LEVELS)
def test_table_10_4_1_4_bulkdata_of_each_level(site: Site, level: str) -> None:
    made = [ct(3, 1, n, extra=[("00091001", "UN", bytes([n]) * 3000)]) for n in (1, 2)]
    paths = kept(site, *made)
    parts = parts_of(site.get(f"{paths[level]}/bulkdata", OCTETS))
    wanted = [v for m in made for v in (bytes([m.number]) * 3000, m._pixels())]
    assert [content for _, content in parts] == (wanted[2:] if level == "instance" else wanted)
    for headers, content in parts:
        assert site.client.get(headers["content-location"]).content == content


@pytest.mark.parametrize("level", LEVELS)
def test_table_10_4_1_5_pixeldata_of_each_level(site: Site, level: str) -> None:
    icon = [("7FE00010", "OB", bytes(4096))]
    made = ct(4, extra=[("00091001", "UN", bytes(3000)), ("00880200", "SQ", [icon])])
    (part,) = parts_of(site.get(f"{kept(site, made)[level]}/pixeldata", OCTETS))
    assert part[1] == made._pixels()


def test_table_10_4_1_5_a_resource_without_bulk_data_is_404(site: Site) -> None:
    made = ct(5, values={"7FE00010": None}, pixel_element=b"")
    paths = kept(site, made)
    for tail in ("bulkdata", "pixeldata", "frames/1", "bulkdata/7FE00010"):
        assert site.get(f"{paths['instance']}/{tail}", OCTETS).status_code == 404


def test_table_10_4_1_6_frames_in_the_order_asked_for(site: Site) -> None:
    made = multi_frame(4, study=6, pixels=b"".join(bytes([n]) * 512 for n in range(4)))
    path = kept(site, made)["instance"]
    for order in itertools.permutations((1, 2, 4)):
        parts = parts_of(site.get(f"{path}/frames/{','.join(map(str, order))}", OCTETS))
        assert [content[0] + 1 for _, content in parts] == list(order)
        assert [h["content-location"].rsplit("/", 1)[1] for h, _ in parts] == [*map(str, order)]


def test_10_1_1_the_same_frame_may_be_asked_for_twice(site: Site) -> None:
    path = kept(site, multi_frame(2, study=7))["instance"]
    assert len(parts_of(site.get(f"{path}/frames/2,2,1", OCTETS))) == 3


@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_table_10_4_4_1_octets_of_instance_resources_are_their_bulk_data(
    site: Site, level: str
) -> None:
    made = ct(8)
    (part,) = parts_of(site.get(kept(site, made)[level], OCTETS))
    assert part[1] == made._pixels()
    assert part[0]["content-type"] == "application/octet-stream"


# ---- 10.4.3.3.2: metadata -----------------------------------------------------------------------


def test_10_4_3_3_2_metadata_holds_every_attribute_and_no_group_2(site: Site) -> None:
    made = ct(10, values={"00081140": [[("00081150", "UI", "1.2")]]})
    (found,) = site.get(f"{kept(site, made)['instance']}/metadata", JSON).json()
    assert set(found) == {tag for tag, _, _ in made.elements()}
    assert not any(tag.startswith("0002") for tag in found)
    assert list(found) == sorted(found)


def test_8_3_4_includefield_narrows_metadata(site: Site) -> None:
    inner = [("00081150", "UI", "1.2.3"), ("00081155", "UI", "4.5")]
    extra = [("00090010", "LO", "Acme"), ("00091001", "LO", "private")]
    made = ct(11, values={"00081140": [inner]}, extra=extra)
    path = f"{kept(site, made)['study']}/metadata"
    uids = {"00080016", "00080018", "0020000D", "0020000E"}

    def names(query: str) -> set[str]:
        (found,) = site.get(f"{path}?{query}", JSON).json()
        return set(found) - uids

    assert names("includefield=PatientName,00080060") == {"00100010", "00080060"}
    assert names("includefield=PatientName&includefield=00080060") == {"00100010", "00080060"}
    assert names("includefield=00091001") == {"00090010", "00091001"}
    assert names("includefield=all") > {"00100010", "7FE00010"}
    (found,) = site.get(f"{path}?includefield=ReferencedImageSequence.00081155", JSON).json()
    assert found["00081140"]["Value"] == [{"00081155": {"vr": "UI", "Value": ["4.5"]}}]
    (part,) = parts_of(site.get(f"{path}?includefield=PatientName", XML))
    assert {n.get("tag") for n in read_xml(part[1])} == uids | {"00100010"}
    unknown = site.get(f"{path}?includefield=NoSuchThing", JSON)
    assert "NoSuchThing" in unknown.headers["warning"]
    refused = site.get(f"{path}?includefield=..%2F", JSON)
    assert refused.status_code == 400
    assert "includefield" in refused.json()["message"]


# ---- 8.6.1: single part, multipart, ranges ------------------------------------------------------


def test_8_6_1_1_one_item_can_come_as_a_single_part(site: Site) -> None:
    made = multi_frame(2, study=20)
    path = kept(site, made)["instance"]
    assert site.get(path, "application/dicom").content == made.part10()
    assert site.get(f"{path}/frames/2", "application/octet-stream").content == made._pixels()[512:]
    assert site.get(f"{path}/bulkdata/7FE00010", "application/octet-stream").status_code == 200


@pytest.mark.parametrize("tail", ["frames/1,2", "bulkdata", "pixeldata"])
def test_8_6_1_1_several_items_are_never_a_single_part(site: Site, tail: str) -> None:
    path = kept(site, multi_frame(2, study=21))["instance"]
    assert site.get(f"{path}/{tail}", "application/octet-stream").status_code == 406


def test_8_6_1_2_each_part_tells_its_type_length_and_location(site: Site) -> None:
    made = [ct(22, 1, n) for n in (1, 2)]
    answer = site.get(kept(site, *made)["series"], DICOM)
    for headers, content in parts_of(answer):
        assert headers["content-type"] == "application/dicom"
        assert int(headers["content-length"]) == len(content)
        assert parts_of(site.client.get(headers["content-location"], headers={"accept": DICOM}))
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize(
    ("tail", "accept"),
    [
        ("", "application/dicom"),
        ("", DICOM),
        ("", "application/zip"),
        ("/frames/2", "application/octet-stream"),
        ("/frames/2,1", OCTETS),
        ("/bulkdata/7FE00010", "application/octet-stream"),
        ("/bulkdata", OCTETS),
    ],
)
def test_8_6_1_a_range_is_that_part_of_the_whole_answer(site: Site, tail: str, accept: str) -> None:
    path = kept(site, multi_frame(2, study=23))["instance"] + tail
    whole = site.get(path, accept)
    size = len(whole.content)
    assert whole.headers["accept-ranges"] == "bytes"
    for start, end in ((0, 1), (1, 300), (size // 2, size), (size - 1, size)):
        part = site.get(path, accept, range=f"bytes={start}-{end - 1}")
        assert part.status_code == 206
        assert part.content == whole.content[start:end]
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert part.headers["etag"] == whole.headers["etag"]
    outside = site.get(path, accept, range=f"bytes={size}-")
    assert outside.status_code == 416
    assert outside.headers["content-range"] == f"bytes */{size}"


def test_8_6_1_a_multipart_is_the_same_octets_each_time(site: Site) -> None:
    path = kept(site, *(ct(24, 1, n) for n in (1, 2)))["series"]
    first, second = site.get(path, DICOM), site.get(path, DICOM)
    assert first.content == second.content
    assert first.headers["etag"] == second.headers["etag"]
    assert not first.headers["etag"].startswith("W/")


# ---- 8.7.3: Transfer Syntaxes -------------------------------------------------------------------


@pytest.mark.parametrize("stored", SAMPLES)
def test_8_7_3_no_syntax_named_is_explicit_little_endian(site: Site, stored: str) -> None:
    path, theirs = sample(site, SAMPLES[stored])
    ours = dataset(site.get(path, "application/dicom").content)
    lossy = UID(stored).is_compressed and stored == JPEG
    assert ours.file_meta.TransferSyntaxUID == (stored if lossy else EXPLICIT)
    assert np.array_equal(ours.pixel_array, theirs.pixel_array)


@pytest.mark.parametrize("stored", SAMPLES)
@pytest.mark.parametrize("target", [EXPLICIT, RLE, JPEG_LS, JPEG_2000, HTJ2K])
def test_table_8_7_3_2_any_syntax_becomes_any_other(site: Site, stored: str, target: str) -> None:
    path, theirs = sample(site, SAMPLES[stored])
    answer = site.get(path, f"application/dicom; transfer-syntax={target}")
    assert answer.status_code == 200
    if target != EXPLICIT:
        assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={target}"
    ours = dataset(answer.content)
    assert ours.file_meta.TransferSyntaxUID == target
    assert ours.file_meta.FileMetaInformationGroupLength > 0
    assert np.array_equal(ours.pixel_array, theirs.pixel_array)
    changed = {"PixelData", "PhotometricInterpretation", "PlanarConfiguration"}
    lossy = {"LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"}
    for element in theirs:
        if element.keyword not in changed | lossy and element.tag.element:
            assert ours[element.tag].value == element.value or element.VR in ("OW", "OB", "SQ")


def test_table_8_7_3_2_what_was_lossy_still_says_so(site: Site) -> None:
    path, _ = sample(site, SAMPLES[JPEG])
    ours = dataset(site.get(path, f"application/dicom; transfer-syntax={EXPLICIT}").content)
    assert ours.LossyImageCompression == "01"
    assert ours.LossyImageCompressionMethod == "ISO_10918_1"
    assert float(ours.LossyImageCompressionRatio) > 1
    assert ours.PhotometricInterpretation == "RGB"
    assert ours.PlanarConfiguration == 0


def test_table_8_7_3_2_every_frame_of_a_multi_frame_instance(site: Site) -> None:
    path, theirs = sample(site, "SC_rgb_rle_2frame.dcm")
    for target in (EXPLICIT, JPEG_LS):
        ours = dataset(site.get(path, f"application/dicom; transfer-syntax={target}").content)
        assert ours.NumberOfFrames == theirs.NumberOfFrames
        assert np.array_equal(ours.pixel_array, theirs.pixel_array)


@pytest.mark.parametrize("stored", SAMPLES)
def test_8_7_3_4_a_star_is_the_stored_bytes(site: Site, stored: str) -> None:
    path, theirs = sample(site, SAMPLES[stored])
    content = site.get(path, "application/dicom; transfer-syntax=*").content
    out = io.BytesIO()
    theirs.save_as(out)
    assert content == out.getvalue()


@pytest.mark.parametrize("syntax", [IMPLICIT, BIG_ENDIAN, "1.2.3", MPEG_4, "x", ""])
def test_8_7_3_a_syntax_that_cannot_be_given_is_406_and_tells_which_can(
    site: Site, syntax: str
) -> None:
    path = kept(site, ct(30))["instance"]
    answer = site.get(path, f"application/dicom; transfer-syntax={syntax or '1..2'}")
    assert answer.status_code == 406
    assert EXPLICIT in answer.json()["message"]
    assert JPEG_LS in answer.json()["message"]


@pytest.mark.parametrize(
    ("media", "syntax"),
    [
        ("image/jpeg", JPEG_LOSSLESS),
        ("image/dicom-rle", RLE),
        ("image/jls", JPEG_LS),
        ("image/jp2", JPEG_2000),
        ("image/jphc", HTJ2K),
        ("image/jxl", "1.2.840.10008.1.2.4.110"),
    ],
)
def test_table_8_7_3_5_the_default_syntax_of_each_media_type(
    site: Site, media: str, syntax: str
) -> None:
    path = kept(site, ct(31))["instance"]
    for accept in (f'multipart/related; type="{media}"', media):
        answer = site.get(f"{path}/frames/1", accept)
        kind = answer.headers["content-type"]
        if accept != media:
            kind = parts_of(answer)[0][0]["content-type"]
        assert kind == f"{media}; transfer-syntax={syntax}"


def test_table_8_7_3_5_stored_comes_before_default_when_no_syntax_is_named(site: Site) -> None:
    path, _ = sample(site, SAMPLES[JPEG])
    (part,) = parts_of(site.get(f"{path}/frames/1", 'multipart/related; type="image/jpeg"'))
    assert part[0]["content-type"] == f"image/jpeg; transfer-syntax={JPEG}"


@pytest.mark.parametrize("stored", SAMPLES)
def test_8_7_3_3_uncompressed_frames_are_pydicoms(site: Site, stored: str) -> None:
    path, theirs = sample(site, SAMPLES[stored])
    ((headers, content),) = parts_of(
        site.get(f"{path}/frames/1", f"{OCTETS}; transfer-syntax={EXPLICIT}")
    )
    assert headers["content-type"] == "application/octet-stream"
    array = theirs.pixel_array
    assert content == array.astype(array.dtype.newbyteorder("<")).tobytes()


def test_8_7_3_compressed_bulk_data_by_uri_can_come_uncompressed(site: Site) -> None:
    path, theirs = sample(site, "SC_rgb_rle_2frame.dcm")
    answer = site.get(f"{path}/bulkdata/7FE00010", "application/octet-stream")
    assert answer.content == theirs.pixel_array.tobytes()
    stored = parts_of(site.get(f"{path}/bulkdata/7FE00010", f"{OCTETS}; transfer-syntax=*"))
    assert len(stored) == theirs.NumberOfFrames
    (level,) = parts_of(site.get(f"{path}/pixeldata", OCTETS))
    assert level[1] == answer.content
    assert len(parts_of(site.get(f"{path}/pixeldata", "*/*"))) == theirs.NumberOfFrames


# ---- 8.3.3, 8.7.5 to 8.7.8: negotiation ---------------------------------------------------------


def test_8_3_3_1_the_accept_parameter_counts_before_the_header(site: Site) -> None:
    path = kept(site, ct(40))["instance"]
    asked = "application/dicom%3Btransfer-syntax%3D" + JPEG_LS
    answer = site.get(f"{path}?accept={asked}", f"{DICOM}, application/dicom;q=0.1")
    assert dataset(answer.content).file_meta.TransferSyntaxUID == JPEG_LS
    assert site.get(f"{path}/metadata?accept=application/json").headers["content-type"] == (
        "application/json"
    )


def test_8_7_6_q_values_order_syntaxes(site: Site) -> None:
    path = kept(site, ct(41))["instance"]
    wishes = (
        f"application/dicom; transfer-syntax={RLE}; q=0.4,"
        f"application/dicom; transfer-syntax={JPEG_LS}; q=0.8,"
        f"application/dicom; transfer-syntax={MPEG_4}"
    )
    assert dataset(site.get(path, wishes).content).file_meta.TransferSyntaxUID == JPEG_LS


EVERYTHING = ", ".join(
    f'multipart/related; type="{media}"; transfer-syntax={syntax}'
    for media, syntax in (
        *(("image/jls", JPEG_LS), ("image/jpeg", JPEG), ("image/jpeg", JPEG_LOSSLESS)),
        *(("image/jp2", JPEG_2000), ("image/jphc", HTJ2K), ("image/dicom-rle", RLE)),
        ("application/octet-stream", "*"),
    )
)
"""All a viewer can decode, as dicomweb-client writes it: nothing is preferred."""


@pytest.mark.parametrize("stored", SAMPLES)
def test_8_7_8_of_what_is_equally_welcome_the_stored_goes_out(site: Site, stored: str) -> None:
    path, _ = sample(site, SAMPLES[stored])
    whole = site.get(f"{path}/bulkdata/7FE00010", f"{OCTETS}; transfer-syntax=*")
    as_stored = [(head["content-type"], content) for head, content in parts_of(whole)]
    answer = site.get(f"{path}/frames/1", EVERYTHING)
    ((head, content),) = parts_of(answer)
    assert (head["content-type"], content) == as_stored[0]


@pytest.mark.parametrize("stored", [JPEG_2000, IMPLICIT])
def test_8_7_8_of_equally_welcome_syntaxes_no_codec_comes_first(site: Site, stored: str) -> None:
    path, _ = sample(site, SAMPLES[stored])
    named = ", ".join(
        f"application/dicom; transfer-syntax={s}" for s in (JPEG_LS, JPEG_2000, EXPLICIT)
    )
    found = dataset(site.get(path, named).content).file_meta.TransferSyntaxUID
    assert found == (EXPLICIT if stored == IMPLICIT else stored)
    preferred = (
        f"application/dicom; transfer-syntax={stored}; q=0.9,"
        f"application/dicom; transfer-syntax={JPEG_LS}"
    )
    assert dataset(site.get(path, preferred).content).file_meta.TransferSyntaxUID == JPEG_LS


def test_8_7_8_a_range_of_images_is_answered_with_an_image(site: Site) -> None:
    path = kept(site, ct(43))["instance"]
    for accept in ("image/*", "image/*; transfer-syntax=*"):
        answer = site.get(f"{path}/frames/1", accept)
        assert answer.headers["content-type"].startswith("image/jpeg; transfer-syntax=")
    path, _ = sample(site, SAMPLES[JPEG_2000])
    answer = site.get(f"{path}/frames/1", 'multipart/related; type="image/*"')
    assert parts_of(answer)[0][0]["content-type"].startswith("image/jp2")
    answer = site.get(f"{path}/frames/1", "application/*")
    assert answer.headers["content-type"] == "application/octet-stream"


def test_8_7_5_dicom_and_rendered_types_in_one_request_are_400(site: Site) -> None:
    path = kept(site, ct(42))["instance"]
    assert site.get(path, f"{DICOM}, image/png").status_code == 400


@pytest.mark.parametrize("tail", ["", "/metadata", "/frames/1", "/bulkdata", "/pixeldata"])
def test_8_7_8_1_a_type_that_is_not_given_is_406_and_tells_which_are(site: Site, tail: str) -> None:
    answer = site.get(kept(site, ct(43))["instance"] + tail, "model/obj")
    assert answer.status_code == 406
    assert "application/" in answer.json()["message"]


# ---- Table 10.4.3-1: status codes ---------------------------------------------------------------


def test_table_10_4_3_1_206_when_some_have_no_form_asked_for(site: Site) -> None:
    video = compressed([[b"\0\0\1\xb3" * 40]], transfer_syntax=MPEG_4, study=50, instance=2)
    path = kept(site, ct(50), video)["series"]
    for target in (EXPLICIT, JPEG_LS):
        answer = site.get(path, f"{DICOM}; transfer-syntax={target}")
        assert answer.status_code == 206
        assert "1 parts" in answer.headers["warning"]
        assert len(parts_of(answer)) == 1
    assert len(parts_of(site.get(path, f"{DICOM}; transfer-syntax=*"))) == 2
    bulk = site.get(f"{path}/pixeldata", f"{OCTETS}; transfer-syntax={EXPLICIT}")
    assert (bulk.status_code, len(parts_of(bulk))) == (206, 1)


def test_table_10_4_3_1_206_when_some_turn_out_to_be_damaged(site: Site) -> None:
    damaged = compressed([[jpeg(1)]], transfer_syntax=JPEG_2000, study=51, instance=2)
    path = kept(site, ct(51), damaged)["series"]
    answer = site.get(path, f"{DICOM}; transfer-syntax={EXPLICIT}")
    assert answer.status_code == 206
    assert [part for _, part in parts_of(answer)] == [ct(51).part10()]


def test_table_10_4_3_1_what_is_damaged_behind_a_200_breaks_the_answer(site: Site) -> None:
    """The status is said by then: left out in silence, an instance would be missed by nobody."""
    large = ct_of_bytes(3 << 20, study=58)
    damaged = compressed([[jpeg(1)]], transfer_syntax=JPEG_2000, study=58, instance=2)
    path = kept(site, large, damaged)["series"]
    with pytest.raises(httpx.RemoteProtocolError):
        site.get(path, f"{DICOM}; transfer-syntax={EXPLICIT}")


def test_table_10_4_3_1_406_when_none_has(site: Site) -> None:
    video = compressed([[b"\0\0\1\xb3" * 40]], transfer_syntax=MPEG_4, study=52)
    path = kept(site, video)["study"]
    for tail in ("", "/pixeldata"):
        answer = site.get(path + tail, f"{DICOM}; transfer-syntax={EXPLICIT}, {OCTETS}")
        assert answer.status_code == 406
        assert MPEG_4 in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/studies/1.2.x", "UID"),
        ("/studies/1.2/series/" + "1" * 300, "UID"),
        ("/studies/1/series/2/instances/3/frames/0", "frames"),
        ("/studies/1/series/2/instances/3/frames/1,,2", "frames"),
        ("/studies/1/series/2/instances/3/frames/1%00", "frames"),
        ("/studies/1/metadata?includefield=%FF", "UTF-8"),
        ("/studies/1?dicomdir=maybe&accept=application/zip", "dicomdir"),
    ],
)
def test_table_10_4_3_1_400_names_what_is_wrong(site: Site, path: str, named: str) -> None:
    answer = site.get(path)
    assert answer.status_code == 400
    assert named in answer.json()["message"]


@pytest.mark.parametrize("tail", ["", "/metadata", "/bulkdata", "/pixeldata"])
def test_table_10_4_3_1_404_for_what_is_not_there(site: Site, tail: str) -> None:
    for path in ("/studies/1.2", "/studies/1.2/series/3", "/studies/1.2/series/3/instances/4"):
        assert site.get(path + tail).status_code == 404


@pytest.mark.parametrize("tail", ["", "/metadata", "/rendered", "/thumbnail", "/bulkdata"])
@pytest.mark.parametrize("level", LEVELS)
def test_table_10_4_3_1_410_for_what_was_there_and_was_deleted(
    site: Site, level: str, tail: str
) -> None:
    paths = kept(site, ct(4100 + 10 * LEVELS.index(level) + len(tail)))
    gone = paths[level]
    assert site.client.delete(f"{site.root}{gone}").status_code == 204
    answer = site.get(gone + tail)
    assert (answer.status_code, answer.json()["error"]) == (410, "Gone")


@pytest.mark.parametrize("tail", ["", "/metadata", "/frames/1", "/rendered", "/pixeldata"])
def test_table_8_4_1_without_an_accept_header_everything_counts_as_acceptable(
    site: Site, tail: str
) -> None:
    """The text says 406; `http.strict_accept` does (docs/conformance.md, tests/web/test_app.py)."""
    path = kept(site, ct(4200))["instance"] + tail
    bare = httpx.Request("GET", f"{site.root}{path}", headers={"host": "localhost"})
    assert "accept" not in bare.headers
    silent = site.client.send(bare)
    assert silent.status_code == 200
    assert (
        silent.headers["content-type"].partition(";")[0]
        == (site.get(path, "*/*").headers["content-type"].partition(";")[0])
    )


def test_8_5_unknown_parameters_are_ignored(site: Site) -> None:
    path = kept(site, ct(53))["instance"]
    assert site.get(f"{path}?nonsense=1&x=%27;DROP", "application/dicom").status_code == 200


# ---- 8.5, 8.6: HEAD, conditions, header fields --------------------------------------------------

KINDS = [
    ("", DICOM),
    ("", "application/dicom"),
    ("", "application/zip"),
    ("", f"application/dicom; transfer-syntax={JPEG_LS}"),
    ("/metadata", JSON),
    ("/metadata", XML),
    ("/frames/1", "application/octet-stream"),
    ("/frames/1", "image/jls"),
    ("/frames/1,1", OCTETS),
    ("/bulkdata/7FE00010", "application/octet-stream"),
    ("/bulkdata", OCTETS),
    ("/pixeldata", OCTETS),
]


@pytest.mark.parametrize(("tail", "accept"), KINDS)
def test_8_4_head_is_get_without_the_payload(site: Site, tail: str, accept: str) -> None:
    path = kept(site, ct(60))["instance"] + tail
    get, told = site.get(path, accept, accept_encoding="identity"), head(site, path, accept)
    assert told.status_code == get.status_code == 200
    assert told.content == b""
    assert told.headers["etag"] == get.headers["etag"]
    assert told.headers["content-type"].split(";")[0] == get.headers["content-type"].split(";")[0]
    length = told.headers.get("content-length")
    assert length in (None, get.headers.get("content-length"))


SETS = [
    *(("", DICOM), ("", "application/zip"), ("/bulkdata", OCTETS), ("/pixeldata", OCTETS)),
    *(("/rendered", "*/*"), ("/thumbnail", "*/*")),
]


@pytest.mark.parametrize(("tail", "accept"), KINDS)
def test_8_5_a_copy_that_is_good_is_304(site: Site, tail: str, accept: str) -> None:
    path = kept(site, ct(61))["instance"] + tail
    a_while_ago(site)
    first = site.get(path, accept)
    assert first.headers["vary"].startswith("Accept")
    again = site.get(path, accept, if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    since = site.get(path, accept, if_modified_since=first.headers["last-modified"])
    assert since.status_code == 304


@pytest.mark.parametrize("level", ["study", "series"])
@pytest.mark.parametrize(("tail", "accept"), SETS)
def test_8_5_a_copy_with_something_deleted_in_it_is_not_good(
    site: Site, level: str, tail: str, accept: str
) -> None:
    number = 6100 + 10 * SETS.index((tail, accept)) + LEVELS.index(level)
    made = [ct(number, 1, instance) for instance in (1, 2)]
    path = kept(site, *made)[level] + tail
    a_while_ago(site)
    first = site.get(path, accept)
    since = first.headers["last-modified"]
    assert site.get(path, accept, if_modified_since=since).status_code == 304
    deleted = f"/studies/{made[0].study}/series/{made[0].series}/instances/{made[1].instance}"
    assert site.client.delete(f"{site.root}{deleted}").status_code == 204
    assert site.get(path, accept, if_modified_since=since).status_code == 200
    assert site.get(path, accept, if_none_match=first.headers["etag"]).status_code == 200


def test_8_6_1_content_location_says_where_a_single_part_is(site: Site) -> None:
    path = kept(site, ct(62))["instance"]
    for tail in ("", "/frames/1", "/bulkdata/7FE00010", "/metadata"):
        accept = {"": "application/dicom", "/metadata": JSON}.get(tail, "application/octet-stream")
        assert site.get(path + tail, accept).headers["content-location"] == site.root + path + tail


# ---- application/zip ----------------------------------------------------------------------------


def opened(answer: httpx.Response) -> zipfile.ZipFile:
    assert answer.headers["content-type"] == "application/zip"
    assert int(answer.headers["content-length"]) == len(answer.content)
    found = zipfile.ZipFile(io.BytesIO(answer.content))
    assert found.testzip() is None
    return found


@pytest.mark.parametrize("level", LEVELS)
def test_zip_holds_the_instances_as_stored(site: Site, level: str) -> None:
    made = [ct(70, 1, n) for n in (1, 2)]
    found = opened(site.get(kept(site, *made)[level], "application/zip"))
    wanted = made[1:] if level == "instance" else made
    assert [found.read(name) for name in found.namelist()] == [m.part10() for m in wanted]
    assert all(entry.compress_type == zipfile.ZIP_STORED for entry in found.infolist())


@pytest.mark.parametrize("how", ["?dicomdir=true", ""])
def test_zip_brings_a_dicomdir_when_asked(site: Site, how: str, tmp_path: Path) -> None:
    made = [ct(71, series, n) for series in (1, 2) for n in (1, 2)]
    accept = "application/zip" if how else "application/zip; dicomdir=true"
    found = opened(site.get(kept(site, *made)["study"] + how, accept))
    found.extractall(tmp_path)
    listed = FileSet(tmp_path / "DICOMDIR")
    assert sorted(one.SOPInstanceUID for one in listed) == sorted(m.instance for m in made)
    assert {str(one.load().PatientName) for one in listed} == {"Doe^Jane"}
    listed._stage["t"].cleanup()  # pydicom leaves that to the collector, and warns


def test_zip_a_download_that_broke_off_goes_on(site: Site) -> None:
    path = kept(site, *(ct(72, 1, n) for n in range(1, 6)))["series"]
    whole = site.get(path, "application/zip").content
    etag = site.get(path, "application/zip").headers["etag"]
    half = len(whole) // 2
    rest = site.get(path, "application/zip", range=f"bytes={half}-", if_range=etag)
    assert (rest.status_code, whole[:half] + rest.content) == (206, whole)


def test_zip_of_a_large_instance_is_streamed(site: Site) -> None:
    made = ct_of_bytes(9 << 20, study=73)
    found = opened(site.get(kept(site, made)["study"], "application/zip"))
    assert found.read(found.namelist()[0]) == made.part10()
    assert (
        site.get(kept(site, made)["study"], f"application/zip; transfer-syntax={RLE}").status_code
        == 406
    )


# ---- clients, and every sample file -------------------------------------------------------------


def test_dicomweb_client_retrieves_everything(site: Site) -> None:
    made = [multi_frame(2, study=80, instance=n) for n in (1, 2)]
    kept(site, *made)
    client = DICOMwebClient(site.root)
    study, series, instance = made[0].study, made[0].series, made[0].instance
    every = [client.retrieve_study(study), client.retrieve_series(study, series)]
    assert [{d.SOPInstanceUID for d in ds} for ds in every] == [{m.instance for m in made}] * 2
    assert client.retrieve_instance(study, series, instance).PixelData == made[0]._pixels()
    assert len(client.retrieve_study_metadata(study)) == 2
    assert len(client.retrieve_series_metadata(study, series)) == 2
    described = client.retrieve_instance_metadata(study, series, instance)
    assert client.retrieve_bulkdata(described["7FE00010"]["BulkDataURI"]) == [made[0]._pixels()]
    frames = client.retrieve_instance_frames(study, series, instance, [2, 1])
    assert frames == [made[0]._pixels()[512:], made[0]._pixels()[:512]]
    wanted = (("application/dicom", JPEG_LS),)
    packed = client.retrieve_instance(study, series, instance, media_types=wanted)
    assert packed.file_meta.TransferSyntaxUID == JPEG_LS
    assert np.array_equal(packed.pixel_array.tobytes(), made[0]._pixels())


@pytest.fixture(scope="module")
def library(
    postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, dict[Path, str]]]:
    """An archive of every sample file that can be stored, and their paths."""
    with serving(postgres, tmp_path_factory.mktemp("library")) as site:
        yield site, filled(site)


def filled(site: Site) -> dict[Path, str]:
    """Store the sample files, of each SOP Instance UID the first one."""
    found: dict[Path, str] = {}
    seen = set()
    for file in files():
        reading = None if file.name in REFUSED else read(file.read_bytes())
        uid = None if reading is None else reading.scan.sop_instance
        if reading is None or uid in seen or "bad" in file.parts:
            continue
        answer = site.store(file.read_bytes())
        if answer.status_code not in (200, 202) or b"FailedSOP" in answer.content:
            continue
        (stored,) = answer.json()["00081199"]["Value"]
        seen.add(uid)
        found[file] = stored["00081190"]["Value"][0].removeprefix(site.root)
    assert len(found) > 60
    return found


Library = tuple[Site, dict[Path, str]]


def test_every_sample_comes_back_bit_by_bit(library: Library) -> None:
    site, corpus = library
    for file, path in corpus.items():
        answer = site.get(path, "application/dicom; transfer-syntax=*")
        assert read(answer.content).dataset == read(file.read_bytes()).dataset, file.name


def test_every_samples_metadata_is_pydicoms(library: Library) -> None:
    site, corpus = library
    for file, path in corpus.items():
        if file.name in PYDICOM_CANNOT:
            continue
        answer = site.get(f"{path}/metadata", JSON)
        text = answer.content.replace(f"{site.root}{path}/".encode(), b"")
        (ours,) = orjson.loads(text)
        data = file.read_bytes()
        assert unlike(theirs_of(data), ours, read(data)) == [], file.name


def test_every_samples_frames_are_pydicoms(library: Library) -> None:
    site, corpus = library
    compared = 0
    for file, path in corpus.items():
        wanted = pixels_of(file)
        if wanted is None:
            continue
        number = len(wanted)
        answer = site.get(f"{path}/frames/{number}", f"{OCTETS}; transfer-syntax={EXPLICIT}")
        assert answer.status_code == 200, (file.name, answer.text)
        assert parts_of(answer)[0][1] == wanted[number - 1], file.name
        compared += 1
    assert compared > 30


def pixels_of(file: Path) -> list[bytes] | None:
    """Each frame as pydicom reads it, little endian; None for what is no plain image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _pixels_of(file, pydicom.dcmread(file, force=True))


def _pixels_of(file: Path, ds: Any) -> list[bytes] | None:
    syntax = UID(getattr(ds.file_meta, "TransferSyntaxUID", None) or IMPLICIT)
    if "PixelData" not in ds or file.name in PYDICOM_CANNOT or ds.get("BitsAllocated") == 1:
        return None
    if not syntax.is_transfer_syntax:
        return None
    count = int(ds.get("NumberOfFrames", 1) or 1)
    if not syntax.is_compressed:
        size = ds.Rows * ds.Columns * ds.SamplesPerPixel * ds.BitsAllocated // 8
        if not syntax.is_little_endian or len(ds.PixelData) < size * count:
            return None
        return [ds.PixelData[n * size : (n + 1) * size] for n in range(count)]
    if syntax not in (RLE, JPEG_LS, JPEG_2000) or ds.SamplesPerPixel != 1:
        return None
    whole = ds.pixel_array.reshape(count, -1)
    return [frame.tobytes() for frame in whole]

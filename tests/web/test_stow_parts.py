"""STOW-RS of metadata and bulk data apart, against a real archive (PS3.18 10.5.2)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from tests.conftest import TestPostgres
from tests.factories import multi_frame, uid
from tests.web import parts
from tests.web.conftest import Site, parts_of, serving
from tests.web.parts import (
    JSON,
    XML,
    count,
    described,
    json_part,
    metadata,
    one,
    pixels,
    post,
    reasons,
    stored,
    values,
    xml_part,
)

OCTETS = "application/octet-stream"


def jpeg(rows: int = 8, columns: int = 16, mode: str = "L", **options: Any) -> bytes:
    """A real JPEG image."""
    out = io.BytesIO()
    Image.new(mode, (columns, rows), 100 if mode == "L" else (10, 200, 30)).save(
        out, "JPEG", **options
    )
    return out.getvalue()


@pytest.mark.parametrize("root", [JSON, XML])
def test_an_object_without_bulk_data_is_stored(site: Site, root: str) -> None:
    study = 1000 + (root == XML)
    elements = metadata(study, x00081030=one("LO", "Knie: Röntgen"))
    answer = post(site, json_part(elements) if root == JSON else xml_part(elements), root=root)
    assert answer.status_code == 200, answer.text
    found = stored(site, study)
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert found.file_meta.MediaStorageSOPInstanceUID == uid(study, 1, 1)
    assert found.StudyDescription == "Knie: Röntgen"
    assert found.PatientName == "Doe^Jane"


@pytest.mark.parametrize("root", [JSON, XML])
@pytest.mark.parametrize("location", ["pixels", "http://other.example/a/b?c=1", "urn:uuid:1-2"])
def test_uncompressed_pixel_data_is_found_by_its_location(
    site: Site, root: str, location: str
) -> None:
    study = 1010 + 5 * (root == XML) + len(location) % 5
    raw = bytes(range(16))
    elements = metadata(study, **described(), **pixels(location))
    part = json_part(elements) if root == JSON else xml_part(elements)
    answer = post(site, part, (OCTETS, location, raw), root=root)
    assert answer.status_code == 200, answer.text
    assert stored(site, study).PixelData == raw


def test_a_relative_and_an_absolute_location_are_the_same(site: Site) -> None:
    elements = metadata(1020, **described(), **pixels("a/../pixels"))
    part = (OCTETS, f"{site.root}/pixels", bytes(16))
    assert post(site, json_part(elements), part).status_code == 200
    elements = metadata(1021, **described(), **pixels(f"{site.root}/pixels"))
    assert post(site, (OCTETS, "pixels", bytes(16)), json_part(elements)).status_code == 200


def test_several_instances_stand_in_one_json_part_and_in_xml_parts(site: Site) -> None:
    for root, study in ((JSON, 1030), (XML, 1031)):
        found = [metadata(study, n, **described(), **pixels(f"p{n}")) for n in range(1, 13)]
        heads = [json_part(*found)] if root == JSON else [xml_part(item) for item in found]
        bulk = [(OCTETS, f"p{n}", bytes([n]) * 16) for n in range(1, 13)]
        answer = post(site, *heads, *bulk, root=root)
        assert answer.status_code == 200, answer.text
        assert count(site, study) == 12
        assert stored(site, study, 7).PixelData == bytes([7]) * 16


def test_instances_may_share_bulk_data_and_items_have_it_too(site: Site) -> None:
    icon = metadata(0, **described(), **pixels("same"))
    first = metadata(1040, 1, **described(), **pixels("same"), x00880200=one("SQ", icon))
    second = metadata(1040, 2, **described(), **pixels("same"))
    assert post(site, json_part(first, second), (OCTETS, "same", bytes(16))).status_code == 200
    assert stored(site, 1040).IconImageSequence[0].PixelData == bytes(16)


@pytest.mark.parametrize("root", [JSON, XML])
def test_a_jpeg_describes_itself(site: Site, root: str) -> None:
    study, image = 1050 + (root == XML), jpeg(8, 16, "RGB")
    elements = metadata(study, **pixels())
    part = json_part(elements) if root == JSON else xml_part(elements)
    answer = post(site, part, ("image/jpeg", "pixels", image), root=root)
    assert answer.status_code == 200, answer.text
    found = stored(site, study)
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.50"
    assert (found.Rows, found.Columns, found.SamplesPerPixel) == (8, 16, 3)
    assert (found.BitsAllocated, found.BitsStored, found.HighBit) == (8, 8, 7)
    assert found.PhotometricInterpretation == "YBR_FULL_422"
    assert found.LossyImageCompression == "01"
    assert found.LossyImageCompressionMethod == "ISO_10918_1"
    assert found.pixel_array.shape == (8, 16, 3)
    frame = site.get(
        f"/studies/{uid(study)}/series/{uid(study, 1)}/instances/{uid(study, 1, 1)}/frames/1",
        "image/jpeg; transfer-syntax=*",
    )
    assert frame.content.rstrip(b"\0") == image.rstrip(b"\0")


@pytest.mark.parametrize("locations", [["p/frames/1", "p/frames/2", "p/frames/3"], ["p"] * 3])
def test_frames_are_parts_of_their_own(site: Site, locations: list[str]) -> None:
    study = 1060 + len(set(locations))
    frames = [jpeg(8, 8 + 8 * 0, quality=q) for q in (30, 60, 90)]
    elements = metadata(study, x00280008=one("IS", 3), **pixels("p"))
    bulk = [("image/jpeg", at, frame) for at, frame in zip(locations, frames, strict=True)]
    answer = post(site, json_part(elements), *bulk)
    assert answer.status_code == 200, answer.text
    found = stored(site, study)
    assert found.NumberOfFrames == 3
    got = list(pydicom.encaps.generate_frames(found.PixelData, number_of_frames=3))
    assert [frame.rstrip(b"\0") for frame in got] == frames


def test_what_wado_rs_gives_can_be_sent_back(site: Site) -> None:
    """Metadata and bulk data as this archive serves them, for another study."""
    first = multi_frame(study=1070, rows=32, columns=40)
    assert site.store(first.part10()).status_code == 200
    path = f"/studies/{first.study}/series/{first.series}/instances/{first.instance}"
    (elements,) = site.get(f"{path}/metadata", JSON).json()
    uri = elements["7FE00010"]["BulkDataURI"]
    raw = site.client.get(uri, headers={"accept": OCTETS}).content
    elements["0020000D"]["Value"] = [uid(1071)]
    elements["0020000E"]["Value"] = [uid(1071, 1)]
    elements["00080018"]["Value"] = [uid(1071, 1, 1)]
    answer = post(site, json_part(elements), (OCTETS, uri, raw))
    assert answer.status_code == 200, answer.text
    assert stored(site, 1071).PixelData == raw


def test_compressed_frames_of_wado_rs_can_be_sent_back(site: Site) -> None:
    elements = metadata(1075, x00280008=one("IS", 2), **pixels("p"))
    frames = [("image/jpeg", f"p/frames/{n}", jpeg(quality=40 * n)) for n in (1, 2)]
    assert post(site, json_part(elements), *frames).status_code == 200
    path = f"/studies/{uid(1075)}/series/{uid(1075, 1)}/instances/{uid(1075, 1, 1)}"
    (told,) = site.get(f"{path}/metadata", JSON).json()
    uri = told["7FE00010"]["BulkDataURI"]
    answer = site.client.get(
        uri, headers={"accept": 'multipart/related; type="image/jpeg"; transfer-syntax=*'}
    )
    back = [(h["content-type"], h["content-location"], data) for h, data in parts_of(answer)]
    told["00080018"]["Value"] = [uid(1075, 1, 2)]
    again = post(site, json_part(told), *back)
    assert again.status_code == 200, again.text
    assert stored(site, 1075, 2).PixelData == stored(site, 1075, 1).PixelData


@pytest.mark.parametrize(
    ("study", "media", "said"),
    [
        (1080, "application/pdf", None),
        (1081, "application/pdf", "application/pdf"),
        (1082, "model/stl", None),
        (1083, OCTETS, "application/pdf"),
        (1084, "text/xml", None),
    ],
)
def test_a_document_is_encapsulated(site: Site, study: int, media: str, said: str | None) -> None:
    content = b"%PDF-1.7 odd number of bytes!"
    more = {"x00420012": one("LO", said)} if said else {}
    elements = metadata(study, **more, x00420011={"vr": "OB", "BulkDataURI": "doc"})
    elements["00080016"] = one("UI", "1.2.840.10008.5.1.4.1.1.104.1")
    answer = post(site, json_part(elements), (media, "doc", content))
    assert answer.status_code == 200, answer.text
    found = stored(site, study)
    assert found.MIMETypeOfEncapsulatedDocument == (said or media)
    assert found.EncapsulatedDocumentLength == len(content)
    assert found.EncapsulatedDocument == content + b"\0"


def test_large_bulk_data_leaves_nothing_readable_on_disk(site: Site) -> None:
    marker = b"a plain text nobody may find on a disk "
    raw = (marker * (3 << 20))[: 4 << 20]
    elements = metadata(1100, **described(2048, 2048), **pixels())
    elements["00100020"] = one("LO", "MARKER-OF-A-PATIENT")
    assert post(site, json_part(elements), (OCTETS, "pixels", raw)).status_code == 200
    assert stored(site, 1100).PixelData == raw
    for path in Path(site.archive.settings.data).rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert marker not in data
            assert b"MARKER-OF-A-PATIENT" not in data


# ---- what is wrong ------------------------------------------------------------------------------

SOUND = metadata(1190, **described(), **pixels())


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"00280010": None}, 409),
        ({"00280004": None}, 409),
        ({"00280010": one("US", 5)}, 409),
        ({"7FE00010": {"vr": "OB", "BulkDataURI": "another"}}, 400),
        ({"0020000D": None}, 400),
        ({"00080018": None}, 400),
        ({"00080018": one("UI", "1." + "2" * 298)}, 400),
        ({"00080018": one("UI", "../../etc/passwd")}, 400),
        ({"00200013": one("IS", "x" * 5, {})}, 400),
        ({"00200013": "text"}, 400),
        ({"xyz": one("LO")}, 400),
        ({"00091001": {"vr": "OB", "InlineBinary": "?"}}, 400),
        ({"00091001": {"vr": "OB", "BulkDataURI": "http://169.254.169.254/"}}, 400),
    ],
)
def test_an_instance_that_is_wrong_is_refused_with_a_reason(
    site: Site, change: dict[str, Any], status: int
) -> None:
    elements = {**SOUND, **change}
    elements = {tag: element for tag, element in elements.items() if element is not None}
    answer = post(site, json_part(elements), (OCTETS, "pixels", bytes(16)))
    assert answer.status_code == status, answer.text
    assert answer.headers["warning"].startswith("299 ")
    assert reasons(answer)[0] in (0xC000, 0xA900)
    assert count(site, 1190) == 0
    beside = metadata(1191)
    both = post(site, json_part(elements, beside), (OCTETS, "pixels", bytes(16)))
    assert both.status_code == 202
    assert len(values(both.json(), "00081199")) == 1


@pytest.mark.parametrize(
    ("media", "data", "status"),
    [
        ("image/jpeg", b"\xff\xd8\xff\xe0", 400),
        ("image/jpeg", b"", 400),
        ("image/jpeg", b"GIF89a" + bytes(100), 400),
        ("image/jls", jpeg(), 400),
        ("image/jp2", jpeg(), 400),
        ("image/jphc", b"\xff\x4f\xff\x51", 400),
        ("image/dicom-rle", bytes(64), 409),
        ("video/mpeg", bytes(64), 409),
        ("image/heic", b"x", 415),
        ("video/x-msvideo", b"x", 415),
        ("video/webm", b"x", 415),
        ("video/mp4", b"RIFF\0\0\0\0AVI LIST", 415),
        ("video/mp4", b"\x1a\x45\xdf\xa3" + bytes(60), 415),
        ("video/mp4", b"\0\0\0\x14ftypqt  " + bytes(60), 415),
        ("application/dicom", b"x", 415),
        ("multipart/mixed; boundary=c", b"x", 415),
        ("nonsense", b"x", 400),
    ],
)
def test_pixel_data_that_is_not_what_it_says_is_refused(
    site: Site, media: str, data: bytes, status: int
) -> None:
    elements = metadata(1195, **pixels())
    answer = post(site, json_part(elements), (media, "pixels", data))
    assert answer.status_code == status, answer.text
    assert "." in answer.text
    assert count(site, 1195) == 0


@pytest.mark.parametrize("tag", ["00280010", "00280011", "00280002"])
def test_a_stream_that_contradicts_the_metadata_is_409(site: Site, tag: str) -> None:
    elements = metadata(1196, **pixels())
    elements[tag] = one("US", 7)
    answer = post(site, json_part(elements), ("image/jpeg", "pixels", jpeg()))
    assert answer.status_code == 409
    assert reasons(answer) == [0xA900]


@pytest.mark.parametrize(
    "bodies",
    [
        [json_part()],
        [(OCTETS, "pixels", b"x")],
        [json_part(SOUND), (OCTETS, None, b"x")],
        [json_part(SOUND), (OCTETS, "pixels", b"x"), (OCTETS, "pixels", b"y")],
        [(JSON, None, b"[{")],
        [(JSON, None, b"[1]")],
        [(JSON, None, b"[{}] tail")],
        [(JSON, None, b"\xff\xfe[{}]")],
        [(JSON, None, b'[{"00100020": {"vr": "LO", "Value": ["\xff"]}}]')],
        [(JSON, None, b"[{" + b'"a":[' * 2000 + b"]" * 2000 + b"}]")],
        [],
    ],
)
def test_a_body_that_is_wrong_is_400(site: Site, bodies: list[parts.PartLike]) -> None:
    answer = post(site, *bodies)
    assert answer.status_code == 400, answer.text
    assert count(site, 1190) == 0


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<a/>",
        b"<NativeDicomModel>",
        b'<!DOCTYPE a [<!ENTITY x "y">]><NativeDicomModel>&x;</NativeDicomModel>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><NativeDicomModel/>',
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x"><NativeDicomModel/>',
        b"<NativeDicomModel><Other/></NativeDicomModel>",
        b"<NativeDicomModel><DicomAttribute tag='1'/></NativeDicomModel>",
        b"<?xml version='1.0' encoding='no-such'?><NativeDicomModel/>",
    ],
)
def test_xml_that_is_wrong_or_dangerous_is_400(site: Site, document: bytes) -> None:
    answer = post(site, (XML, None, document), root=XML)
    assert answer.status_code == 400, answer.text


def test_a_part_nobody_asked_for_is_told(site: Site) -> None:
    answer = post(site, json_part(metadata(1200)), (OCTETS, "nobody", b"x"))
    assert answer.status_code == 202
    assert reasons(answer) == [0xC000]
    assert count(site, 1200) == 1


@pytest.mark.parametrize("length", ["15", "17", "-1", "many", "9" * 30])
def test_a_part_that_lies_about_its_length_is_400(site: Site, length: str) -> None:
    body = parts.written([json_part(SOUND), (OCTETS, "pixels", bytes(16))]).replace(
        b"Content-Location", f"Content-Length: {length}\r\nContent-Location".encode()
    )
    answer = site.client.post(
        f"{site.root}/studies",
        content=body,
        headers={"content-type": f'multipart/related; type="{JSON}"; boundary=b'},
    )
    assert answer.status_code == 400
    assert count(site, 1190) == 0


@pytest.mark.parametrize("cut", [1, 4, 5, 20, 60, 200])
def test_a_body_that_breaks_off_leaves_nothing(site: Site, cut: int) -> None:
    body = parts.written([json_part(SOUND), (OCTETS, "pixels", bytes(16))])
    answer = site.client.post(
        f"{site.root}/studies",
        content=body[:-cut] if cut > 2 else body[:-5],
        headers={"content-type": f'multipart/related; type="{JSON}"; boundary=b'},
    )
    assert answer.status_code == 400
    assert count(site, 1190) == 0


def test_another_boundary_is_400(site: Site) -> None:
    answer = site.client.post(
        f"{site.root}/studies",
        content=parts.written([json_part(SOUND)], "another"),
        headers={"content-type": f'multipart/related; type="{JSON}"; boundary=b'},
    )
    assert answer.status_code == 400


def test_ten_thousand_parts_are_taken_and_one_more_is_413(site: Site) -> None:
    bulk = [(OCTETS, f"p{n}", b"x") for n in range(9_999)]
    answer = post(site, json_part(metadata(1210)), *bulk)
    assert answer.status_code == 202
    assert len(reasons(answer)) == 9_999
    assert count(site, 1210) == 1
    over = post(site, json_part(metadata(1211)), *bulk, (OCTETS, "last", b"x"))
    assert over.status_code == 413
    assert count(site, 1211) == 0


def test_metadata_past_its_limit_is_413(site: Site) -> None:
    elements = metadata(1220, x00081030=one("LO", "a" * (17 << 20)))
    assert post(site, json_part(elements)).status_code == 413
    assert post(site, xml_part(elements), root=XML).status_code == 413
    many = {**metadata(1221), "00720070": one("UL", *([0] * 2_000_000))}
    answer = post(site, json_part(many))
    assert answer.status_code == 413
    assert reasons(answer) == [0xA700]


def test_metadata_of_the_limit_is_taken_and_of_one_byte_more_is_413(
    postgres: TestPostgres, tmp_path: Path
) -> None:
    said, longer = (json_part(metadata(1235, x00081030=one("LO", "a" * n))) for n in (8, 9))
    limits = {"posted_metadata_bytes": len(said[2]) - len(b"[]")}
    with serving(postgres, tmp_path, limits=limits) as own:
        assert post(own, said).status_code == 200
        assert post(own, longer).status_code == 413


def test_failures_hold_no_patient_data(site: Site) -> None:
    elements = metadata(1230, **pixels("http://h/CANARY"))
    elements["00100010"] = one("PN", {"Alphabetic": "CANARY^Name"})
    elements["00100020"] = one("LO", {"CANARY": "id"})
    for answer in (
        post(site, json_part(elements)),
        post(site, json_part(elements), (OCTETS, "CANARY", b"x")),
        post(site, xml_part(metadata(1230, **pixels("CANARY"))), root=XML),
    ):
        assert answer.status_code == 400
        assert "CANARY" not in answer.text + str(answer.headers)


def test_the_pixels_are_those_that_were_sent(site: Site) -> None:
    array = np.arange(64 * 48, dtype="<u2").reshape(64, 48)
    more = described(64, 48, x00280100=one("US", 16), x00280101=one("US", 16))
    more["x00280102"] = one("US", 15)
    elements = metadata(1240, **more, **pixels())  # OB, though it must be OW
    assert post(site, json_part(elements), (OCTETS, "pixels", array.tobytes())).status_code == 200
    found = stored(site, 1240)
    assert found["PixelData"].VR == "OW"
    assert np.array_equal(found.pixel_array, array)


def animated() -> bytes:
    """Three frames of a GIF, of which two change a corner only."""
    out = io.BytesIO()
    pages = [Image.new("P", (20, 10)) for _ in range(3)]
    for number, page in enumerate(pages):
        page.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
        page.paste(number + 1, (0, 0, 5, 5))
    pages[0].save(out, "GIF", save_all=True, append_images=pages[1:])
    return out.getvalue()


def png(array: Any, mode: str | None = None) -> bytes:
    """Write a PNG."""
    out = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(out, "PNG")
    return out.getvalue()


GREY = np.arange(12 * 20, dtype=np.uint8).reshape(12, 20)
DEEP = GREY.astype(np.uint16) * 257
COLOR = np.dstack([GREY, GREY[::-1], GREY[:, ::-1]])


@pytest.mark.parametrize(
    ("study", "data", "wanted"),
    [
        (1300, png(GREY), GREY),
        (1301, png(DEEP), DEEP),
        (1302, png(COLOR), COLOR),
        (1303, png(np.dstack([COLOR, GREY])), COLOR),
        (1304, png(np.dstack([GREY, GREY]), "LA"), GREY),
        (1305, png(GREY // 32, "P"), np.dstack([GREY // 32] * 3)),
    ],
)
def test_a_png_becomes_uncompressed_without_loss(
    site: Site, study: int, data: bytes, wanted: Any
) -> None:
    answer = post(site, json_part(metadata(study, **pixels())), ("image/png", "pixels", data))
    assert answer.status_code == 200, answer.text
    found = stored(site, study)
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert np.array_equal(found.pixel_array, wanted)


def test_an_animated_gif_becomes_a_multi_frame_of_whole_frames(site: Site) -> None:
    answer = post(site, json_part(metadata(1310, **pixels())), ("image/gif", "pixels", animated()))
    assert answer.status_code == 200, answer.text
    found = stored(site, 1310)
    assert (found.NumberOfFrames, found.PhotometricInterpretation) == (3, "RGB")
    frames = found.pixel_array
    assert frames.shape == (3, 10, 20, 3)
    for frame, color in zip(frames, ([255, 0, 0], [0, 255, 0], [0, 0, 255]), strict=True):
        assert frame[0, 0].tolist() == color
        assert frame[9, 19].tolist() == [0, 0, 0]


def test_several_pngs_are_frames(site: Site) -> None:
    elements = metadata(1311, x00280008=one("IS", 2), **pixels())
    bulk = [("image/png", "pixels", png(frame)) for frame in (GREY, GREY[::-1])]
    assert post(site, json_part(elements), *bulk).status_code == 200
    assert np.array_equal(stored(site, 1311).pixel_array, np.stack([GREY, GREY[::-1]]))


@pytest.mark.parametrize(
    ("media", "data", "status"),
    [
        ("image/png", b"", 400),
        ("image/png", b"GIF89a", 400),
        ("image/png", png(GREY)[:60], 400),
        ("image/png", png(GREY)[:-30] + bytes(30), 400),
        ("image/png", png(GREY)[:16] + b"\0\0\xff\xff\0\0\xff\xff" + png(GREY)[24:], 413),
        ("image/png", png(GREY)[:16] + b"\0\1\xff\xff\0\0\xff\xff" + png(GREY)[24:], 400),
        ("image/gif", png(GREY), 400),
        ("image/gif", animated()[:20], 400),
    ],
)
def test_a_picture_that_is_none_is_refused(
    site: Site, media: str, data: bytes, status: int
) -> None:
    answer = post(site, json_part(metadata(1312, **pixels())), (media, "pixels", data))
    assert answer.status_code == status, answer.text
    assert count(site, 1312) == 0

"""WADO-RS against a real archive: instances, metadata, frames, bulk data (PS3.18 10.4)."""

from __future__ import annotations

import datetime as dt
import gzip
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest

from tests import factories
from tests.conftest import TestPostgres
from tests.factories import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    JPEG_2000,
    Instance,
    compressed,
    ct,
    ct_of_bytes,
    jpeg,
    multi_frame,
)
from tests.web.conftest import Site, a_while_ago, parts_of, read_xml, serving
from tests.web.people import bearer, token_of
from vna.web.dicomweb import caching

DICOM = 'multipart/related; type="application/dicom"'
OCTETS = 'multipart/related; type="application/octet-stream"'
XML = 'multipart/related; type="application/dicom+xml"'
NAMESPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


def path_of(instance: Instance) -> str:
    """Path of an instance below the service."""
    return f"/studies/{instance.study}/series/{instance.series}/instances/{instance.instance}"


def kept(site: Site, instance: Instance) -> str:
    """Store an instance and give its path."""
    answer = site.store(instance.part10())
    assert answer.status_code == 200, answer.text
    return path_of(instance)


def bulk_uris(elements: dict[str, Any]) -> list[str]:
    """Every BulkDataURI, however deep."""
    found = []
    for element in elements.values():
        if "BulkDataURI" in element:
            found.append(element["BulkDataURI"])
        for value in element.get("Value", []) if element["vr"] == "SQ" else []:
            found += bulk_uris(value)
    return found


# ---- instances -------------------------------------------------------------------------------


def versions(site: Site, instance: Instance) -> list[str]:
    """Name the versions of an instance, the first one first."""
    with site.archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT encode(blob_id, 'hex') FROM instance WHERE sop_instance_uid = %s ORDER BY 1",
            [instance.instance],
        ).fetchall()
    return [row[0] for row in rows]


def test_an_older_and_a_newer_version_are_given_by_name(site: Site) -> None:
    first, second = (ct(198, values={"StudyDescription": text}) for text in ("first", "second"))
    path = kept(site, first)
    assert site.store(second.part10()).status_code == 202
    for name, made in zip(versions(site, first), (first, second), strict=True):
        for accept in ("application/dicom", DICOM, "*/*"):
            answer = site.get(f"{path}?version={name.upper()}", accept)
            assert answer.status_code == 200
            assert made.dataset() in answer.content
    assert first.dataset() in site.get(path, "application/dicom").content
    named = f"{path}?version={versions(site, first)[1]}"
    assert site.get(named, "application/zip").status_code == 406
    assert site.get(named, OCTETS).status_code == 406
    fresh = site.get(named, "application/dicom")
    again = site.get(named, "application/dicom", if_none_match=fresh.headers["etag"])
    assert again.status_code == 304
    assert site.get(path, "application/dicom").headers["etag"] != fresh.headers["etag"]


def test_a_version_that_is_none_of_this_instance_is_not_found(site: Site) -> None:
    path, other = kept(site, ct(197, 1, 1)), ct(197, 1, 2)
    kept(site, other)
    for name in (versions(site, other)[0], "0" * 32):
        assert site.get(f"{path}?version={name}", "application/dicom").status_code == 404
    for wrong in ("", "1", "zz" * 16, "0" * 33, f"{'0' * 32}&version={'0' * 32}"):
        answer = site.get(f"{path}?version={wrong}", "application/dicom")
        assert answer.status_code == 400
        assert "version" in answer.json()["message"]


def test_a_study_comes_as_one_part_an_instance(site: Site) -> None:
    stored = [
        ct(200, series, number, values={"SeriesNumber": str(series)})
        for series in (1, 2)
        for number in (1, 2)
    ]
    assert site.store(*(i.part10() for i in stored)).status_code == 200
    answer = site.get(f"/studies/{stored[0].study}", DICOM)
    assert answer.status_code == 200
    parts = parts_of(answer)
    assert [content for _, content in parts] == [i.part10() for i in stored]
    assert [h["content-location"] for h, _ in parts] == [site.root + path_of(i) for i in stored]
    assert all(h["content-type"] == "application/dicom" for h, _ in parts)
    series = site.get(f"/studies/{stored[0].study}/series/{stored[2].series}", DICOM)
    assert len(parts_of(series)) == 2


def test_an_instance_comes_by_itself(site: Site) -> None:
    instance = ct(201)
    answer = site.get(kept(site, instance), "application/dicom")
    assert answer.headers["content-type"] == "application/dicom"
    assert answer.headers["content-location"] == site.root + path_of(instance)
    assert answer.content == instance.part10()
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_other_uncompressed_syntaxes_go_out_explicit_little_endian(
    site: Site, transfer_syntax: str
) -> None:
    instance = ct(202 + [IMPLICIT, BIG_ENDIAN, DEFLATED].index(transfer_syntax))
    instance.transfer_syntax = transfer_syntax
    path = kept(site, instance)
    plain = pydicom.dcmread(BytesIO(site.get(path, "application/dicom").content))
    assert plain.file_meta.TransferSyntaxUID == EXPLICIT
    assert plain.PatientName == "Doe^Jane"
    pixels = instance._pixels()
    swapped = b"".join(pixels[at : at + 2][::-1] for at in range(0, len(pixels), 2))
    assert plain.PixelData == (swapped if transfer_syntax == BIG_ENDIAN else pixels)
    stored = site.get(path, "application/dicom; transfer-syntax=*")
    assert stored.content == instance.part10()
    assert stored.headers["content-type"] == f"application/dicom; transfer-syntax={transfer_syntax}"


def test_damaged_pixels_are_406_unless_they_are_taken_as_stored(site: Site) -> None:
    instance = compressed([[jpeg(1)]], transfer_syntax=JPEG_2000, study=206)
    path = kept(site, instance)
    refused = site.get(path, DICOM)
    assert refused.status_code == 406
    assert JPEG_2000 in refused.json()["message"]
    for accept in (
        f"{DICOM}; transfer-syntax={JPEG_2000}",
        f"{DICOM}; transfer-syntax=*",
        "*/*",
    ):
        (headers, content), *rest = parts_of(site.get(path, accept))
        assert content == instance.part10()
        assert not rest
        assert headers["content-type"] == f"application/dicom; transfer-syntax={JPEG_2000}"


def test_a_lossy_instance_goes_out_as_it_is_when_no_syntax_is_named(site: Site) -> None:
    instance = compressed([[jpeg(1)]], transfer_syntax=JPEG, study=207)
    assert parts_of(site.get(kept(site, instance), DICOM))[0][1] == instance.part10()
    asked = site.get(path_of(instance), f"{DICOM}; transfer-syntax={EXPLICIT}")
    assert asked.status_code == 406


def test_a_large_instance_is_streamed_whole(site: Site) -> None:
    instance = ct_of_bytes(9 << 20, study=208)
    path = kept(site, instance)
    single = site.get(path, "application/dicom")
    assert single.content == instance.part10()
    assert "content-length" in single.headers
    assert parts_of(site.get(path, DICOM))[0][1] == instance.part10()


# ---- unknown and wrong -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "tail",
    [
        *("", "/metadata", "/series/1.2.3", "/series/1.2.3/metadata"),
        *("/series/1.2.3/instances/4.5", "/series/1.2.3/instances/4.5/frames/1"),
        "/series/1.2.3/instances/4.5/bulkdata/7FE00010",
    ],
)
def test_what_is_not_there_is_404_with_one_body(site: Site, tail: str) -> None:
    answer = site.get(f"/studies/1.2.3.404{tail}")
    assert answer.status_code == 404
    assert answer.json() == {
        "status": 404,
        "error": "NotFound",
        "message": "There is nothing here under that name.",
    }


@pytest.mark.parametrize(
    "path",
    ["/studies/1.2.a", "/studies/1.2/series/..%2F..%2Fetc", "/studies/1.2/series/3/instances/x"],
)
def test_what_is_no_uid_is_400(site: Site, path: str) -> None:
    assert site.get(path).status_code == 400


def test_an_instance_is_not_found_under_another_series(site: Site) -> None:
    kept(site, ct(210))
    other = f"/studies/{ct(210).study}/series/{ct(210, 2).series}/instances/{ct(210).instance}"
    assert site.get(other).status_code == 404


# ---- metadata --------------------------------------------------------------------------------


def test_metadata_holds_every_attribute_and_absolute_bulk_uris_that_work(site: Site) -> None:
    inner = [("00091002", "OB", b"\1\2" * 2000)]
    instance = ct(220, values={"00081140": [inner]}, extra=[("00091001", "UN", b"x" * 3000)])
    path = kept(site, instance)
    answer = site.get(f"{path}/metadata", "application/dicom+json")
    assert answer.headers["content-type"] == "application/dicom+json"
    (elements,) = answer.json()
    assert list(elements) == sorted(elements)
    assert not any(tag.startswith("0002") for tag in elements)
    assert elements["00100010"]["Value"] == [{"Alphabetic": "Doe^Jane"}]
    uris = bulk_uris(elements)
    assert len(uris) == 3
    assert all(uri.startswith(f"{site.root}{path}/bulkdata/") for uri in uris)
    values = [site.client.get(uri).content for uri in uris]
    assert sorted(map(len, values)) == sorted([4000, 3000, len(instance._pixels())])


def test_metadata_of_a_series_and_a_study_are_one_array(site: Site) -> None:
    stored = [ct(221, series, number) for series in (1, 2) for number in (1, 2, 3)]
    assert site.store(*(i.part10() for i in stored)).status_code == 200
    study = site.get(f"/studies/{stored[0].study}/metadata").json()
    found = [e["00080018"]["Value"][0] for e in study]
    # of one Series Number both: the series stand in the order they came in, side by side
    in_turn = [[i.instance for i in stored[at : at + 3]] for at in (0, 3)]
    assert [found[:3], found[3:]] in (in_turn, in_turn[::-1])
    series = site.get(f"/studies/{stored[0].study}/series/{stored[4].series}/metadata").json()
    assert [e["00080018"]["Value"][0] for e in series] == [i.instance for i in stored[3:]]


def test_metadata_is_xml_when_asked(site: Site) -> None:
    answer = site.get(f"{kept(site, ct(222))}/metadata", XML)
    ((headers, content),) = parts_of(answer)
    assert headers["content-type"] == "application/dicom+xml"
    root = read_xml(content)
    assert root.tag == f"{NAMESPACE}NativeDicomModel"
    nodes = {node.get("tag"): node for node in root}
    assert nodes["0020000D"].get("keyword") == "StudyInstanceUID"
    assert nodes["0020000D"][0].text == ct(222).study
    assert nodes["00100010"].find(f".//{NAMESPACE}FamilyName") is not None
    bulk = nodes["7FE00010"].find(f"{NAMESPACE}BulkData")
    assert bulk is not None
    assert site.client.get(str(bulk.get("uri"))).content == ct(222)._pixels()


def test_metadata_is_compressed_when_asked(site: Site) -> None:
    path = f"{kept(site, ct(223))}/metadata"
    plain = site.get(path, accept_encoding="identity")
    packed = site.client.build_request("GET", site.root + path, headers={"accept-encoding": "gzip"})
    answer = site.client.send(packed, stream=True)
    raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == plain.content
    assert "content-encoding" not in plain.headers
    refused = site.get(path, accept_encoding="gzip;q=0")
    assert "content-encoding" not in refused.headers


def test_metadata_in_plain_json_and_not_acceptable(site: Site) -> None:
    path = f"{kept(site, ct(224))}/metadata"
    assert site.get(path, "application/json").headers["content-type"] == "application/json"
    refused = site.get(path, "image/png")
    assert refused.status_code == 406
    assert "application/dicom+json" in refused.json()["message"]
    assert site.get(path, "application/dicom+json, image/png").status_code == 400
    assert site.get(f"{path}?accept=application/json").headers["content-type"] == "application/json"


def test_metadata_changes_its_etag_when_an_instance_arrives(site: Site) -> None:
    kept(site, ct(225, 1, 1))
    path = f"/studies/{ct(225).study}/metadata"
    first = site.get(path)
    etag = first.headers["etag"]
    same = site.get(path, if_none_match=etag)
    assert same.status_code == 304
    assert same.content == b""
    assert same.headers["etag"] == etag
    assert site.get(path, if_none_match=f'"other", {etag}').status_code == 304
    assert site.get(path, if_none_match="*").status_code == 304
    assert site.get(path, if_none_match='"other"').status_code == 200
    assert site.get(path, XML, if_none_match=etag).status_code == 200
    kept(site, ct(225, 1, 2))
    after = site.get(path, if_none_match=etag)
    assert after.status_code == 200
    assert after.headers["etag"] != etag


def test_the_host_header_says_what_urls_begin_with(postgres: TestPostgres, tmp_path: Path) -> None:
    with serving(postgres, tmp_path, dev=False) as site:
        site.client.headers.update(bearer(token_of(site, "program")))
        path = f"{kept(site, ct(226))}/metadata"
        (elements,) = site.get(path, host="pacs.example:8443").json()
        uri = elements["7FE00010"]["BulkDataURI"]
        assert uri.startswith("http://pacs.example:8443/dicom-web/")
        for host in ("a/b", "a b", 'a"b', "a@b", "[::1", "a:port"):
            assert site.get(path, host=host).status_code == 400
        assert site.get(path, host="[::1]:80").status_code == 200


# ---- frames ----------------------------------------------------------------------------------


def test_frames_come_in_the_order_asked_for(site: Site) -> None:
    instance = multi_frame(5, study=230, pixels=bytes(n for n in range(5) for _ in range(512)))
    path = kept(site, instance)
    answer = site.get(f"{path}/frames/3,1,5", OCTETS)
    parts = parts_of(answer)
    assert [content for _, content in parts] == [bytes([n]) * 512 for n in (2, 0, 4)]
    assert [h["content-type"] for h, _ in parts] == ["application/octet-stream"] * 3
    assert [h["content-length"] for h, _ in parts] == ["512"] * 3
    assert [h["content-location"] for h, _ in parts] == [
        f"{site.root}{path}/frames/{n}" for n in (3, 1, 5)
    ]
    assert len(parts_of(site.get(f"{path}/frames/1%2C2", OCTETS))) == 2


def test_one_frame_comes_by_itself_when_asked(site: Site) -> None:
    path = kept(site, multi_frame(2, study=231))
    answer = site.get(f"{path}/frames/2", "application/octet-stream")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.content == multi_frame(2)._pixels()[512:]
    assert site.get(f"{path}/frames/1,2", "application/octet-stream").status_code == 406


@pytest.mark.parametrize("frames", ["0", "1,", ",1", "a", "-1", "1.5", "1-2", "%20", "1" * 12])
def test_a_frame_list_that_is_none_is_400(site: Site, frames: str) -> None:
    assert site.get(f"{kept(site, ct(232))}/frames/{frames}").status_code == 400


def test_a_frame_outside_is_404(site: Site) -> None:
    path = kept(site, multi_frame(2, study=233))
    for frames in ("3", "1,3", "999999999"):
        assert site.get(f"{path}/frames/{frames}").status_code == 404


def test_compressed_frames_come_as_their_codestream(site: Site) -> None:
    instance = compressed([[jpeg(1)], [jpeg(2), jpeg(3)]], transfer_syntax=JPEG_2000, study=234)
    path = kept(site, instance)
    for accept in ('multipart/related; type="image/jp2"', f"{OCTETS}; transfer-syntax=*", "*/*"):
        parts = parts_of(site.get(f"{path}/frames/1,2", accept))
        assert [content for _, content in parts] == [jpeg(1), jpeg(2) + jpeg(3)]
        expected = f"image/jp2; transfer-syntax={JPEG_2000}"
        assert [h["content-type"] for h, _ in parts] == [expected] * 2
    refused = site.get(f"{path}/frames/1", OCTETS)
    assert refused.status_code == 406
    assert JPEG_2000 in refused.json()["message"]
    single = site.get(f"{path}/frames/2", "image/jp2")
    assert single.content == jpeg(2) + jpeg(3)


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_native_frames_are_little_endian_whatever_they_came_in(
    site: Site, transfer_syntax: str
) -> None:
    instance = multi_frame(2, study=235 + len(transfer_syntax), transfer_syntax=transfer_syntax)
    path = kept(site, instance)
    expected = pydicom.dcmread(BytesIO(site.get(path, "application/dicom").content)).PixelData[512:]
    for accept in (OCTETS, f"{OCTETS}; transfer-syntax=*"):
        ((headers, content),) = parts_of(site.get(f"{path}/frames/2", accept))
        assert content == expected
        assert headers["content-type"] == "application/octet-stream"


def test_a_frame_has_an_etag_of_its_own(site: Site) -> None:
    path = kept(site, multi_frame(2, study=260))
    first = site.get(f"{path}/frames/1", "application/octet-stream")
    assert not first.headers["etag"].startswith("W/")
    again = site.get(
        f"{path}/frames/1", "application/octet-stream", if_none_match=first.headers["etag"]
    )
    assert again.status_code == 304
    assert site.get(f"{path}/frames/2", if_none_match=first.headers["etag"]).status_code == 200


# ---- bulk data and ranges --------------------------------------------------------------------


def test_bulk_data_comes_by_itself_or_in_a_multipart(site: Site) -> None:
    instance = ct(270)
    path = f"{kept(site, instance)}/bulkdata/7FE00010"
    single = site.get(path)
    assert single.headers["content-type"] == "application/octet-stream"
    assert single.headers["accept-ranges"] == "bytes"
    assert single.content == instance._pixels()
    ((headers, content),) = parts_of(site.get(path, OCTETS))
    assert content == single.content
    assert headers["content-location"] == site.root + path
    assert parts_of(site.get(path, 'multipart/related; type="*/*"'))[0][1] == content


@pytest.mark.parametrize("where", ["00100010", "7FE00011", "nonsense", "7FE00010.1.00080018"])
def test_a_path_without_bulk_data_is_404(site: Site, where: str) -> None:
    assert site.get(f"{kept(site, ct(271))}/bulkdata/{where}").status_code == 404


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("0-0", 0, 1), ("10-19", 10, 20), ("500-", 500, 512), ("-12", 500, 512), ("0-9999", 0, 512)],
)
def test_a_range_is_206_with_just_those_bytes(site: Site, asked: str, start: int, end: int) -> None:
    path = f"{kept(site, ct(272))}/bulkdata/7FE00010"
    answer = site.get(path, range=f"bytes={asked}")
    assert answer.status_code == 206
    assert answer.content == ct(272)._pixels()[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/512"


@pytest.mark.parametrize("asked", ["512-", "9999-10000", "-0"])
def test_a_range_outside_is_416(site: Site, asked: str) -> None:
    answer = site.get(f"{kept(site, ct(272))}/bulkdata/7FE00010", range=f"bytes={asked}")
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */512"
    assert answer.content == b""


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=x", "items=0-1", "bytes=-", "bytes=0-1,5-6"])
def test_a_range_that_means_nothing_to_us_is_the_whole(site: Site, asked: str) -> None:
    answer = site.get(f"{kept(site, ct(272))}/bulkdata/7FE00010", range=asked)
    assert answer.status_code == 200
    assert len(answer.content) == 512


def test_eight_ranges_are_the_whole_and_nine_are_refused(site: Site) -> None:
    path = f"{kept(site, ct(272))}/bulkdata/7FE00010"
    assert site.get(path, range="bytes=" + ",".join(["0-1"] * 8)).status_code == 200
    assert site.get(path, range="bytes=" + ",".join(["0-1"] * 9)).status_code == 416


def test_if_range_gives_the_whole_of_another_state(site: Site) -> None:
    path = f"{kept(site, ct(272))}/bulkdata/7FE00010"
    etag = site.get(path).headers["etag"]
    assert site.get(path, range="bytes=0-1", if_range=etag).status_code == 206
    assert site.get(path, range="bytes=0-1", if_range='"other"').status_code == 200


def test_a_large_range_is_streamed(site: Site) -> None:
    instance = ct_of_bytes(9 << 20, study=273)
    path = f"{kept(site, instance)}/bulkdata/7FE00010"
    answer = site.get(path, range="bytes=1000001-")
    assert answer.status_code == 206
    assert answer.content == instance._pixels()[1000001:]


def test_compressed_pixel_data_comes_one_part_a_frame(site: Site) -> None:
    instance = compressed([[jpeg(1)], [jpeg(2)]], transfer_syntax=JPEG_2000, study=274)
    path = f"{kept(site, instance)}/bulkdata/7FE00010"
    assert [content for _, content in parts_of(site.get(path))] == [jpeg(1), jpeg(2)]
    assert site.get(path, OCTETS).status_code == 406


# ---- what holds for every answer -------------------------------------------------------------


@pytest.mark.parametrize("tail", ["", "/metadata", "/frames/1", "/bulkdata/7FE00010"])
def test_head_says_what_get_would_and_sends_nothing(site: Site, tail: str) -> None:
    path = f"{kept(site, ct(280))}{tail}"
    get = site.get(path, accept_encoding="identity")
    head = site.client.head(site.root + path, headers={"accept-encoding": "identity"})
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"].split(";")[0] == get.headers["content-type"].split(";")[0]
    assert head.headers.get("etag") == get.headers.get("etag")
    length = head.headers.get("content-length")
    assert length is None or length == get.headers["content-length"]


@pytest.mark.parametrize("tail", ["", "/metadata", "/frames/1", "/bulkdata/7FE00010", "/frames/9"])
def test_every_answer_is_private_and_is_what_it_says(site: Site, tail: str) -> None:
    answer = site.get(f"{kept(site, ct(281))}{tail}")
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers
    if answer.status_code == 200:
        assert answer.headers["vary"] == "Accept, Accept-Encoding, Authorization"


def test_nothing_says_since_when_it_is_before_that_second_is_over() -> None:
    """RFC 9110 8.8.2: what changes again within a second must not look the same."""
    now = dt.datetime.now(dt.UTC)
    assert caching.State((), changed_at=now + dt.timedelta(seconds=1)).stamp is None
    changed = now.replace(microsecond=250_000) - dt.timedelta(seconds=5)
    behind = changed.replace(microsecond=0) + dt.timedelta(seconds=1)
    assert caching.State((), changed_at=changed).stamp == behind
    whole = changed.replace(microsecond=0)
    assert caching.State((), changed_at=whole).stamp == whole


def test_an_instance_says_since_when_it_is_as_it_is(site: Site) -> None:
    path = kept(site, ct(282))
    a_while_ago(site)
    first = site.get(path, "application/dicom")
    since = first.headers["last-modified"]
    assert site.get(path, "application/dicom", if_modified_since=since).status_code == 304
    early = "Sat, 01 Jan 2000 00:00:00 GMT"
    assert site.get(path, "application/dicom", if_modified_since=early).status_code == 200
    assert site.get(path, "application/dicom", if_modified_since="nonsense").status_code == 200
    assert (
        site.get(path, "application/dicom", if_none_match=first.headers["etag"]).status_code == 304
    )


def test_bytes_that_do_not_verify_break_the_connection_and_are_never_a_short_answer(
    site: Site,
) -> None:
    instance = ct_of_bytes(9 << 20, study=290)
    path = kept(site, instance)
    blobs = sorted(
        (site.archive.settings.data / "blobs").rglob("*.vnb"), key=lambda p: p.stat().st_mtime
    )
    with blobs[-1].open("r+b") as blob:
        blob.seek(6 << 20)
        damaged = bytes(byte ^ 1 for byte in blob.read(16))
        blob.seek(6 << 20)
        blob.write(damaged)
    with site.address.connect() as sock:
        sock.sendall(f"GET /dicom-web{path} HTTP/1.1\r\nHost: localhost\r\n".encode())
        sock.sendall(b"Accept: application/dicom\r\n\r\n")
        received = b""
        while piece := sock.recv(1 << 20):
            received += piece
    head, _, content = received.partition(b"\r\n\r\n")
    assert b"200" in head
    assert f"content-length: {len(instance.part10())}".encode() in head
    assert len(content) < len(instance.part10())
    assert instance.part10().startswith(content)
    with pytest.raises(httpx.RemoteProtocolError):
        site.get(f"{path}/frames/1", OCTETS)
    assert site.get(f"{path}/bulkdata/7FE00010", range="bytes=6250000-6250100").status_code == 500


def test_factories_are_read_back_by_pydicom(site: Site) -> None:
    instance = factories.ct(291)
    read = pydicom.dcmread(BytesIO(site.get(kept(site, instance), "application/dicom").content))
    assert read.SOPInstanceUID == instance.instance

"""STOW-RS against a real archive: what is kept, what the sender is told (PS3.18 10.5)."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import json
import socket
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from dicomweb_client.web import DICOMwebClient
from requests import HTTPError

from tests.conftest import TestPostgres
from tests.factories import BROKEN, broken, ct, ct_of_bytes
from tests.web.conftest import Site, body_of, read_xml, serving
from vna.web.multipart import multipart_type
from vna.web.threads import PIECE

NAMESPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


def values(elements: dict[str, Any], tag: str) -> list[Any]:
    """Values of an attribute, [] when there are none."""
    return list(elements.get(tag, {}).get("Value", []))


def count(site: Site, study: int) -> int:
    """How many instances of a study are found."""
    found = site.get(f"/studies/{ct(study).study}/instances").json()
    return len(found)


def test_stored_instances_are_named_with_their_urls(site: Site) -> None:
    one, two = ct(100, 1, 1), ct(100, 1, 2)
    answer = site.store(one.part10(), two.part10())
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    told = answer.json()
    study = f"{site.root}/studies/{one.study}"
    assert values(told, "00081190") == [study]
    assert answer.headers["location"] == answer.headers["content-location"] == study
    assert "00081198" not in told
    assert "0008119A" not in told
    assert [values(item, "00081155") for item in values(told, "00081199")] == [
        [one.instance],
        [two.instance],
    ]
    url = values(values(told, "00081199")[0], "00081190")[0]
    assert site.client.get(url, headers={"accept": "application/dicom"}).content == one.part10()


def test_the_same_again_is_200_and_nothing_new(site: Site) -> None:
    file = ct(101).part10()
    assert site.store(file).status_code == 200
    assert site.store(file).status_code == 200
    assert count(site, 101) == 1


def test_other_content_under_a_known_uid_is_202_with_a_warning_reason(site: Site) -> None:
    assert site.store(ct(102).part10()).status_code == 200
    answer = site.store(ct(102, values={"StudyDescription": "Other"}).part10())
    assert answer.status_code == 202
    assert values(values(answer.json(), "00081199")[0], "00081196") == [0xB000]
    assert "B000" in answer.headers["warning"]
    assert count(site, 102) == 1


def test_a_single_file_is_taken_without_a_multipart(site: Site) -> None:
    answer = site.client.post(
        f"{site.root}/studies",
        content=ct(103).part10(),
        headers={"content-type": "application/dicom"},
    )
    assert answer.status_code == 200
    assert count(site, 103) == 1


def test_an_instance_of_another_study_fails_with_a_mismatch(site: Site) -> None:
    right, wrong = ct(104), ct(105)
    answer = site.store(right.part10(), wrong.part10(), path=f"/studies/{right.study}")
    assert answer.status_code == 202
    failed = values(answer.json(), "00081198")
    assert [values(item, "00081155") for item in failed] == [[wrong.instance]]
    assert values(failed[0], "00081197") == [0xA900]
    alone = site.store(wrong.part10(), path=f"/studies/{right.study}")
    assert alone.status_code == 409
    assert count(site, 105) == 0


# a file that says its SOP Class in group 2 alone is sound enough to keep
REFUSED = [name for name in BROKEN if name != "no-class"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_broken_is_refused_alone_and_beside_what_is_sound(site: Site, name: str) -> None:
    study = 110 + BROKEN.index(name)
    bad = broken(name, study=study)
    alone = site.store(bad)
    assert alone.status_code in (400, 409, 413)
    sound = ct(study, 2, 2)
    beside = site.store(bad, sound.part10())
    assert beside.status_code == 202
    told = beside.json()
    assert len(values(told, "00081199")) == 1
    refused = [*values(told, "00081198"), *values(told, "0008119A")]
    assert len(refused) == 1
    assert values(refused[0], "00081197")[0] in (0xC000, 0xA700, 0xA900, 0x0122)
    assert count(site, study) == 1


def test_the_answer_is_xml_when_asked(site: Site) -> None:
    answer = site.store(ct(130).part10(), accept="application/dicom+xml")
    assert answer.headers["content-type"] == "application/dicom+xml"
    root = read_xml(answer.content)
    attributes = {node.get("keyword"): node for node in root.iter(f"{NAMESPACE}DicomAttribute")}
    assert attributes["ReferencedSOPInstanceUID"][0].text == ct(130).instance


@pytest.mark.parametrize("size", [PIECE - 100, PIECE, 3 * PIECE + 17])
def test_bodies_of_any_size_arrive_whole(site: Site, size: int) -> None:
    instance = ct_of_bytes(size, study=140 + size % 7)
    assert site.store(instance.part10()).status_code == 200
    path = f"/studies/{instance.study}/series/{instance.series}/instances/{instance.instance}"
    assert site.get(path, "application/dicom").content == instance.part10()


def test_a_chunked_body_of_many_parts_is_taken(site: Site) -> None:
    files = [ct_of_bytes(200_000, instance=n, study=150).part10() for n in range(1, 16)]
    body = body_of(*files)

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(body), 70_001):
            yield body[at : at + 70_001]

    answer = site.client.post(
        f"{site.root}/studies",
        content=pieces(),
        headers={"content-type": multipart_type("application/dicom", "b")},
    )
    assert answer.status_code == 200
    assert count(site, 150) == 15


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 415),
        ("application/octet-stream", 415),
        ('multipart/related; type="application/dicom+json"; boundary=b', 415),
        ('multipart/related; type="application/dicom+xml"; boundary=b', 415),
        ('multipart/related; type="image/jpeg"; boundary=b', 415),
        ("multipart/form-data; boundary=b", 415),
        ('multipart/related; type="application/dicom"', 400),
        ("multipart/related; boundary=b", 400),
        ("nonsense", 400),
    ],
)
def test_other_content_types_are_refused_with_a_reason(
    site: Site, content_type: str, status: int
) -> None:
    answer = site.store(ct(160).part10(), **{"content-type": content_type})
    assert answer.status_code == status
    told = answer.json()
    assert told["status"] == status
    assert told["message"].endswith(".")
    assert count(site, 160) == 0


def test_a_body_without_a_content_type_is_415(site: Site) -> None:
    assert site.client.post(f"{site.root}/studies", content=b"x").status_code == 415


def test_a_compressed_request_is_415(site: Site) -> None:
    answer = site.client.post(
        f"{site.root}/studies",
        content=gzip.compress(body_of(ct(161).part10())),
        headers={
            "content-type": multipart_type("application/dicom", "b"),
            "content-encoding": "gzip",
        },
    )
    assert answer.status_code == 415
    assert count(site, 161) == 0


@pytest.mark.parametrize("body", [b"", b"--b--\r\n", b"no boundary at all"])
def test_a_body_without_a_part_is_400(site: Site, body: bytes) -> None:
    answer = site.client.post(
        f"{site.root}/studies",
        content=body,
        headers={"content-type": multipart_type("application/dicom", "b")},
    )
    assert answer.status_code == 400


@pytest.mark.parametrize("size", [1000, 2 * PIECE])
def test_a_body_that_breaks_off_keeps_what_was_whole_and_says_so(site: Site, size: int) -> None:
    study = 170 + size % 3
    whole = body_of(ct(study, 1, 1).part10(), ct_of_bytes(size, instance=2, study=study).part10())
    cut = site.client.post(
        f"{site.root}/studies",
        content=whole[:-20],
        headers={"content-type": multipart_type("application/dicom", "b")},
    )
    assert cut.status_code == 202
    assert [values(v, "00081197") for v in values(cut.json(), "0008119A")] == [[0xC000]]
    assert count(site, study) == 1


def test_a_part_of_another_type_is_refused_alone(site: Site) -> None:
    body = body_of(ct(175).part10(), content_type="image/jpeg")
    answer = site.client.post(
        f"{site.root}/studies",
        content=body,
        headers={"content-type": multipart_type("application/dicom", "b")},
    )
    assert answer.status_code == 400
    assert count(site, 175) == 0


def test_a_client_that_leaves_in_the_middle_leaves_nothing(site: Site) -> None:
    file = ct_of_bytes(3 * PIECE, study=176).part10()
    head = (
        f"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(file)}\r\n"
        "Content-Type: application/dicom\r\n\r\n"
    )
    with site.address.connect() as sock:
        sock.sendall(head.encode() + file[: 2 * PIECE])
        sock.shutdown(socket.SHUT_RDWR)
    assert site.store(ct(177).part10()).status_code == 200
    assert count(site, 176) == 0


@pytest.mark.parametrize("path", ["/studies/abc", "/studies/1.2.%2e%2e%2f", f"/studies/{'1' * 65}"])
def test_a_study_that_is_no_uid_is_400(site: Site, path: str) -> None:
    answer = site.store(ct(178).part10(), path=path)
    assert answer.status_code == 400
    assert answer.json()["error"] == "InvalidUID"


def test_not_acceptable_is_told_before_anything_is_stored(site: Site) -> None:
    answer = site.store(ct(179).part10(), accept="text/csv")
    assert answer.status_code == 406
    assert count(site, 179) == 0


def test_the_limits_of_a_request_hold(postgres: TestPostgres, tmp_path: Path) -> None:
    file = ct(1).part10()
    most = len(body_of(file))
    with serving(postgres, tmp_path, limits={"request_bytes": most, "parts": 2}) as site:
        assert site.store(file).status_code == 200
        declared = site.store(ct(2, values={"StudyDescription": "Chest!!"}).part10())
        assert declared.status_code == 413

        def pieces() -> Iterator[bytes]:
            yield body_of(ct(3).part10(), ct(3, 1, 2).part10())

        counted = site.client.post(
            f"{site.root}/studies",
            content=pieces(),
            headers={"content-type": multipart_type("application/dicom", "b")},
        )
        assert counted.status_code == 413
        assert count(site, 3) == 0
        assert site.store(b"", b"", b"").status_code == 413


def test_an_object_past_the_limit_is_413(postgres: TestPostgres, tmp_path: Path) -> None:
    small = ct(1).part10()
    with serving(postgres, tmp_path, limits={"object_bytes": len(small)}) as site:
        assert site.store(small).status_code == 200
        assert site.store(ct_of_bytes(4096, study=2).part10()).status_code == 413
        both = site.store(ct(3).part10(), ct_of_bytes(4096, instance=2, study=3).part10())
        assert both.status_code == 202


def test_a_full_disk_is_503_and_reads_go_on(postgres: TestPostgres, tmp_path: Path) -> None:
    with serving(postgres, tmp_path, blobs={"free_bytes": 1 << 60}) as full:
        answer = full.store(ct(1).part10())
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        failed = [*values(answer.json(), "00081198"), *values(answer.json(), "0008119A")]
        assert values(failed[0], "00081197") == [0xA700]
        assert full.get("/studies").status_code == 200


def test_versions_are_silent_when_the_setting_says_so(
    postgres: TestPostgres, tmp_path: Path
) -> None:
    with serving(postgres, tmp_path, versions={"answer": "success"}) as site:
        assert site.store(ct(1).part10()).status_code == 200
        again = site.store(ct(1, values={"StudyDescription": "Other"}).part10())
        assert again.status_code == 200
        assert "warning" not in again.headers
        # but what nobody will find where it was sent to
        apart = site.store(ct(2, values={"SOPInstanceUID": ct(1).instance}).part10())
        assert apart.status_code == 202
        assert values(values(apart.json(), "00081199")[0], "00081196") == [0xB000]


def test_a_rejected_version_is_409(postgres: TestPostgres, tmp_path: Path) -> None:
    with serving(postgres, tmp_path, versions={"policy": "reject"}) as site:
        assert site.store(ct(1).part10()).status_code == 200
        again = site.store(ct(1, values={"StudyDescription": "Other"}).part10())
        assert again.status_code == 409
        assert values(values(again.json(), "00081198")[0], "00081197") == [0x0111]


def test_a_body_that_trickles_is_given_up(postgres: TestPostgres, tmp_path: Path) -> None:
    limits = {"body_idle_s": 0.5, "slowest_bytes_s": 10_000}
    with serving(postgres, tmp_path, http=limits) as site, site.address.connect(0.05) as sock:
        sock.sendall(
            b"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
            b"Content-Type: application/dicom\r\n\r\n"
        )
        answer = b""
        while not answer:
            sock.sendall(b"x")
            with contextlib.suppress(TimeoutError):  # nothing yet: the next byte
                answer = sock.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert site.store(ct(1).part10()).status_code == 200


def test_failures_hold_no_patient_data(site: Site) -> None:
    canary = "Canary^Patient"
    file = ct(190, patient_name=canary, patient_id="CANARY-ID")
    bad = dataclasses.replace(file, sop_class="1.2.abc").part10()
    answers: list[httpx.Response] = [site.store(bad), site.store(file.part10()[:-50])]
    for answer in answers:
        assert answer.status_code >= 400
        assert "anary" not in answer.text + json.dumps(dict(answer.headers))


@pytest.mark.parametrize("count", [1, 3])
def test_dicomweb_client_stores_and_reads_the_answer(site: Site, count: int) -> None:
    client = DICOMwebClient(site.root)
    study = 195 + count
    datasets = [pydicom.dcmread(BytesIO(ct(study, 1, n).part10())) for n in range(1, count + 1)]
    for path in (None, ct(study).study):
        told = client.store_instances(datasets, study_instance_uid=path)
        stored = [item.ReferencedSOPInstanceUID for item in told.ReferencedSOPSequence]
        assert stored == [dataset.SOPInstanceUID for dataset in datasets]
        assert "FailedSOPSequence" not in told
    assert len(client.search_for_instances(ct(study).study)) == count


def test_dicomweb_client_hears_of_a_failure(site: Site) -> None:
    client = DICOMwebClient(site.root)
    dataset = pydicom.dcmread(BytesIO(ct(199).part10()))
    with pytest.raises(HTTPError, match="409"):
        client.store_instances([dataset], study_instance_uid="1.2.3")

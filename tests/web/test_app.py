"""The application as a whole: health, routing, who may come in, peers' clients."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import NoReturn

import dicomweb_client
import pydicom
import pytest

from tests.conftest import TestPostgres
from tests.factories import compressed, ct, jpeg, multi_frame
from tests.web.conftest import Site, serving
from vna import errors
from vna.errors import NotFound, VNAError
from vna.web import problems


def tree(cls: type[VNAError]) -> Iterator[type[VNAError]]:
    """Every error of the house."""
    yield cls
    for below in cls.__subclasses__():
        yield from tree(below)


def test_every_error_has_a_status_a_name_and_a_sentence() -> None:
    for cls in tree(VNAError):
        status, _, content = problems.answer(cls(), "test")
        assert status == problems.STATUS[next(c for c in cls.__mro__ if c in problems.STATUS)]
        told = json.loads(content)
        assert told["error"] == cls.__name__
        assert told["status"] == status
        assert told["message"].endswith((".", "later."))


@pytest.mark.parametrize(
    ("cls", "status"),
    [
        (errors.InvalidUID, 400),
        (errors.MalformedMultipart, 400),
        (errors.NotAuthenticated, 401),
        (errors.NotProven, 401),
        (errors.NotPermitted, 403),
        (errors.NotFound, 404),
        (errors.NotAcceptable, 406),
        (errors.Conflict, 409),
        (errors.Gone, 410),
        (errors.TooLarge, 413),
        (errors.UnsupportedMedia, 415),
        (errors.TooMany, 429),
        (errors.Unavailable, 503),
        (errors.Contended, 503),
        (errors.CommitUnknown, 503),
        (errors.Corrupt, 500),
        (errors.ConfigError, 500),
    ],
)
def test_families_have_the_status_of_the_standard(cls: type[VNAError], status: int) -> None:
    assert problems.answer(cls(), "test")[0] == status


@pytest.mark.parametrize(
    ("cls", "field"),
    [
        (errors.NotAuthenticated, b"www-authenticate"),  # RFC 9110 11.6.1
        (errors.TooMany, b"retry-after"),  # RFC 6585 4
        (errors.Unavailable, b"retry-after"),  # RFC 9110 15.6.4
    ],
)
def test_who_may_come_again_is_told_how_or_when(cls: type[VNAError], field: bytes) -> None:
    assert [name for name, _ in problems.answer(cls(), "test")[1]] == [field]


def test_an_unknown_error_tells_nothing_of_itself() -> None:
    status, _, content = problems.answer(KeyError("Canary^Patient"), "test")
    assert status == 500
    assert b"Canary" not in content


def test_the_default_not_found_says_nothing_of_what_was_asked() -> None:
    assert json.loads(problems.answer(NotFound(), "a")[2]) == json.loads(
        problems.answer(NotFound(), "b")[2]
    )


def test_health_is_told(site: Site) -> None:
    assert site.client.get(f"{site.address.url}/livez").json() == {"status": "ok"}
    ready = site.client.get(f"{site.address.url}/readyz")
    assert ready.status_code == 200
    site.get("/studies")
    metrics = site.client.get(f"{site.address.url}/metrics")
    assert "vna_http_seconds_bucket" in metrics.text
    assert metrics.headers["content-type"].startswith("text/plain")


def test_readiness_says_why_not_and_comes_back(postgres: TestPostgres, tmp_path: Path) -> None:
    with serving(postgres, tmp_path) as site:
        path = f"{site.address.url}/readyz"
        assert site.client.get(path).status_code == 200
        postgres.admin(f"ALTER DATABASE {site.database_name} ALLOW_CONNECTIONS false")
        postgres.terminate(site.database_name)
        answer = site.client.get(path)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["error"] == "Unavailable"
        assert site.client.get(f"{site.address.url}/livez").status_code == 200
        assert site.get("/studies").status_code == 503
        postgres.admin(f"ALTER DATABASE {site.database_name} ALLOW_CONNECTIONS true")
        assert site.client.get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/nothing", "/dicom-web", "/dicom-web/", "/dicom-web/nothing"),
        *("/dicom-web/studies//series", "/dicom-web/studies/1.2/rendered"),
        "/dicom-web/studies/1.2/series/3/thumbnail",
        "/dicom-web/studies/1.2/series/3/instances/4/frames",
    ],
)
def test_an_unknown_resource_is_a_404_in_json(site: Site, path: str) -> None:
    answer = site.client.get(site.address.url + path)
    assert answer.status_code == 404
    assert answer.json()["status"] == 404
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/dicom-web/studies/1.2", "GET, POST, DELETE, HEAD, OPTIONS"),
        ("POST", "/dicom-web/series", "GET, HEAD, OPTIONS"),
        ("PUT", "/dicom-web/studies", "GET, POST, HEAD, OPTIONS"),
    ],
)
def test_an_unknown_method_is_405_and_says_which_are_known(
    site: Site, method: str, path: str, allowed: str
) -> None:
    answer = site.client.request(method, site.address.url + path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    assert answer.json()["error"] == "MethodNotAllowed"


def test_a_method_that_health_does_not_know_is_405(site: Site) -> None:
    answer = site.client.post(f"{site.address.url}/livez")
    assert answer.status_code == 405
    assert answer.json()["status"] == 405


@pytest.mark.parametrize(("path", "status"), [("/S/typed.", 404), ("/my/x", 404), ("/logout", 405)])
def test_who_mistypes_an_address_is_shown_a_page_with_a_way_on(
    postgres: TestPostgres, tmp_path: Path, path: str, status: int
) -> None:
    """A program that asks for the same is told in JSON, as before."""
    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8", "accept-language": "de"}
    with serving(postgres, tmp_path, dev=False) as site:
        page = site.client.get(site.address.url + path, headers=browser)
        told = site.client.get(site.address.url + path)
    assert page.status_code == told.status_code == status
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "no-store"
    assert '<html lang="de"' in page.text
    assert "Hier ist nichts" in page.text
    assert 'href="/">Zurück zum Anfang' in page.text
    assert told.json()["status"] == status


def test_a_fault_of_ours_is_a_page_to_a_browser_and_json_to_a_program(
    postgres: TestPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither says a word of what it was."""
    browser = {"accept": "text/html,*/*;q=0.8", "accept-language": "de"}

    def fails(*_: object, **__: object) -> NoReturn:
        raise KeyError("Canary^Patient")

    with serving(postgres, tmp_path) as site:
        monkeypatch.setattr(type(site.engines.messages), "counts", fails)
        page = site.client.get(f"{site.address.url}/shares", headers=browser)
        told = site.client.get(f"{site.address.url}/shares")
    assert page.status_code == told.status_code == 500
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "no-store"
    assert "Das Archiv" in page.text
    assert 'href="/">Zurück zum Anfang' in page.text
    assert told.json() == {
        "status": 500, "error": "Failed", "message": "The archive failed to answer this request.",
    }  # fmt: skip
    assert "Canary" not in page.text + told.text


def test_nobody_comes_in_without_dev(postgres: TestPostgres, tmp_path: Path) -> None:
    with serving(postgres, tmp_path, dev=False) as site:
        for answer in (
            site.get("/studies"),
            site.get("/studies/1.2/metadata"),
            site.store(ct(1).part10()),
        ):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Bearer realm="vna"'
            assert answer.json()["error"] == "NotAuthenticated"
        assert site.client.get(f"{site.address.url}/livez").status_code == 200


@pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.1.elsewhere.example:8080", "a"])
@pytest.mark.parametrize("path", ["/", "/dicom-web/studies", "/dev/inbox", "/wado", "/s"])
def test_under_dev_a_page_whose_name_leads_here_meanwhile_is_told_nothing(
    site: Site, host: str, path: str
) -> None:
    """DNS rebinding: to its browser we are its own site, and under --dev all are the developer."""
    answer = site.client.get(f"{site.address.url}{path}", headers={"host": host})
    assert (answer.status_code, answer.json()["error"]) == (421, "MisdirectedRequest")
    assert answer.headers["content-security-policy"] == "frame-ancestors 'self'"
    stored = site.store(ct(770).part10(), host=host)
    assert stored.status_code == 421
    assert site.get("/studies?StudyInstanceUID=" + ct(770).study).json() == []


@pytest.mark.parametrize(
    "host", ["localhost", "localhost.:1", "[::1]:1", "127.0.0.1", "x.localhost"]
)
def test_under_dev_who_means_this_machine_is_answered(site: Site, host: str) -> None:
    answer = site.client.get(f"{site.root}/studies", headers={"host": host})
    assert answer.status_code == 200


def test_without_dev_any_name_will_do_for_nobody_comes_in_without_a_credential(
    postgres: TestPostgres, tmp_path: Path
) -> None:
    with serving(postgres, tmp_path, dev=False) as site:
        answer = site.client.get(f"{site.root}/studies", headers={"host": "archive.example"})
        assert answer.status_code == 401


def test_without_an_accept_header_strictness_decides(
    postgres: TestPostgres, tmp_path: Path
) -> None:
    bare = b"GET /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    for strict, status in ((False, b"200"), (True, b"406")):
        changed = {"strict_accept": strict}
        with serving(postgres, tmp_path, http=changed) as site, site.address.connect() as sock:
            sock.sendall(bare)
            assert sock.recv(12).endswith(status)


def test_dicomweb_client_stores_finds_and_gets(site: Site) -> None:
    client = dicomweb_client.DICOMwebClient(site.root)
    instances = [ct(300, 1, n) for n in (1, 2)]
    datasets = [pydicom.dcmread(BytesIO(i.part10())) for i in instances]
    stored = client.store_instances(datasets)
    assert len(stored.ReferencedSOPSequence) == 2
    one = instances[0]
    found = client.search_for_studies(search_filters={"StudyInstanceUID": one.study})
    assert found[0]["0020000D"]["Value"] == [one.study]
    assert len(client.search_for_series(one.study)) == 1
    assert len(client.search_for_instances(one.study, one.series)) == 2
    assert len(client.retrieve_study(one.study)) == 2
    assert len(client.retrieve_series(one.study, one.series)) == 2
    names = (one.study, one.series, one.instance)
    assert client.retrieve_instance(*names).PixelData == one._pixels()
    metadata = client.retrieve_instance_metadata(*names)
    assert metadata["00080018"]["Value"] == [one.instance]
    assert len(client.retrieve_series_metadata(one.study, one.series)) == 2
    uri = metadata["7FE00010"]["BulkDataURI"]
    assert client.retrieve_bulkdata(uri) == [one._pixels()]
    assert client.retrieve_bulkdata(uri, media_types=("application/octet-stream",))[0] == (
        one._pixels()
    )


def test_dicomweb_client_gets_frames(site: Site) -> None:
    client = dicomweb_client.DICOMwebClient(site.root)
    native = multi_frame(3, study=301)
    packed = compressed([[jpeg(1)], [jpeg(2)]], study=302)
    assert site.store(native.part10(), packed.part10()).status_code == 200
    names = (native.study, native.series, native.instance)
    frames = client.retrieve_instance_frames(*names, [1, 3])
    assert frames == [native._pixels()[:512], native._pixels()[1024:]]
    names = (packed.study, packed.series, packed.instance)
    assert client.retrieve_instance_frames(*names, [2]) == [jpeg(2)]
    assert client.retrieve_instance_frames(*names, [1], media_types=("image/jpeg",)) == [jpeg(1)]


def test_many_clients_at_once_are_all_served(site: Site) -> None:
    instances = [ct(310, 1, n) for n in range(1, 9)]
    failures: list[str] = []

    def one(number: int) -> None:
        mine = instances[number]
        if site.store(mine.part10()).status_code != 200:
            failures.append("store")
        path = f"/studies/{mine.study}/series/{mine.series}/instances/{mine.instance}"
        for _ in range(5):
            if site.get(path, "application/dicom").content != mine.part10():
                failures.append("retrieve")

    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(site.get(f"/studies/{instances[0].study}/metadata").json()) == 8


def test_requests_leave_no_patient_data_in_the_log(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="vna")
    file = ct(320, patient_name="Canary^Log", patient_id="CANARY-LOG")
    site.store(file.part10(), dataclasses.replace(file, instance="1.x").part10())
    site.get("/studies?PatientName=Canary^Log&PatientID=CANARY-LOG")
    site.get("/studies?PatientName=Canary^Log&limit=x")
    assert caplog.records
    for record in caplog.records:
        assert "anary" not in str(vars(record)).lower().replace("c", "", 0).replace(
            "CANARY", "anary"
        )

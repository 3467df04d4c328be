"""DICOMweb below a share: what was shared is there, bit for bit, and nothing else is."""

from __future__ import annotations

import datetime as dt
import io
import logging
import re
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import pydicom
import pytest

from tests.conftest import TestPostgres
from tests.factories import Instance, ct
from tests.web.conftest import NO_TLS, Site, body_of, serving
from tests.web.guests import Caller, inside, offered
from tests.web.people import lets_out_within_a_second, signed_in
from tests.web.test_matrix import NEEDED, PAGES
from vna.dicom.refs import UID, SeriesRef, StudyRef
from vna.sharing.values import Offered
from vna.web.dicomweb import shared as shared_module
from vna.web.dicomweb.routes import ROUTES
from vna.web.dicomweb.shared import LOOKED_AT, SHARED
from vna.web.multipart import multipart_type

OURS = [ct(instance=number, rows=64, columns=64) for number in (1, 2, 3)]
OTHER_SERIES = ct(series=2)
FOREIGN = ct(study=2, patient_name="Roe^Richard", patient_id="P-0002")
FIRST = OURS[0]
ZIP = "?accept=application/zip"


@dataclass(slots=True)
class Shared:
    """One series of a study, shared; the study's other series and another study are not."""

    site: Site
    base: str
    client: httpx.Client
    offered: Offered

    def ask(self, method: str, path: str, accept: str = "*/*") -> httpx.Response:
        url = f"{self.site.address.url}{self.base}{path}"
        return self.client.request(method, url, headers={"accept": accept})


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as site:
        for one in (*OURS, OTHER_SERIES, FOREIGN):
            site.archive.take(one.part10())
        yield site


@pytest.fixture(autouse=True)
def fresh_limits(site: Site) -> None:
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM rate")


@pytest.fixture(scope="module")
def part(site: Site) -> Shared:
    """A share of one of two series."""
    series = SeriesRef(UID(FIRST.study), UID(FIRST.series))
    return shared(site, offered(site, FIRST, studies=frozenset(), series=frozenset({series})))


@pytest.fixture(scope="module")
def whole(site: Site) -> Shared:
    """A share of the whole study."""
    return shared(site, offered(site, FIRST))


def shared(site: Site, share: Offered, of: Instance = FIRST) -> Shared:
    found = inside(site, share)
    # programs bring no cookies: the path is all they have
    client = site.closing.enter_context(httpx.Client(timeout=60, verify=NO_TLS))
    return Shared(site, found.base(of.study), client, share)


def path_of(one: Instance, names: str, frames: str = "1") -> str:
    values = {
        "study": one.study, "series": one.series, "instance": one.instance, "frames": frames,
        "path": "7FE00010", "transaction": "1.2.3.4.5",
    }  # fmt: skip
    return "/" + names.format(**values)


# -- what was shared -------------------------------------------------------------------------------


def test_what_is_downloaded_is_bit_for_bit_what_was_stored(whole: Shared) -> None:
    answer = whole.ask("GET", f"/studies/{FIRST.study}{ZIP}")
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(answer.content)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as found:
        files = [found.read(name) for name in found.namelist()]
    sent = {pydicom.dcmread(io.BytesIO(file)).SOPInstanceUID: file for file in files}
    for one in (*OURS, OTHER_SERIES):
        assert sent[one.instance].endswith(one.dataset())


def test_a_program_in_the_preamble_reaches_no_guest(site: Site) -> None:
    """A file can be an object and a program at once (CVE-2019-11687): out goes the object."""
    programs = (b"MZ", b"\x7fELF", b"#!/bin/sh\n", b"PK\3\4")
    made = [ct(study=3, instance=1 + at, rows=64, columns=64) for at in range(len(programs))]
    for one, magic in zip(made, programs, strict=True):
        assert site.archive.take(magic.ljust(128, b"\x90") + one.part10()[128:])
    theirs = shared(site, offered(site, made[0]), made[0])
    path = f"/studies/{made[0].study}"
    with zipfile.ZipFile(io.BytesIO(theirs.ask("GET", f"{path}{ZIP}").content)) as found:
        files = [found.read(name) for name in found.namelist()]
    for one in made:
        named = f"{path}/series/{one.series}/instances/{one.instance}"
        single = theirs.ask("GET", named, 'multipart/related; type="application/dicom"').content
        files.append(single.partition(b"\r\n\r\n")[2])
    assert len(files) == 2 * len(made)
    assert {file[:132] for file in files} == {bytes(128) + b"DICM"}


def test_pictures_are_downloaded_as_plain_jpeg_with_a_word_of_warning(
    site: Site, whole: Shared, part: Shared
) -> None:
    pictures = f"/studies/{FIRST.study}/rendered{ZIP}"
    answer = whole.ask("GET", pictures)
    assert answer.status_code == 200
    assert f"{FIRST.study}-pictures.zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as found:
        assert found.testzip() is None
        files = {name: found.read(name) for name in found.namelist()}
    told = files.pop("README.TXT").decode("ascii")
    assert "NOT FOR DIAGNOSIS" in told
    assert "4 of 4 objects" in told
    assert sorted(files) == [
        "PICTURES/ST000001/SE000001/IM000001.JPG",
        "PICTURES/ST000001/SE000001/IM000002.JPG",
        "PICTURES/ST000001/SE000001/IM000003.JPG",
        "PICTURES/ST000001/SE000002/IM000001.JPG",
    ]
    for data in files.values():
        assert (data[:3], data[-2:]) == (b"\xff\xd8\xff", b"\xff\xd9")
        assert b"Doe" not in data
    assert whole.ask("HEAD", pictures).content == b""

    # of a part the part; and what may be looked at only is not packed up
    assert part.ask("GET", pictures).status_code == 403
    series = f"/studies/{FIRST.study}/series/{FIRST.series}/rendered"
    with zipfile.ZipFile(io.BytesIO(part.ask("GET", series + ZIP).content)) as found:
        assert len(found.namelist()) == 4
    assert part.ask("GET", series, "application/zip").headers["content-type"] == "application/zip"
    looking = shared(site, offered(site, FIRST, download=False))
    for path in (pictures, series + ZIP, series + "?accept=application%2Fzip"):
        assert looking.ask("GET", path).status_code == 403
    assert looking.ask("GET", series, "image/jpeg").status_code == 200


def test_a_download_that_broke_goes_on_where_it_stopped(whole: Shared) -> None:
    url = f"{whole.site.address.url}{whole.base}/studies/{FIRST.study}{ZIP}"
    first = whole.client.get(url)
    half = len(first.content) // 2
    headers = {"range": f"bytes={half}-", "if-range": first.headers["etag"]}
    rest = whole.client.get(url, headers=headers)
    assert rest.status_code == 206
    assert first.content[:half] + rest.content == first.content


def test_a_search_finds_what_was_shared_and_counts_no_more(part: Shared) -> None:
    found = part.ask("GET", "/studies?includefield=NumberOfStudyRelatedInstances").json()
    assert [one["0020000D"]["Value"] for one in found] == [[FIRST.study]]
    assert found[0]["00201208"]["Value"] == [3]
    for query in ("PatientName=*", "PatientID=P-0002", "StudyInstanceUID=" + FOREIGN.study):
        studies = part.ask("GET", f"/studies?{query}").json()
        assert FOREIGN.study not in str(studies)
    assert len(part.ask("GET", "/series").json()) == 1
    assert len(part.ask("GET", "/instances").json()) == 3


def test_addresses_in_answers_stay_below_the_share(part: Shared) -> None:
    told = part.ask("GET", path_of(FIRST, "studies/{study}/series/{series}/metadata"))
    uris = re.findall(r'"BulkDataURI": ?"([^"]+)"', told.text)
    assert uris
    assert all(uri.startswith(f"{part.site.address.url}{part.base}/studies/") for uri in uris)
    assert part.client.get(uris[0]).status_code == 200


# -- and nothing else ------------------------------------------------------------------------------


@pytest.mark.parametrize("route", NEEDED, ids=lambda r: f"{r[0]} {r[1]}")
def test_every_route_below_a_share_gives_what_was_shared_alone(
    part: Shared, route: tuple[str, str]
) -> None:
    method, names = route
    found = next(one for one in ROUTES if one.path == names)
    own = part.ask(method, path_of(FIRST, names)).status_code
    if method != "GET" or found.name not in SHARED:
        assert own == 403
        return
    if names in ("studies", "series", "instances"):
        assert own == 200
        return
    is_whole_study = "{series}" not in names and found.name not in ("series", "instances")
    assert own == 403 if is_whole_study else own == 200
    for foreign in (FOREIGN, OTHER_SERIES if "{series}" in names else FOREIGN):
        answer = part.ask(method, path_of(foreign, names))
        if found.name in ("series", "instances"):
            assert answer.json() == []
        else:
            assert answer.status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/studies/../../../../dicom-web/studies",
        "/studies/%2e%2e/%2e%2e/studies",
        f"/studies/{FIRST.study}/series/{FIRST.series}/../{OTHER_SERIES.series}",
        f"/studies/{FIRST.study}%2Fseries%2F{OTHER_SERIES.series}",
        f"/studies/{FIRST.study}/series/{OTHER_SERIES.series}/instances/{FIRST.instance}",
        f"/studies/{FOREIGN.study}/series/{FIRST.series}/instances/{FIRST.instance}",
        "/studies/*",
    ],
)
def test_no_way_of_writing_an_address_leads_elsewhere(part: Shared, path: str) -> None:
    url = httpx.URL(part.site.address.url).copy_with(raw_path=f"{part.base}{path}".encode())
    answer = part.client.send(httpx.Request("GET", url))
    assert answer.status_code in (400, 401, 404)


def test_nothing_can_be_stored_below_a_share(part: Shared) -> None:
    url = f"{part.site.address.url}{part.base}/studies"
    headers = {"content-type": multipart_type("application/dicom", "b")}
    answer = part.client.post(url, content=body_of(FOREIGN.part10()), headers=headers)
    assert answer.status_code == 403


def test_what_is_for_looking_only_is_not_given_as_dicom(site: Site) -> None:
    looking = shared(site, offered(site, FIRST, download=False))
    for route in ROUTES:
        if "GET" not in route.methods or route.name not in SHARED:
            continue
        status = looking.ask("GET", path_of(FIRST, route.path)).status_code
        assert status == (200 if route.name in LOOKED_AT else 403), route.path
    pictured = looking.ask("GET", path_of(FIRST, "studies/{study}/series/{series}/rendered") + ZIP)
    assert "zip" not in pictured.headers["content-type"]


def test_the_path_of_a_share_opens_no_door_of_staff(site: Site, whole: Shared) -> None:
    capability = whole.base.split("/")[3]
    cookie = inside(site, offered(site, FIRST)).client.cookies["vna-share"]
    shown: list[dict[str, str]] = [
        {"authorization": f"Bearer {capability}"},
        {"authorization": f"Bearer {cookie}"},
        {"cookie": f"vna={capability}"},
        {"cookie": f"vna={cookie}; vna-share={cookie}"},
    ]
    for headers in shown:
        for method, names in NEEDED:
            url = f"{site.root}{path_of(FIRST, names)}"
            status = whole.client.request(method, url, headers=headers).status_code
            assert status in (401, 403, 404, 429), (method, names)
        for (method, path), whose in PAGES.items():
            if whose in ("all", "nobody", "guest", "start"):  # these are anybody's
                continue
            url = site.address.url + path.replace("{path:path}", "x").replace("{study}", "1.2")
            answer = whole.client.request(method, url, headers=headers)
            led_away = answer.status_code == 303 and answer.headers["location"].startswith("/login")
            assert led_away or answer.status_code in (401, 403, 404, 429), (method, path)


def test_who_is_signed_in_sees_no_more_below_a_share(site: Site, part: Shared) -> None:
    ada = signed_in(site, "ada-below-a-share")
    there = ada.get(f"{part.base}{path_of(FOREIGN, 'studies/{study}/metadata')}")
    assert there.status_code == 404


@pytest.mark.parametrize("capability", ["A" * 43, "short", "ä" * 40, "..", ""])
def test_a_path_that_is_nobodys_is_not_told_what_there_is(site: Site, capability: str) -> None:
    answer = site.client.get(f"{site.address.url}/s/c/{capability}/dicom-web/studies")
    assert answer.status_code in (401, 404, 429)


def test_even_where_everybody_is_the_developer_a_share_is_no_more_than_it_is(
    postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(postgres, tmp_path_factory.mktemp("dev")) as site:
        for one in (*OURS, OTHER_SERIES, FOREIGN):
            site.archive.take(one.part10())
        found = shared(site, offered(site, FIRST))
        assert found.ask("GET", path_of(FOREIGN, "studies/{study}/metadata")).status_code == 404
        assert len(found.ask("GET", "/studies").json()) == 1


# -- until it ends ---------------------------------------------------------------------------------


def test_a_share_that_is_ended_is_closed_within_a_second(site: Site) -> None:
    found = shared(site, offered(site, FIRST))
    assert found.ask("GET", "/studies").status_code == 200
    site.archive.sharing.revoke(site.archive.who, found.offered.share_id, reason="over")
    lets_out_within_a_second(lambda: found.ask("GET", "/studies"))
    assert found.ask("GET", "/studies").status_code in (401, 429)


def test_a_download_that_is_under_way_ends_with_the_share(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_module, "_LOOK_S", 0.0)  # else all may have left before the first
    large = [
        ct(study=9, instance=number, rows=2048, columns=1024, values={"StudyDate": "20260101"})
        for number in range(1, 13)
    ]
    for one in large:
        site.archive.take(one.part10())
    share = offered(site, large[0], studies=frozenset({StudyRef(UID(large[0].study))}))
    guest = inside(site, share)
    base = guest.base(large[0].study)
    url = f"{site.address.url}{base}/studies/{large[0].study}{ZIP}"
    with site.client.stream("GET", url) as answer:
        expected = int(answer.headers["content-length"])
        pieces = answer.iter_raw(1 << 16)
        sizes = [len(next(pieces))]
        site.archive.sharing.revoke(site.archive.who, share.share_id, reason="over")
        ended = dt.datetime.now(dt.UTC)
        until_closed(guest, base)
        with pytest.raises(httpx.RemoteProtocolError):
            sizes.extend(map(len, pieces))
    assert sum(sizes) < expected
    assert dt.datetime.now(dt.UTC) - ended < dt.timedelta(seconds=20)


def test_one_link_has_so_many_answers_under_way_and_no_more(
    site: Site, whole: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_module, "_AT_ONCE", 2)
    large = ct(study=8, rows=4096, columns=4096, values={"StudyDate": "20260101"})
    site.archive.take(large.part10())
    study = StudyRef(UID(large.study))
    share = offered(site, large, studies=frozenset({study}))
    guest, again = inside(site, share), inside(site, share)
    base, other = guest.base(large.study), again.base(large.study)
    url, address = f"{base}/studies/{large.study}{ZIP}", site.address.url
    with ExitStack() as first, ExitStack() as second:
        for stack in (first, second):  # nobody reads: they stay under way
            stack.enter_context(site.client.stream("GET", address + url))
        refused = guest.get(f"{base}/studies")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert again.get(f"{other}/studies").status_code == 503  # opened once more, it is no other
        assert whole.ask("GET", "/studies").status_code == 200  # other links are not concerned
        first.close()
        while guest.get(f"{base}/studies").status_code != 200:
            pass  # the server learns by its next write that nobody is there


def until_closed(guest: Caller, base: str) -> None:
    """Ask until the share is known to be over, as every process comes to know it."""
    while guest.get(f"{base}/studies").status_code == 200:
        pass


def test_what_leaves_is_kept_by_nobody_and_the_path_stands_in_no_log(
    whole: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = whole.ask("GET", path_of(FIRST, "studies/{study}/metadata"))
        whole.ask("GET", path_of(FOREIGN, "studies/{study}/metadata"))
    assert "no-store" in answer.headers["cache-control"]
    assert answer.headers["referrer-policy"] == "no-referrer"
    capability = whole.base.split("/")[3]
    logged = [str(record.__dict__) for record in caplog.records if record.name.startswith("vna")]
    assert not [line for line in logged if capability in line]

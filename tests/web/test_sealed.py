"""Downloads sealed by a passphrase: for guests, patients and staff; shown once, and resumed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest

from tests.conftest import TestPostgres
from tests.factories import Instance, ct
from tests.web.conftest import Site
from tests.web.guests import Caller, inside, offered
from tests.web.patients import BORN, hospital, without_limits
from tests.web.people import bearer, patient_of, signed_in, token_of
from tests.web.test_shared import until_closed
from vna.dicom.refs import UID, SeriesRef
from vna.sharing.values import Purpose, Recipient

VALUES = {**BORN, "StudyDescription": "Chest"}
OURS = [ct(1, 1, n, patient_id="P-1", rows=64, columns=64, values=VALUES) for n in (1, 2, 3)]
OTHER_SERIES = ct(1, 2, patient_id="P-1", values=VALUES)
FOREIGN = ct(2, patient_id="P-9", patient_name="Roe^Rick")
FIRST = OURS[0]
SEVEN = shutil.which("7zz") or shutil.which("7z") or "7zz"


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    held = (*OURS, OTHER_SERIES, FOREIGN)
    with hospital(postgres, tmp_path_factory.mktemp("site"), *held) as found:
        yield found


@pytest.fixture(autouse=True)
def fresh_limits(site: Site) -> None:
    without_limits(site)


def begun(page: httpx.Response) -> tuple[str, str]:
    """Read passphrase and link off the page."""
    assert page.status_code == 200, page.text
    passphrase = re.search(r'class="shown-once" data-text>([0-9a-z-]{23})<', page.text)
    link = re.search(r'href="([^"]+sealed=[\w-]{22})"', page.text)
    assert passphrase is not None
    assert link is not None
    return passphrase[1], unescape(link[1])


def opened(data: bytes, passphrase: str, folder: Path) -> list[bytes]:
    """Open a sealed package with 7-Zip; without its DICOMDIR, which must be there."""
    file = folder / "images.zip"
    file.write_bytes(data)
    refused = subprocess.run([SEVEN, "t", "-pwrong", str(file)], capture_output=True, check=False)
    assert refused.returncode == 2
    done = subprocess.run(
        [SEVEN, "x", f"-p{passphrase}", f"-o{folder / 'out'}", str(file)],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    files = [one for one in (folder / "out").rglob("*") if one.is_file()]
    assert (folder / "out/DICOMDIR") in files
    return sorted(one.read_bytes() for one in files if one.name != "DICOMDIR")


def same(files: list[bytes], instances: list[Instance]) -> bool:
    """Whether these are the files of these instances, bit for bit."""
    sent = [one.dataset() for one in instances]
    return len(files) == len(sent) and all(any(f.endswith(d) for f in files) for d in sent)


def test_a_guest_takes_it_sealed_and_goes_on_where_it_broke(site: Site, tmp_path: Path) -> None:
    gray = inside(site, offered(site, FIRST))
    page = gray.post("/s/sealed", "/s/download", study=FIRST.study)
    passphrase, link = begun(page)
    assert page.headers["cache-control"] == "no-store"
    whole = gray.get(link, accept="*/*")
    assert whole.status_code == 200
    assert int(whole.headers["content-length"]) == len(whole.content)
    assert 'filename="images.zip"' in whole.headers["content-disposition"]
    assert passphrase not in str(whole.headers) + link
    assert same(opened(whole.content, passphrase, tmp_path), [*OURS, OTHER_SERIES])
    for text in (b"DOE", b"Doe", FIRST.study.encode(), b"P-1"):
        assert text not in whole.content

    size, tag = len(whole.content), whole.headers["etag"]
    for start in (1, 4000, size // 2, size - 700, size - 1):
        rest = gray.get(link, accept="*/*", range=f"bytes={start}-", if_range=tag)
        assert rest.status_code == 206
        assert rest.content == whole.content[start:]
    # another package of the same, and the same package asked for by another session
    other_phrase, other_link = begun(gray.post("/s/sealed", "/s/download", study=FIRST.study))
    other = gray.get(other_link, accept="*/*")
    assert (other_phrase, other.headers["etag"]) != (passphrase, tag)
    assert other.content[5000:6000] != whole.content[5000:6000]
    stranger = inside(site, offered(site, FIRST))
    label = link.rpartition("=")[2]
    theirs = stranger.get(
        f"{stranger.base(FIRST.study)}/studies/{FIRST.study}"
        f"?accept=application/zip&dicomdir=true&sealed={label}",
        accept="*/*",
    )
    assert theirs.content[5000:6000] != whole.content[5000:6000]


def test_a_part_that_was_shared_is_sealed_and_nothing_else(site: Site, tmp_path: Path) -> None:
    series = SeriesRef(UID(FIRST.study), UID(FIRST.series))
    share = offered(site, FIRST, studies=frozenset(), series=frozenset({series}))
    gray = inside(site, share)
    assert 'name="series"' in gray.get("/s/download").text
    form = {"study": FIRST.study, "series": FIRST.series}
    passphrase, link = begun(gray.post("/s/sealed", "/s/download", **form))
    assert same(opened(gray.get(link, accept="*/*").content, passphrase, tmp_path), OURS)
    asked = [
        ({"study": FIRST.study}, 403),  # more than was shared
        ({"study": FIRST.study, "series": OTHER_SERIES.series}, 404),
        ({"study": FOREIGN.study}, 404),
        ({"study": "9.9.9"}, 404),
        ({"study": "../x"}, 400),
        ({}, 400),
    ]
    for fields, status in asked:
        answer = gray.post("/s/sealed", "/s/download", **fields)
        assert answer.status_code == status, fields
        assert "shown-once" not in answer.text


def test_a_third_party_is_offered_it_sealed_first_and_who_takes_it_open_is_written_down(
    site: Site,
) -> None:
    def first_of(who: Caller) -> str:
        page = who.get("/s/download").text
        (main,) = re.findall(r'<(?:button|a class="button" [^>]*)>([^<]+)<span', page)
        return str(main)

    doctor = inside(site, offered(site, FIRST))
    assert first_of(doctor) == "Download with a passphrase"
    herself = Recipient(name="Doe, Jane")
    jane = inside(site, offered(site, FIRST, purpose=Purpose.PATIENT_REQUEST, recipient=herself))
    assert first_of(jane) == "Everything as one ZIP file"

    clear = re.search(r'href="([^"]+dicomdir=true)"', doctor.get("/s/download").text)
    assert clear is not None
    assert doctor.get(unescape(clear[1]), accept="*/*").status_code == 200
    _, sealed = begun(doctor.post("/s/sealed", "/s/download", study=FIRST.study))
    assert doctor.get(sealed, accept="*/*").status_code == 200
    with site.archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT detail ->> 'what' FROM audit WHERE kind = 'read' AND study = %s"
            " AND detail ->> 'what' <> 'metadata' ORDER BY id DESC LIMIT 2",
            (FIRST.study,),
        ).fetchall()
    assert [row[0] for row in rows] == ["sealed", "instances"]


def test_what_is_for_looking_only_is_not_sealed_either(site: Site) -> None:
    gray = inside(site, offered(site, FIRST, download=False))
    answer = gray.post("/s/sealed", "/s/home", study=FIRST.study)
    assert answer.status_code == 404
    assert "shown-once" not in answer.text


def test_the_link_is_dead_when_the_share_is(site: Site) -> None:
    share = offered(site, FIRST)
    gray = inside(site, share)
    _, link = begun(gray.post("/s/sealed", "/s/download", study=FIRST.study))
    site.archive.sharing.revoke(site.archive.who, share.share_id, reason="a test")
    until_closed(gray, link.partition("/studies")[0])
    assert gray.get(link, accept="*/*", range="bytes=1000-").status_code in (401, 429)


def test_a_patient_takes_what_is_about_them_sealed(site: Site, tmp_path: Path) -> None:
    jane = patient_of(site, FIRST.study)
    where = f"/my/study/{FIRST.study}"
    assert "Download with a passphrase" in jane.get(where).text
    passphrase, link = begun(jane.post(f"{where}/sealed", where))
    taken = jane.client.get(site.address.url + link, headers={"accept": "*/*"})
    assert same(opened(taken.content, passphrase, tmp_path), [*OURS, OTHER_SERIES])
    foreign = f"/my/study/{FOREIGN.study}/sealed"
    assert jane.post(foreign, where).status_code == 404
    # the trail says that a copy was taken, and how
    with site.archive.database.reading() as conn:
        row = conn.execute(
            "SELECT count(*) FROM audit WHERE kind = 'read' AND study = %s"
            " AND detail->>'what' = 'sealed'",
            (FIRST.study,),
        ).fetchone()
    assert row is not None
    assert row[0] >= 1
    assert "took a copy" in jane.get("/my/access").text


def test_staff_take_it_sealed_and_programs_do_not(site: Site, tmp_path: Path) -> None:
    clerk = signed_in(site, "clerk-sealed", "radiologist")
    where = f"/study/{FIRST.study}"
    passphrase, link = begun(clerk.post(f"{where}/sealed", where))
    taken = clerk.client.get(site.address.url + link, headers={"accept": "*/*"})
    assert same(opened(taken.content, passphrase, tmp_path), [*OURS, OTHER_SERIES])
    for query in ("sealed=short", f"sealed={link[-22:]}&sealed={link[-22:]}", "sealed="):
        asked = f"{link.rpartition('sealed=')[0]}{query}"
        wrong = clerk.client.get(site.address.url + asked, headers={"accept": "*/*"})
        assert wrong.status_code == 400, query
    token = token_of(site, "pacs-sealed", "radiologist")
    program = httpx.get(site.address.url + link, headers={**bearer(token), "accept": "*/*"})
    assert program.status_code == 400
    assert "page" in program.text

"""DELETE, and 410 for everything that was deleted."""

from __future__ import annotations

import itertools
import json
import re
import threading
from pathlib import Path

import pytest

from tests import factories
from tests.conftest import TestPostgres
from tests.web.conftest import Site, serving
from vna.blobs.store import BlobStore
from vna.dicom.refs import StudyRef, uid
from vna.web.dicomweb.routes import ROUTES

_numbers = itertools.count(1)


def stored(site: Site, series: int = 1, count: int = 2) -> list[factories.Instance]:
    study = next(_numbers)
    made = [factories.ct(study, s + 1, i + 1) for s in range(series) for i in range(count)]
    assert site.store(*(one.part10() for one in made)).status_code == 200
    return made


def path(made: factories.Instance, level: str = "study") -> str:
    parts = [f"/studies/{made.study}"]
    if level != "study":
        parts.append(f"/series/{made.series}")
    if level == "instance":
        parts.append(f"/instances/{made.instance}")
    return "".join(parts)


def delete(site: Site, made: factories.Instance, level: str = "study") -> int:
    answer = site.client.delete(site.root + path(made, level))
    if answer.status_code == 204:
        assert answer.content == b""
        assert "content-length" not in answer.headers
    return answer.status_code


def found(site: Site, made: factories.Instance) -> list[str]:
    rows = site.get(f"/instances?StudyInstanceUID={made.study}").json()
    return [row["00080018"]["Value"][0] for row in rows]


@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_deleted_is_204_once_and_410_then(site: Site, level: str) -> None:
    made = stored(site, series=2)
    other = stored(site)
    assert delete(site, made[0], level) == 204
    assert delete(site, made[0], level) == 410
    assert site.get(path(made[0], level)).status_code == 410
    left = {"study": [], "series": made[2:], "instance": made[1:]}[level]
    assert sorted(found(site, made[0])) == sorted(one.instance for one in left)
    assert len(found(site, other[0])) == 2


def test_every_resource_of_a_deleted_study_is_gone(site: Site) -> None:
    made = stored(site)[0]
    delete(site, made)
    names = {"study": made.study, "series": made.series, "instance": made.instance}
    names |= {"frames": "1", "path": "7FE00010"}
    seen = 0
    for route in ROUTES:
        if "{study}" not in route.path or "GET" not in route.methods or _is_search(route.path):
            continue
        url = "/" + re.sub(r"\{(\w+)\}", lambda match: names[match[1]], route.path)
        for method in ("GET", "HEAD"):
            answer = site.client.request(method, site.root + url, headers={"accept": "*/*"})
            assert answer.status_code == 410, route.path
        seen += 1
    assert seen >= 8
    assert site.get(f"/studies/{made.study}/instances").json() == []


def _is_search(route: str) -> bool:
    return route.rpartition("/")[2] in ("series", "instances")


def test_the_uri_service_says_410_too(site: Site) -> None:
    made = stored(site)
    names = {"studyUID": made[0].study, "seriesUID": made[0].series, "objectUID": made[0].instance}
    url = f"{site.address.url}/wado?requestType=WADO&" + "&".join(
        f"{name}={value}" for name, value in names.items()
    )
    for kind in ("application/dicom", "image/jpeg"):
        assert site.client.get(url, params=None, headers={"accept": kind}).status_code == 200
    delete(site, made[0], "instance")
    for kind in ("application/dicom", "image/jpeg"):
        assert site.client.get(url, headers={"accept": kind}).status_code == 410
    other = url.replace(made[0].instance, "1.2.3")
    assert site.client.get(other, headers={"accept": "application/dicom"}).status_code == 404


@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_what_is_held_is_409_and_stays(site: Site, level: str) -> None:
    made = stored(site)
    who, study = site.archive.who, uid(made[0].study)
    site.archive.holds.put(who, study, reason="an inquiry")
    answer = site.client.delete(site.root + path(made[0], level))
    assert (answer.status_code, "is held" in answer.json()["message"]) == (409, True)
    assert len(found(site, made[0])) == len(made)
    site.archive.holds.take(who, study, reason="it is over")
    assert delete(site, made[0], level) == 204


def test_unknown_is_404_and_no_uid_is_400(site: Site) -> None:
    made = factories.ct(next(_numbers))
    assert delete(site, made) == 404
    assert site.get(path(made)).status_code == 404
    assert site.client.delete(f"{site.root}/studies/abc").status_code == 400
    assert site.get("/studies/abc").status_code == 400


def test_a_frame_there_never_was_is_404_even_beside_deleted_instances(site: Site) -> None:
    made = stored(site)
    delete(site, made[0], "instance")
    assert site.get(f"{path(made[1], 'instance')}/frames/9").status_code == 404
    assert site.get(f"{path(made[0], 'instance')}/frames/1").status_code == 410


def test_stored_again_is_new_and_found(site: Site) -> None:
    made = stored(site)
    delete(site, made[0])
    answer = site.store(made[0].part10())
    assert answer.status_code == 200
    assert "00081196" not in answer.json()["00081199"]["Value"][0]
    assert site.get(path(made[0])).status_code == 200
    assert site.get(path(made[1], "instance")).status_code == 410
    assert found(site, made[0]) == [made[0].instance]


def test_brought_back_is_served_again(site: Site) -> None:
    made = stored(site)
    before = site.get(f"{path(made[0])}/metadata").json()
    delete(site, made[0])
    assert site.get(f"{path(made[0])}/metadata").status_code == 410
    site.archive.lifecycle.undelete(site.archive.who, StudyRef(uid(made[0].study)))
    assert site.get(f"{path(made[0])}/metadata").json() == before


def test_a_kept_answer_is_not_good_any_more(site: Site) -> None:
    made = stored(site)[0]
    first = site.get(f"{path(made)}/metadata")
    delete(site, made)
    again = site.get(f"{path(made)}/metadata", if_none_match=first.headers["etag"])
    assert again.status_code == 410


def test_nobody_deletes(postgres: TestPostgres, tmp_path: Path) -> None:
    with serving(postgres, tmp_path, dev=False) as closed:
        made = factories.ct()
        closed.archive.take(made.part10())
        assert delete(closed, made) == 401
        assert json.loads(closed.get(path(made)).content)["error"] == "NotAuthenticated"
        assert (
            len(closed.archive.retrieve.instances(closed.archive.who, StudyRef(uid(made.study))))
            == 1
        )


@pytest.mark.parametrize("what", ["blob", "key"])
def test_what_the_store_has_lost_is_a_fault_of_ours_and_neither_404_nor_410(
    site: Site, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who keeps a copy and is told 404 or 410 removes that, too (PS3.18 8.5)."""
    made, other = stored(site), stored(site)
    located = site.archive.retrieve.instances(site.archive.who, StudyRef(uid(made[0].study)))
    if what == "blob":
        site.archive.store.delete(located[0].blob_id)
    else:
        site.archive.store.keys.destroy(located[0].key_id)
    names = {"studyUID": made[0].study, "seriesUID": made[0].series, "objectUID": made[0].instance}
    asked = "&".join(f"{name}={value}" for name, value in names.items())
    instance = path(made[0], "instance")
    for url in (path(made[0]), instance, f"{instance}/frames/1", f"{instance}/rendered"):
        answer = site.client.get(site.root + url, headers={"accept": "*/*"})
        assert answer.status_code == 500, url
    wado = f"{site.address.url}/wado?requestType=WADO&{asked}"
    assert site.client.get(wado, headers={"accept": "application/dicom"}).status_code == 500
    assert "objects lost" in caplog.text
    assert site.get(path(other[0])).status_code == 200
    assert delete(site, made[0]) == 204
    assert site.get(path(made[0])).status_code == 410


def test_what_is_lost_is_looked_for_beside_what_is_quick(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object store is asked for each object of a study that has no image to be shown."""
    made = stored(site)[0]
    threads: list[str] = []

    def holds(store: BlobStore, blob_id: bytes) -> bool:
        del store, blob_id
        threads.append(threading.current_thread().name)
        return True

    monkeypatch.setattr(BlobStore, "holds", holds)
    frame = site.client.get(f"{site.root}{path(made, 'instance')}/frames/9")
    assert frame.status_code == 404
    assert [name.partition("-")[0] for name in threads] == ["stream"]

"""A correction over HTTP: found, retrieved and rendered corrected, and no old answer is kept."""

from __future__ import annotations

import io
import zipfile

from pydicom import dcmread

from tests.factories import ct
from tests.web.conftest import Site, parts_of
from vna.dicom.refs import uid


def corrected(site: Site, study: str, **changes: str) -> bytes:
    engine = site.archive.corrections
    return engine.correct(site.archive.who, uid(study), changes, reason="Wrong entry").id


def test_every_answer_follows_and_its_tag_too(site: Site) -> None:
    made = ct(1)
    site.store(made.part10())
    study = f"/studies/{made.study}"
    instance = f"{study}/series/{made.series}/instances/{made.instance}"
    asked = {
        f"{study}/metadata": "application/dicom+json",
        instance: "application/dicom; transfer-syntax=*",
        study: 'multipart/related; type="application/dicom"; transfer-syntax=*',
        f"{study}/": "application/zip",
        f"{instance}/rendered": "image/jpeg",
    }
    asked = {path.rstrip("/") + "#" * path.endswith("/"): accept for path, accept in asked.items()}

    def get(path: str, **headers: str) -> tuple[int, str, bytes]:
        answer = site.get(path.rstrip("#"), asked[path], **headers)
        return answer.status_code, answer.headers.get("etag", ""), answer.content

    before = {path: get(path) for path in asked}
    assert {status for status, _, _ in before.values()} == {200}
    one = corrected(site, made.study, PatientID="P-77")
    for path, (_, tag, _) in before.items():
        status, now, _ = get(path, if_none_match=tag)
        assert (status, now != tag) == (200, True), path
    (row,) = site.get("/studies?PatientID=P-77").json()
    assert row["0020000D"]["Value"] == [made.study]
    assert site.get(f"{study}/metadata").json()[0]["00100020"]["Value"] == ["P-77"]
    alone = site.get(instance, asked[instance])
    assert dcmread(io.BytesIO(alone.content)).PatientID == "P-77"
    ((_, file),) = parts_of(site.get(study, asked[study]))
    assert dcmread(io.BytesIO(file)).PatientID == "P-77"
    whole = site.get(study, "application/zip")
    assert int(whole.headers["content-length"]) == len(whole.content)
    with zipfile.ZipFile(io.BytesIO(whole.content)) as archive:
        assert dcmread(io.BytesIO(archive.read(archive.namelist()[0]))).PatientID == "P-77"
    site.archive.corrections.undo(site.archive.who, one, reason="Right after all")
    again = get(instance)
    assert again[2] == before[instance][2] == made.part10()

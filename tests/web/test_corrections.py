"""Corrections over HTTP: every answer follows them, no old one is kept, and staff make them."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from html import unescape

import pytest
from pydicom import dcmread

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.web.conftest import Site, parts_of, serving
from tests.web.guests import coded, offered
from tests.web.people import SHELL, Surfer, people_of, signed_in, withhold
from vna.access.care import Whom
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


# -- pages of staff --------------------------------------------------------------------------------

BORN = {"PatientBirthDate": "19700101", "PatientSex": "F"}
WRONG = ct(1, patient_id="P-1", patient_name="Doe^Jane", values=BORN)
RIGHT = ct(2, patient_id="P-2", patient_name="Roe^Rick", values={**BORN, "PatientSex": "M"})
HIDDEN = ct(3, patient_id="P-3", patient_name="Poe^Paula", values=BORN)
STRAY = ct(4, patient_id="P-1", patient_name="Doe^Jane", values=BORN)
STALE = ct(5, patient_id="P-5", patient_name="Doe^Jnaet", values=BORN)
PAGE, MOVED = (f"/study/{one.study}/correct" for one in (WRONG, STRAY))


@pytest.fixture(scope="module")
def house(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("house"), dev=False) as found:
        for one in (WRONG, RIGHT, HIDDEN, STRAY, STALE):
            found.archive.take(one.part10())
        withhold(found, HIDDEN.study)
        yield found


@pytest.fixture(scope="module")
def clerk(house: Site) -> Surfer:
    return signed_in(house, "clerk", "records-clerk")


def shown(who: Surfer, page: str = PAGE) -> dict[str, str]:
    """What the study shows, by the field of the page."""
    page = unescape(who.get(page).text)
    found = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.partition('id="whose"')[0]))
    return {name: text for name, text in found.items() if name[0].isupper()}


def test_a_clerk_corrects_a_study_sees_who_did_and_undoes_it(house: Site, clerk: Surfer) -> None:
    before = shown(clerk)
    assert before["PatientName"] == "Doe^Jane"
    assert f'href="{PAGE}"' in clerk.get(f"/study/{WRONG.study}").text
    typed = {**before, "AccessionNumber": "A-77", "StudyDescription": "Left <knee>"}
    assert clerk.post(PAGE, act="correct", **typed).status_code == 400  # nobody says why
    kept = clerk.post(PAGE, act="correct", **typed)
    assert "Left &lt;knee&gt;" in kept.text
    why = "The order had another number"
    assert clerk.post(PAGE, act="correct", reason=why, **typed).headers["location"] == PAGE
    assert shown(clerk) == typed
    page = unescape(clerk.get(PAGE).text)
    assert "Accession number: <strong>A-77</strong>" in page
    assert f"Why: {why}" in page
    assert "by clerk" in page
    assert "Name: <strong>" not in page  # what was left as it was is no correction
    again = clerk.post(PAGE, act="correct", reason=why, **typed)
    assert (again.status_code, "shows already" in again.text) == (400, True)
    (number,) = re.findall(r'name="correction" value="(\w{32})"', page)
    assert clerk.post(PAGE, act="undo", correction=number, reason="It was right").status_code == 303
    assert shown(clerk) == before
    assert "Undone" in clerk.get(PAGE).text
    other = f"/study/{RIGHT.study}/correct"
    stray = clerk.post(other, act="undo", correction=number, reason="Another study's")
    assert stray.status_code == 404
    with house.archive.database.reading() as conn:
        rows = conn.execute("SELECT kind, principal FROM audit WHERE kind ~ 'corrected'").fetchall()
    assert set(rows) == {("study.corrected", "clerk"), ("study.uncorrected", "clerk")}


def test_what_a_colleague_corrected_meanwhile_is_not_turned_back(
    house: Site, clerk: Surfer
) -> None:
    """Two have the form open: its untouched fields hold what was wrong before the first sent it."""
    page = f"/study/{STALE.study}/correct"
    opened = {**shown(clerk, page), **was(clerk, page)}
    right = {"PatientName": "Doe^Janet"}
    assert clerk.post(page, act="correct", reason="Misspelt", **{**opened, **right}).is_redirect
    second = {**opened, "AccessionNumber": "A-5"}
    assert clerk.post(page, act="correct", reason="Other order", **second).is_redirect
    assert shown(clerk, page) == shown(clerk, page) | right | {"AccessionNumber": "A-5"}
    third = {**opened, "PatientName": "Doe^Joan", "StudyDescription": "Left knee"}
    late = clerk.post(page, act="correct", reason="Misspelt", **third)
    assert (late.status_code, "corrected this meanwhile" in late.text) == (409, True)
    assert 'name="PatientName" value="Doe^Janet"' in late.text
    assert 'name="StudyDescription" value="Left knee"' in late.text
    assert shown(clerk, page)["StudyDescription"] == opened["StudyDescription"]


@pytest.mark.parametrize(
    ("born", "told"), [("197001", "197001"), ("19700230", "1970-02-30"), ("1970010 ", "1970010")]
)
def test_a_birth_date_that_is_none_is_not_taken_away_by_another_correction(
    house: Site, clerk: Surfer, born: str, told: str
) -> None:
    """A browser's field for dates shows nothing of it, and sends that back (HTML 4.10.5.1.7)."""
    number = 60 + len(told)
    odd = ct(number, patient_id=f"P-{number}", values={"PatientBirthDate": born})
    house.archive.take(odd.part10())
    page = f"/study/{odd.study}/correct"
    text = clerk.get(page).text
    assert 'type="date" name="PatientBirthDate" value=""' in text
    assert f"It shows “{told}”, which is no date." in text
    typed = {**shown(clerk, page), **was(clerk, page), "PatientBirthDate": ""}
    typed["StudyDescription"] = "Left knee"
    assert clerk.post(page, act="correct", reason="Misspelt", **typed).is_redirect
    assert f"born {told}" in clerk.get(page).text
    typed = {**shown(clerk, page), **was(clerk, page), "PatientBirthDate": "1970-01-02"}
    assert clerk.post(page, act="correct", reason="Asked", **typed).is_redirect
    assert "born 1970-01-02" in clerk.get(page).text


def was(who: Surfer, page: str) -> dict[str, str]:
    """What the form says it showed when it was opened."""
    text = unescape(who.get(page).text)
    return dict(re.findall(r'name="(was-\w+)" value="([^"]*)"', text))


def test_a_study_is_moved_after_a_look_at_whose_it_will_be(house: Site, clerk: Surfer) -> None:
    share = offered(house, STRAY, **coded())
    look = clerk.post(MOVED, act="look", PatientID="P-2")
    assert (look.status_code, "Roe, Rick" in look.text, "It was shared" in look.text) == (
        200,
        True,
        True,
    )
    assert shown(clerk, MOVED)["PatientName"] == "Doe^Jane"  # looking moves nothing
    moved = {"act": "move", "PatientID": "P-2", "IssuerOfPatientID": "LOCAL"}
    assert clerk.post(MOVED, **moved).status_code == 400  # nobody says why
    assert clerk.post(MOVED, **moved, reason="Wrong worklist entry").status_code == 303
    assert shown(clerk, MOVED)["PatientName"] == "Roe^Rick"
    assert "suspended" in clerk.get(f"/share/{share.share_id}").text.lower()
    unknown = clerk.post(MOVED, act="look", PatientID="P-9")
    assert "Nobody here has the Patient ID" in unknown.text
    new = {**moved, "PatientID": "P-9", "PatientName": "New^Nora", "PatientBirthDate": "1980-05-06"}
    assert clerk.post(MOVED, **new, reason="Registered just now").status_code == 303
    assert shown(clerk, MOVED)["PatientName"] == "New^Nora"
    assert "born 1980-05-06" in unescape(clerk.get(MOVED).text)


def test_whom_one_may_not_see_is_not_told_by_moving(house: Site, clerk: Surfer) -> None:
    look = clerk.post(PAGE, act="look", PatientID="P-3")
    assert "Nobody here has the Patient ID" in look.text
    assert "Poe" not in look.text
    moved = clerk.post(PAGE, act="move", PatientID="P-3", reason="Trying")
    assert moved.status_code == 404
    assert "Poe" not in moved.text


def test_who_may_not_correct_or_not_see_it_has_no_such_page(house: Site) -> None:
    doctor = signed_in(house, "doctor", "radiologist")
    assert doctor.get(PAGE).status_code == 403
    assert doctor.post(PAGE, "/account", act="correct", reason="x").status_code == 403
    assert PAGE not in doctor.get(f"/study/{WRONG.study}").text
    people_of(house).care.give(
        SHELL, "doctor", Whom(study=uid(WRONG.study)), ground="treating", days=1
    )
    withheld = signed_in(house, "other-clerk", "records-clerk")
    assert withheld.get(f"/study/{HIDDEN.study}/correct").status_code == 404

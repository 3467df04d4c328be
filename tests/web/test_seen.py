"""Whoever is shown on a page what somebody is called leaves a row in the trail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.sharing.test_consents import consent
from tests.web.conftest import Site, serving
from tests.web.guests import offered
from tests.web.people import Surfer, signed_in

BORN = {"PatientBirthDate": "19700101", "PatientSex": "F"}
ONE, OTHER = (
    ct(n, patient_id=f"P-{n}", patient_name="Doe^Jane", values=BORN, rows=8, columns=8)
    for n in (1, 2)
)
NAME = "Doe, Jane"
PAGES = {
    **dict.fromkeys(("/", "/study/{study}", "/study/{study}/share"), "query"),
    **dict.fromkeys(("/study/{study}/consents", "/study/{study}/correct"), "query"),
    **dict.fromkeys(("/patients", "/study/{study}/account"), "identity.seen"),
    "/study/{study}/carers": "identity.seen",
    **dict.fromkeys(("/shares?tab=today", "/shares?tab=all", "/share/{share}"), "share.seen"),
    "/view/{study}": "read",
}


@dataclass(slots=True)
class Desk:
    """A records office, and what was written down of who looked."""

    site: Site
    clerk: Surfer
    share: int

    def kinds(self) -> list[tuple[str, str]]:
        self.site.archive.audit.flush()
        with self.site.archive.database.reading() as conn:
            rows = conn.execute("SELECT kind, principal FROM audit ORDER BY id").fetchall()
        return [(row[0], row[1]) for row in rows]

    def studies(self, kind: str) -> list[str]:
        """The studies that rows of a kind name, each once."""
        self.site.archive.audit.flush()
        with self.site.archive.database.reading() as conn:
            rows = conn.execute(
                "SELECT study, detail->'studies' FROM audit WHERE kind = %s ORDER BY id",
                (kind,),
            ).fetchall()
        named = [one for row in rows for one in (row[1] or [row[0]]) if one]
        return list(dict.fromkeys(named))


@pytest.fixture(scope="module")
def desk(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as site:
        for one in (ONE, OTHER):
            site.archive.take(one.part10())
        who = site.archive.who
        site.archive.sharing.consents.record(who, consent(patient_id="P-1"))
        share = offered(site, ONE).share_id
        yield Desk(site, signed_in(site, "clerk", "records-clerk"), share)


@pytest.mark.parametrize("path", PAGES)
def test_whoever_is_shown_what_somebody_is_called_leaves_a_row(desk: Desk, path: str) -> None:
    before = len(desk.kinds())
    page = desk.clerk.get(path.format(study=ONE.study, share=desk.share))
    assert page.status_code == 200
    assert NAME in page.text or NAME.replace(",", "") in page.text
    assert (PAGES[path], "clerk") in desk.kinds()[before:]


def test_lists_that_show_nobody_leave_none(desk: Desk) -> None:
    before = len(desk.kinds())
    page = desk.clerk.get("/shares?tab=ended")
    assert (page.status_code, NAME in page.text) == (200, False)
    assert desk.kinds()[before:] == []


def test_whoever_looks_at_whose_another_patient_id_is_leaves_a_row_of_that_patient(
    desk: Desk,
) -> None:
    path = f"/study/{ONE.study}/correct"
    page = desk.clerk.post(path, act="look", PatientID="P-2")
    assert (page.status_code, NAME in page.text) == (200, True)
    assert desk.studies("identity.seen") == [OTHER.study]
    page = desk.clerk.post(path, act="look", PatientID="P-3")
    assert page.status_code == 200
    assert desk.studies("identity.seen") == [OTHER.study]


def test_whoever_looks_up_what_somebody_agreed_to_leaves_a_row(desk: Desk) -> None:
    page = desk.clerk.post("/consents", patient="P-1")
    assert (page.status_code, "Yes" in page.text) == (200, True)
    assert ("consent.seen", "clerk") in desk.kinds()
    assert desk.studies("consent.seen") == [ONE.study]

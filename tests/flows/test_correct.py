"""A clerk in a real browser: a study corrected, moved and put right; a rule made, by keyboard."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.flows.test_emergency import page_of
from tests.flows.test_inbox import browser, looked_at
from tests.web.conftest import Site, serving
from tests.web.people import SHELL
from vna.access.remotes import Remote

__all__ = ["browser"]
BORN = {"PatientBirthDate": "19700101", "PatientSex": "F", "StudyDescription": "CT chest"}
WRONG = ct(1, patient_id="P-1", patient_name="Doe^Jane", values=BORN)
RIGHT = ct(2, patient_id="P-2", patient_name="Roe^Rick", values={**BORN, "PatientSex": "M"})


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as site:
        for one in (WRONG, RIGHT):
            site.archive.take(one.part10())
        for title in ("PACS", "READING"):
            site.archive.remotes.add(SHELL, Remote(ae_title=title, host="127.0.0.1", port=104))
        yield site


def test_a_clerk_corrects_and_moves_a_study(site: Site, browser: Browser) -> None:
    page = page_of(site, browser, "clerk", "records-clerk")
    page.goto(f"/study/{WRONG.study}")
    page.get_by_role("link", name="Correct it, or move it").click()
    looked_at(page, "correct")
    page.get_by_label("Accession number").fill("A-4711")
    page.get_by_label("Why", exact=True).fill("The order had another number")
    page.get_by_role("button", name="Correct it", exact=True).click()
    page.get_by_text("Accession number: A-4711").wait_for()
    page.get_by_label("Patient ID of the other").fill("P-2")
    page.get_by_role("button", name="Look who that is").click()
    page.get_by_role("cell", name="Roe, Rick").wait_for()
    looked_at(page, "correct-move")
    page.get_by_label("Why", exact=True).fill("Wrong worklist entry")
    page.get_by_role("button", name="Move it").click()
    page.get_by_text("Patient ID: P-2").wait_for()
    page.get_by_text("Undo it").first.click()
    page.get_by_label("Why it is undone").first.fill("It was theirs after all")
    looked_at(page, "corrected")
    page.get_by_role("button", name="Undo it").first.click()
    page.get_by_text("Undone", exact=True).wait_for()
    page.get_by_label("Patient ID of the other").fill("P-77")
    page.get_by_role("button", name="Look who that is").click()
    page.get_by_text("Nobody here has the Patient ID").wait_for()
    looked_at(page, "correct-unknown")
    page.context.close()


def test_a_rule_is_made_by_the_keyboard_alone(site: Site, browser: Browser) -> None:
    page = page_of(site, browser, "root", "archive-administrator")
    page.goto("/rules")
    looked_at(page, "rules-empty")
    page.get_by_label("What it is called").focus()
    page.keyboard.type("chest")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("CT MR")
    page.keyboard.press("Tab")
    page.keyboard.type("StudyDescription=*chest*")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("rowheader", name="chest").wait_for()
    page.get_by_text("is asked to commit").wait_for()
    looked_at(page, "rules")
    page.get_by_role("link", name="Change chest").click()
    page.get_by_role("heading", name="Change chest").wait_for()
    page.get_by_label("And only what matches").fill("NoSuchThing=1")
    page.get_by_role("button", name="Change it").click()
    page.get_by_role("alert").wait_for()
    looked_at(page, "rules-refused")
    (rule,) = site.archive.routes.all(SHELL)
    assert (rule.remote, rule.commit) == ("READING", True)
    page.context.close()

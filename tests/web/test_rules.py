"""The page of rules: added, changed, refused in words, removed; what it says is what is sent on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.web.conftest import Site, serving
from tests.web.people import SHELL, Surfer, signed_in
from vna.access.remotes import Remote

PAGE = "/rules"
CHEST = {"name": "chest", "to": "ae:PACS", "modality": "ct, MR", "keys": "StudyDescription=*chest*"}


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as found:
        yield found


@pytest.fixture(scope="module")
def admin(site: Site) -> Surfer:
    found = signed_in(site, "root", "archive-administrator")
    assert "vna remote add" in found.get(PAGE).text  # nobody is known yet
    for title in ("PACS", "OTHER"):
        site.archive.remotes.add(SHELL, Remote(ae_title=title, host="127.0.0.1", port=1))
    return found


def jobs(site: Site) -> int:
    with site.archive.database.reading() as conn:
        row = conn.execute("SELECT count(*) FROM job_item").fetchone()
    return int(row[0]) if row else 0


def test_a_rule_is_added_sends_is_changed_and_removed(site: Site, admin: Surfer) -> None:
    assert admin.post(PAGE, act="put", **CHEST).headers["location"] == PAGE
    page = unescape(admin.get(PAGE).text)
    assert "<code>Modality=CT\\MR</code><br><code>StudyDescription=*chest*</code>" in page
    site.archive.take(ct(1, values={"StudyDescription": "A chest"}).part10())
    site.archive.take(ct(2, values={"StudyDescription": "A knee"}).part10())
    assert jobs(site) == 1
    form = unescape(admin.get(f"{PAGE}?change=chest").text)
    typed = re.findall(r'name="(name|callers)" value="([^"]*)"', form.partition("Change chest")[2])
    assert dict(typed)["name"] == "chest"
    assert "Modality=CT\\MR\nStudyDescription=*chest*" in form
    changed = {**CHEST, "modality": "", "keys": "", "callers": "CT1, CT2", "to": "ae:OTHER"}
    assert admin.post(PAGE, act="put", commit="on", **changed).status_code == 303
    (rule,) = site.archive.routes.all(SHELL)
    assert (rule.remote, rule.callers, rule.keys, rule.commit) == (
        "OTHER",
        ("CT1", "CT2"),
        (),
        True,
    )
    asked = admin.post(PAGE, act="remove", name="chest")  # one wrong click removes nothing
    assert asked.status_code == 200
    assert "Remove the rule chest?" in asked.text
    assert "is not sent to OTHER by it" in asked.text
    assert site.archive.routes.all(SHELL) == [rule]
    assert admin.post(PAGE, act="remove", name="chest", sure="yes").status_code == 303
    assert site.archive.routes.all(SHELL) == []
    assert "There is no rule" in admin.get(PAGE).text
    with site.archive.database.reading() as conn:
        rows = conn.execute("SELECT kind, principal FROM audit WHERE kind ~ '^route'").fetchall()
    assert rows == [(f"route.{act}", "root") for act in ("added", "changed", "removed")]


@pytest.mark.parametrize(
    ("differs", "status", "words"),
    [
        ({"name": "a b"}, 400, "letters, digits, dots and hyphens"),
        ({"to": "ae:NOBODY"}, 404, "There is no remote AE NOBODY"),
        ({"to": ""}, 400, "leads to one remote AE or to one DICOMweb archive"),
        ({"keys": "NoSuchThing=1"}, 400, "no dictionary has"),
        ({"keys": "StudyDescription"}, 400, "ATTRIBUTE=VALUE"),
        ({"callers": "PACS"}, 400, "back to where it came from"),
    ],
)
def test_what_is_no_rule_is_refused_and_stays_typed(
    site: Site, admin: Surfer, differs: dict[str, str], status: int, words: str
) -> None:
    answer = admin.post(PAGE, act="put", **{**CHEST, **differs})
    assert answer.status_code == status
    page = unescape(answer.text)
    assert words in page
    for typed in {**CHEST, **differs}.values():
        assert typed.removeprefix("ae:") in page
    assert site.archive.routes.all(SHELL) == []


def test_who_may_not_manage_sees_no_rules(site: Site) -> None:
    clerk = signed_in(site, "clerk", "records-clerk")
    assert clerk.get(PAGE).status_code == 403
    assert clerk.post(PAGE, "/account", act="put", **CHEST).status_code == 403
    assert 'href="/rules"' not in clerk.get("/").text

"""`vna label`, `vna care` and `vna emergency`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Vna


@pytest.mark.usefixtures("held")
def test_labels_are_set_listed_and_removed(vna: Vna, archive: Path) -> None:
    at = ("--data", archive)
    done = vna("label", "set", "1.2.3", "sensitive", "--reason", "a colleague", *at)
    assert (done.returncode, "1.2.3 is sensitive" in done.stdout) == (0, True)
    words = ("--reason", "not told yet", "--until", "2999-01-01T08:00+01:00")
    assert vna("label", "set", "1.2.3", "embargoed", *words, *at).returncode == 0
    listed = json.loads(vna("label", "list", "1.2.3", "--json", *at).stdout)
    assert {(one["label"], one["until"]) for one in listed} == {
        ("sensitive", None),
        ("embargoed", "2999-01-01T07:00:00+00:00"),
    }
    assert "embargoed until 2999-01-01 07:00 UTC" in vna("label", "list", *at).stdout
    assert vna("label", "remove", "1.2.3", "sensitive", *at).returncode == 0
    again = vna("label", "remove", "1.2.3", "sensitive", *at)
    assert (again.returncode, "does not have" in again.stderr) == (1, True)
    wrong = vna("label", "set", "1.2.3", "embargoed", "--reason", "x", "--until", "soon", *at)
    assert (wrong.returncode, "2026-12-24T08:00" in wrong.stderr) == (1, True)


@pytest.mark.usefixtures("held")
def test_what_is_held_is_not_deleted_until_it_is_let_go(vna: Vna, archive: Path) -> None:
    at, why = ("--data", archive), ("--reason", "an inquiry")
    done = vna("hold", "set", "1.2.3", "--until", "2999-01-01T08:00+01:00", *why, *at)
    assert (done.returncode, done.stdout) == (
        0, "1.2.3 is held: nothing of it can be deleted\n"
    )  # fmt: skip
    (listed,) = json.loads(vna("hold", "list", "--json", *at).stdout)
    assert (listed["study"], listed["reason"]) == ("1.2.3", "an inquiry")
    assert listed["until"] == "2999-01-01T07:00:00+00:00"
    assert "held until 2999-01-01 07:00 UTC" in vna("hold", "list", "1.2.3", *at).stdout
    lifted = vna("hold", "lift", "1.2.3", *why, *at)
    assert (lifted.returncode, lifted.stdout) == (0, "1.2.3 is not held any more\n")
    again = vna("hold", "lift", "1.2.3", *why, *at)
    assert (again.returncode, "not held" in again.stderr) == (1, True)


@pytest.mark.usefixtures("held")
def test_relations_are_added_listed_and_ended(vna: Vna, archive: Path) -> None:
    at = ("--data", archive)
    vna("user", "add", "ref", "--role", "referring", *at)
    added = vna("care", "add", "ref", "--patient", "P1", "--days", "7", *at)
    assert added.stdout.startswith("relation 1: ref sees it for 7 days")
    vna("care", "add", "ref", "--study", "1.2.3", "--ground", "consulted", *at)
    listed = json.loads(vna("care", "list", "ref", "--json", *at).stdout)
    assert [(one["study"], one["issuer"], one["patient_id"]) for one in listed] == [
        (None, "LOCAL", "P1"),
        ("1.2.3", None, None),
    ]
    assert vna("care", "end", "1", *at).returncode == 0
    assert vna("care", "end", "1", *at).returncode == 1
    assert "ref, consulted: study 1.2.3" in vna("care", "list", *at).stdout


@pytest.mark.usefixtures("held")
def test_emergencies_are_listed(vna: Vna, archive: Path) -> None:
    at = ("--data", archive)
    assert json.loads(vna("emergency", "list", "--all", "--json", *at).stdout) == []
    assert vna("emergency", "list", *at).stdout == ""
    missing = vna("emergency", "review", "7", "ok", *at)
    assert (missing.returncode, "does not exist" in missing.stderr) == (1, True)
    assert vna("emergency", "end", "7", *at).returncode == 1

"""`vna patient`: the worklist, a patient, decisions, with the archive stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Vna
from tests.factories import ct

WHY = ("--reason", "Asked the patient")


@pytest.mark.usefixtures("held")
def test_shown_linked_parted_and_put_off(vna: Vna, archive: Path, tmp_path: Path) -> None:
    at = ("--data", archive)
    for number, name in ((1, "Doe^Jane"), (2, "Doe^Jane"), (3, "Roe^Rita")):
        file = tmp_path / f"{number}.dcm"
        file.write_bytes(ct(number, patient_id=f"P-{number}", patient_name=name).part10())
    assert vna("import", tmp_path, *at).returncode == 0
    (found,) = json.loads(vna("patient", "work", "--json", *at).stdout)["work"]
    assert (found["rule"], found["evidence"]["birth date"]) == ("R5", "equal")
    first, second = found["first"]["identity"], found["second"]["identity"]
    assert vna("patient", "defer", first, second, *at).returncode == 0
    assert "R5  deferred" in vna("patient", "work", *at).stdout
    linked = vna("patient", "link", first, second, *WHY, *at)
    assert linked.stdout.startswith("linked; look at what was shared of:\n")
    assert linked.stdout.count("2.25.4711.") == 2
    assert vna("patient", "work", *at).stdout == "nothing waits\n"
    (person,) = json.loads(vna("patient", "show", "P-2", "--json", *at).stdout)
    assert {one["patient_id"] for one in person["identities"]} == {"P-1", "P-2"}
    assert person["decisions"][0]["reason"] == WHY[1]
    died = vna("patient", "deceased", first, "20200101", *WHY, *at)
    assert died.returncode == 0, died.stderr
    assert "R9  study" in vna("patient", "work", *at).stdout
    assert vna("patient", "part", first, second, *WHY, *at).stdout.startswith("apart;")
    shown = vna("patient", "show", "P-2", *at).stdout
    assert "identity-link by shell:" in shown
    assert len(json.loads(vna("patient", "show", "P-2", "--json", *at).stdout)) == 1


@pytest.mark.usefixtures("held")
def test_what_a_patient_is_called_does_nothing_to_a_terminal(
    vna: Vna, archive: Path, tmp_path: Path
) -> None:
    """A name may hold what moves a cursor, sets a title, or answers as if somebody had typed."""
    at = ("--data", archive)
    for number in (1, 2):
        name = "Doe\x1b]0;title\x07\x9b2J^Jane"
        utf8 = {"00080005": "ISO_IR 192"}
        made = ct(number, patient_id=f"P\x1b[2J{number}", patient_name=name, values=utf8)
        (tmp_path / f"{number}.dcm").write_bytes(made.part10())
    assert vna("import", tmp_path, *at).returncode == 0
    for act in (("work",), ("show", "P\x1b[2J1")):
        shown = vna("patient", *act, *at).stdout
        assert "Doe\ufffd]0;title" in shown
        assert all(sign.isprintable() or sign == "\n" for sign in shown)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["show", "NOBODY"], "no such patient"),
        (["link", "00", "01", *WHY], "no such identity"),
        (["link", "zz", "01", *WHY], "digits"),
        (["defer", "00", "01"], "do not wait"),
        (["deceased", "00", "yesterday", *WHY], "YYYYMMDD"),
        (["deceased", "00", "none", "--reason", " "], "Say why"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    vna: Vna, standing: Path, words: list[str], says: str
) -> None:
    done = vna("patient", *words, "--data", standing)
    assert done.returncode in (1, 2)
    assert says in done.stderr

"""`vna route` and `vna peer`: rules and those they lead to, with the archive stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Vna
from tests.factories import ct


@pytest.mark.usefixtures("held")
def test_added_listed_tried_changed_and_removed(vna: Vna, archive: Path, tmp_path: Path) -> None:
    at = ("--data", archive)
    vna("remote", "add", "PACS", "pacs.example", "104", *at)
    words = ["--modality", "CT", "--modality", "MR", "--match", "StudyDescription=*chest*"]
    added = vna("route", "add", "chests", "--to", "PACS", "--from", "CT1", *words, *at)
    says = "to AE PACS, from CT1, Modality=CT\\MR, StudyDescription=*chest*"
    assert (added.returncode, added.stdout) == (0, f"chests added: {says}\n")
    assert json.loads(vna("route", "list", "--json", *at).stdout) == [
        {
            "name": "chests",
            "remote": "PACS",
            "peer": None,
            "callers": ["CT1"],
            "keys": ["Modality=CT\\MR", "StudyDescription=*chest*"],
            "commit": False,
        }
    ]
    changed = vna("route", "add", "chests", "--to", "PACS", "--match", "Modality=CT", *at)
    assert changed.stdout == "chests changed: to AE PACS, Modality=CT\n"
    assert "chests" in vna("route", "list", *at).stdout
    file = tmp_path / "one.dcm"
    file.write_bytes(ct(1).part10())
    assert vna("import", file, *at).returncode == 0
    tried = vna("route", "test", ct(1).study, *at)
    assert "chests            1 of 1 instances, to PACS" in tried.stdout
    back = vna("route", "test", ct(1).study, "--from", "PACS", *at)
    assert "0 of 1 instances" in back.stdout
    assert "route:chests" in vna("jobs", "list", "--json", *at).stdout
    assert vna("route", "remove", "chests", *at).stdout == "chests removed\n"
    assert "no rule" in vna("route", "list", *at).stdout


@pytest.mark.usefixtures("held")
def test_a_peer_with_its_token_from_a_file(vna: Vna, archive: Path, tmp_path: Path) -> None:
    at = ("--data", archive)
    token = tmp_path / "token"
    token.write_text("canary-4711\n")
    url = "https://pacs.example/dicom-web"
    added = vna("peer", "add", "cloud", url, "--token-file", token, *at)
    assert added.stdout == f"cloud added: {url}, with a token\n"
    assert vna("route", "add", "all", "--to-peer", "cloud", *at).returncode == 0
    listed = vna("peer", "list", "--json", *at).stdout
    assert json.loads(listed)[0]["token"] is True
    assert "canary" not in listed + vna("peer", "list", *at).stdout
    held = vna("peer", "remove", "cloud", *at)
    assert (held.returncode, "rule" in held.stderr) == (1, True)
    vna("route", "remove", "all", *at)
    assert vna("peer", "remove", "cloud", *at).stdout == "cloud removed\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["route", "add", "r"], "--to"),
        (["route", "add", "r", "--to", "NOBODY"], "remote AE NOBODY"),
        (["route", "add", "r", "--to", "A", "--match", "Nonsense=1"], "dictionary"),
        (["route", "test", "1.2.3"], "nothing here"),
        (["peer", "add", "p", "http://pacs.example/"], "https"),
        (["peer", "add", "p", "https://x/", "--token-file", "/nowhere"], "cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    vna: Vna, standing: Path, words: list[str], says: str
) -> None:
    done = vna(*words, "--data", standing)
    assert done.returncode in (1, 2)
    assert says in done.stderr

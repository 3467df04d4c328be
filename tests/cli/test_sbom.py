"""The software bill of materials names everything that is locked, and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.cli.serving import ROOT
from vna.cli.sbom import bill
from vna.errors import ConfigError

LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_everything_that_is_locked_stands_in_it_with_its_hashes() -> None:
    found = bill(LOCK)
    pinned = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", LOCK, re.MULTILINE))
    assert {one["name"]: one["version"] for one in found["components"]} == pinned
    assert sum(len(one["hashes"]) for one in found["components"]) == LOCK.count("--hash=sha256:")
    assert all(one["hashes"] for one in found["components"])
    assert found["dependencies"][0]["dependsOn"] == [one["purl"] for one in found["components"]]


def test_licences_are_told_as_packages_tell_them() -> None:
    licences = {one["name"]: one.get("licenses") for one in bill(LOCK)["components"]}
    assert licences["starlette"] == [{"license": {"name": "BSD-3-Clause"}}]


def test_it_is_printed_as_json_the_same_each_time() -> None:
    words = [sys.executable, "-m", "vna.cli.sbom", "requirements.lock"]
    first, second = (subprocess.check_output(words, cwd=ROOT, text=True) for _ in range(2))
    assert first == second
    assert json.loads(first)["bomFormat"] == "CycloneDX"


def test_a_file_that_pins_nothing_is_refused() -> None:
    with pytest.raises(ConfigError):
        bill("# nothing\n")

"""The data folder's lock: `serve` and `reindex` alone, others together or beside `serve`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vna.db import runlock
from vna.errors import ConfigError

_HOLD = """
import os, pathlib, sys
from vna.db import runlock
with runlock.held(pathlib.Path(sys.argv[1]), sys.argv[2], exclusive=sys.argv[3] == "alone"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runlock, "_PATIENCE_S", 0.0)


def test_what_must_be_alone_waits_for_nobody_who_lives(data: Path) -> None:
    with holding(data, "serve", "alone") as other:
        with (
            pytest.raises(ConfigError, match=f"`vna serve` .process {other.pid}"),
            runlock.held(data, "reindex", exclusive=True),
        ):
            pass
        other.communicate("\n")
    with runlock.held(data, "reindex", exclusive=True):
        pass


def test_others_work_beside_serve(data: Path) -> None:
    with holding(data, "serve", "alone") as other:
        with runlock.held(data, "status", exclusive=False):
            pass
        other.communicate("\n")


def test_others_do_not_work_beside_reindex(data: Path) -> None:
    with holding(data, "reindex", "alone") as other:
        with (
            pytest.raises(ConfigError, match="vna reindex"),
            runlock.held(data, "status", exclusive=False),
        ):
            pass
        other.communicate("\n")


def test_others_work_together_and_keep_out_what_must_be_alone(data: Path) -> None:
    with holding(data, "import", "shared") as other:
        with runlock.held(data, "status", exclusive=False):
            pass
        with (
            pytest.raises(ConfigError, match="another command"),
            runlock.held(data, "serve", exclusive=True),
        ):
            pass
        other.communicate("\n")


def test_the_lock_of_a_killed_process_is_free(data: Path) -> None:
    with holding(data, "serve", "alone") as other:
        assert runlock.holder(data) == ("serve", other.pid)
        other.kill()
        other.communicate()
    assert runlock.holder(data) is None
    with runlock.held(data, "reindex", exclusive=True):
        assert runlock.holder(data) is not None


def test_nobody_holds_a_folder_without_a_lock(tmp_path: Path) -> None:
    assert runlock.holder(tmp_path) is None
    with (
        pytest.raises(ConfigError, match="cannot be opened"),
        runlock.held(tmp_path, "serve", exclusive=True),
    ):
        pass


def holding(data: Path, command: str, how: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(data), command, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child

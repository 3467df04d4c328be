"""Standard streams: closed by whoever starts a command, or on a full disk."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.serving import ROOT, command
from tests.dimse.edge import wait_for

_LEFT_OPEN = """
import os, sys
from vna.cli.main import main
code = main(sys.argv[1:])
report = os.open(os.environ["REPORT"], os.O_WRONLY)
streams = [os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)]
given_on = [os.get_inheritable(number) for number in (0, 1, 2)]
os.write(report, repr((code, report > 2, streams, given_on)).encode())
"""


def shell(words: list[str], redirected: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", f"{shlex.join(words)} {redirected}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "", **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("redirected", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_traceback(data: Path, redirected: str) -> None:
    done = shell(command("role", "list", "--data", data), redirected)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_file_gets_the_number_of_a_closed_stream(data: Path, tmp_path: Path) -> None:
    """What a child writes to its standard error would go into a blob, or down a connection."""
    report = tmp_path / "report"
    report.touch()
    words = [*command()[:-2], "-c", _LEFT_OPEN, "role", "list", "--data", str(data)]
    shell(words, "<&- >&- 2>&-", REPORT=str(report))
    assert report.read_text() == repr((0, True, ["/dev/null"] * 3, [True] * 3))


def test_what_cannot_be_printed_is_one_sentence_and_exit_code_one(data: Path) -> None:
    done = shell(command("role", "list", "--data", data), "> /dev/full")
    assert (done.returncode, done.stderr) == (1, "vna: No space left on device.\n")


def test_an_archive_serves_though_the_disk_of_its_log_is_full(data: Path) -> None:
    """It had ended with its first line: after a restart nothing would have been taken in."""
    words = ["-m", "vna", "serve", "--dev", "--data", str(data), "--workers", "1"]
    with (
        Path("/dev/full").open("wb") as full,
        subprocess.Popen(
            [sys.executable, *words, "--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0"],
            cwd=ROOT,
            stdout=full,
            stderr=full,
        ) as serving,
    ):
        state = data / "run" / "serve.json"
        wait_for(lambda: serving.poll() is not None or state.exists())
        was_ended = serving.poll()
        serving.terminate()
        serving.wait(60)
    assert was_ended is None

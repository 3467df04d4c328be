"""The command line: help, settings, exit codes."""

from __future__ import annotations

import argparse
import errno
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Vna
from tests.cli.serving import ROOT, command, run
from vna import __version__
from vna.cli.main import COMMANDS, _parser, main

NAMES = [command.name for command in COMMANDS]


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(f"    {name}" in text for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_and_the_common_flags(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "--data DIR" in text
    assert "--config FILE" in text


def without_help(parser: argparse.ArgumentParser, name: str) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield from without_help(inner, f"{name} {word}")
        elif not action.help:
            yield f"{name} {action.dest}"


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_says_what_it_is(name: str) -> None:
    parser, _ = _parser(name)
    (words,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    assert list(without_help(words.choices[name], name)) == []


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().out


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"vna {__version__}\n"


@pytest.mark.parametrize("words", [["nonsense"], ["init", "--nonsense"], ["import"]])
def test_wrong_arguments_are_exit_code_two(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2


def test_the_help_needs_no_part_of_the_archive() -> None:
    assert "vna.app" not in run("--help", PYTHONVERBOSE="1").stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[http]\nlisten = 'nowhere'", "HOST:PORT"),
        ("[http]\nlissten = '127.0.0.1:1'", "http.lissten"),
        ("[http", "cannot be read"),
    ],
)
def test_a_wrong_configuration_is_one_sentence_and_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    (tmp_path / "vna.toml").write_text(text)
    words = ["serve", "--config", str(tmp_path / "vna.toml"), "--data", str(tmp_path / "data")]
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("vna: ")
    assert told.err.count("\n") == 1
    assert says in told.err


def test_flags_win_over_variables_and_those_over_the_file(vna: Vna, tmp_path: Path) -> None:
    config = tmp_path / "vna.toml"
    config.write_text("[http]\nlisten = '0.0.0.0:1'\n[dicom]\nlisten = '0.0.0.0:1'\n")
    variables = {"VNA_CONFIG": str(config), "VNA_HTTP_LISTEN": "0.0.0.0:2"}
    assert "http.listen is 0.0.0.0:2" in vna("serve", "--dev", **variables).stderr
    flagged = vna("serve", "--dev", "--http", "127.0.0.1:0", **variables).stderr
    assert "dicom.listen is 0.0.0.0:1" in flagged


@pytest.mark.parametrize("word", ["status", "verify", "reindex", "associations"])
def test_a_command_on_no_archive_makes_nothing(vna: Vna, data: Path, word: str) -> None:
    done = vna(word, "--data", data)
    assert done.returncode == 2
    assert done.stderr == f"vna: There is no archive in {data} yet; make one with `vna init`.\n"
    assert not data.exists()


def test_a_relative_data_folder_is_below_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["status", "--data", "here"]) == 2
    assert str(tmp_path / "here") in capsys.readouterr().err


def test_a_working_directory_that_is_gone_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["status"]) == 2
    assert "working directory" in capsys.readouterr().err


def test_a_full_disk_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, vna: Vna, archive: Path
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)  # the name of who holds the lock
    done = vna("reindex", "--data", archive)
    assert (done.returncode, done.stderr) == (1, "vna: No space left on device.\n")


def test_a_closed_pipe_is_no_traceback(data: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        command("doctor", "--data", data), cwd=ROOT, stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_start_that_fails_leaves_nothing_behind_in_its_process(vna: Vna, tmp_path: Path) -> None:
    """Metrics look at the environment: a folder nobody counts in would be read for all of them."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        done = vna("serve", "--dev", "--data", tmp_path / "data", "--http", where)
    assert done.returncode == 2, done.stderr
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ

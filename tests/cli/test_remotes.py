"""`vna remote`: who may call and who is called, with the archive at work or stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Vna
from tests.cli.serving import serving
from tests.dimse.edge import wait_for
from vna.dimse.scu import Requestor
from vna.errors import Unavailable


def test_added_listed_changed_and_removed_while_it_is_stopped(vna: Vna, archive: Path) -> None:
    at = ("--data", archive)
    added = vna("remote", "add", "PACS", "pacs.example", "104", *at)
    assert (added.returncode, added.stdout) == (
        0,
        "PACS added: pacs.example:104, may store find move\n",
    )
    words = ["--may", "find,move", "--destination", "WS", "--tls", "--parallel", "4"]
    words += ["--transfer-syntax", "1.2.840.10008.1.2.4.90", "--character-set", "ISO_IR 192"]
    words += ["--issuer", "CITY", "--max-associations", "9"]
    changed = vna("remote", "add", "PACS", "10.0.0.1", "11112", *words, *at)
    assert changed.stdout.startswith("PACS changed: 10.0.0.1:11112, may find move, TLS")
    listed = json.loads(vna("remote", "list", "--json", *at).stdout)
    assert listed == [
        {
            "ae_title": "PACS",
            "host": "10.0.0.1",
            "port": 11112,
            "tls": True,
            "may_store": False,
            "may_find": True,
            "may_move": True,
            "destinations": ["WS"],
            "character_set": "ISO_IR 192",
            "transfer_syntaxes": ["1.2.840.10008.1.2.4.90"],
            "patient_id_issuer": "CITY",
            "max_associations": 9,
            "parallel": 4,
            "offered_as": None,
        }
    ]
    assert "PACS" in vna("remote", "list", *at).stdout
    assert vna("remote", "remove", "PACS", *at).stdout == "PACS removed\n"
    assert "no remote AE" in vna("remote", "list", *at).stdout
    again = vna("remote", "remove", "PACS", *at)
    assert (again.returncode, again.stderr) == (1, "vna: There is no remote AE of this title.\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["BACK\\SLASH", "host", "104"], "AE title"),
        (["PACS", "host", "0"], "port"),
        (["PACS", "host", "104", "--may", "fly"], "'fly'"),
        (["PACS", "host", "104", "--transfer-syntax", "jpeg"], "Transfer Syntax"),
        (["PACS", "host", "104", "--character-set", "ISO_IR 999"], "ISO_IR 192"),
    ],
)
def test_what_no_remote_can_be_is_refused_in_words(
    vna: Vna, standing: Path, words: list[str], says: str
) -> None:
    done = vna("remote", "add", *words, "--data", standing)
    assert done.returncode in (1, 2)
    assert says in done.stderr


def test_a_running_archive_lets_in_who_was_added(vna: Vna, archive: Path) -> None:
    with serving(archive, dev=False) as server:
        host, port = server.state()["dicom"].split(":")
        contexts = [("1.2.840.10008.1.1", ["1.2.840.10008.1.2"])]

        def call() -> int:
            with Requestor(
                host, int(port), calling="CT1", called="VNA", contexts=contexts
            ) as remote:
                return remote.echo()

        with pytest.raises(Unavailable, match="1/1/3"):
            call()
        # it calls itself here: the archive is a remote AE like any other
        for name in ("VNA", "CT1"):
            done = vna("remote", "add", name, host, port, "--data", archive)
            assert done.returncode == 0, done.stderr
        wait_for(lambda: _is_let_in(call))
        echoed = vna("remote", "echo", "VNA", "--data", archive)
        assert echoed.returncode == 0, echoed.stderr
        assert echoed.stdout.startswith(f"VNA at {host}:{port} answers in ")


def _is_let_in(call: Callable[[], int]) -> bool:
    try:
        return call() == 0
    except Unavailable:
        return False  # workers look again every two seconds


@pytest.mark.usefixtures("held")
def test_who_does_not_answer_an_echo_is_exit_code_one(vna: Vna, archive: Path) -> None:
    vna("remote", "add", "AWAY", "127.0.0.1", "1", "--data", archive)
    done = vna("remote", "echo", "AWAY", "--data", archive)
    assert (done.returncode, done.stderr) == (1, "vna: The remote AE cannot be reached.\n")
    unknown = vna("remote", "echo", "NOBODY", "--data", archive)
    assert unknown.returncode == 1
    assert "no remote AE NOBODY" in unknown.stderr

"""`vna send` and `vna jobs`: studies to remote AEs, while the archive serves or not."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, evt

from tests.cli.conftest import Vna
from tests.cli.serving import serving
from tests.dimse.edge import wait_for
from tests.factories import CT, EXPLICIT, ct
from tests.flows.serving import free_port
from vna.access.principal import system
from vna.access.remotes import Remote
from vna.app import at_work
from vna.cli.jobs import board_of
from vna.db.work import State
from vna.delivery.channels import email
from vna.dicom.refs import uid
from vna.loading import load

STUDY = ct(1).study


@contextmanager
def destination(port: int, *, status: int = 0) -> Iterator[list[str]]:
    """A Storage SCP; it collects the SOP Instance UIDs that came."""
    came: list[str] = []

    def store(event: Any) -> int:
        came.append(str(event.request.AffectedSOPInstanceUID))
        return status

    ae = AE(ae_title="DEST")
    ae.add_supported_context(CT, EXPLICIT)
    handlers = [(evt.EVT_C_STORE, store)]
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield came
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def filled(vna: Vna, archive: Path, tmp_path: Path) -> Path:
    """An archive of a study of three instances."""
    for number in (1, 2, 3):
        (tmp_path / f"{number}.dcm").write_bytes(ct(1, 1, number).part10())
    done = vna("import", tmp_path, "--data", archive)
    assert done.returncode == 0, done.stderr
    return archive


def test_a_stopped_archive_sends_while_it_is_waited_for(vna: Vna, filled: Path) -> None:
    at, port = ("--data", filled), free_port()
    vna("remote", "add", "DEST", "127.0.0.1", str(port), *at)
    with destination(port) as came:
        done = vna("send", STUDY, "DEST", "--wait", *at)
    assert done.returncode == 0, done.stderr
    assert "job 1: `vna jobs show 1`" in done.stdout
    assert "done: 3 of 3 instances sent" in done.stdout
    assert sorted(came) == [ct(1, 1, number).instance for number in (1, 2, 3)]


@pytest.mark.usefixtures("held")
def test_what_is_refused_is_told_with_its_cause(vna: Vna, filled: Path) -> None:
    at, port = ("--data", filled), free_port()
    vna("remote", "add", "DEST", "127.0.0.1", str(port), *at)
    with destination(port, status=0xA900):
        done = vna("send", STUDY, "DEST", "--wait", *at)
    assert done.returncode == 1
    assert "failed: 0 of 3 instances sent" in done.stdout
    assert "3 of 3 instances were not taken." in done.stdout


@pytest.mark.usefixtures("held")
def test_a_job_that_waits_is_listed_shown_cancelled_and_asked_for_again(
    vna: Vna, filled: Path
) -> None:
    at = ("--data", filled)
    assert vna("jobs", *at).stdout == "no jobs\n"
    vna("remote", "add", "DEST", "127.0.0.1", "104", *at)
    assert vna("send", STUDY, "DEST", *at).returncode == 0
    (row,) = vna("jobs", "list", *at).stdout.splitlines()[1:]
    assert row.split() == ["1", "forward", "DEST", "waiting", "0/3", "0"]
    shown = vna("jobs", "show", "1", *at).stdout
    assert "forward to DEST" in shown
    assert all(ct(1, 1, number).instance in shown for number in (1, 2, 3))
    facts = json.loads(vna("jobs", "show", "1", "--json", *at).stdout)
    assert (facts["state"], facts["instances"], len(facts["items"])) == ("waiting", 3, 3)
    assert vna("jobs", "cancel", "1", *at).stdout == "job 1 cancelled\n"
    assert json.loads(vna("jobs", "list", "--state", "waiting", "--json", *at).stdout) == []
    assert vna("jobs", "retry", "1", *at).stdout == "job 1 waits to be done\n"
    assert "waiting" in vna("jobs", *at).stdout


@pytest.mark.parametrize("act", ["show", "retry", "cancel"])
def test_a_job_that_is_not_there_is_exit_code_one(vna: Vna, standing: Path, act: str) -> None:
    done = vna("jobs", act, "4711", "--data", standing)
    assert (done.returncode, done.stderr) == (1, "vna: There is no job 4711.\n")


@pytest.mark.usefixtures("held")
def test_what_cannot_be_sent_is_told_at_once(vna: Vna, filled: Path) -> None:
    at = ("--data", filled)
    assert "no remote AE DEST" in vna("send", STUDY, "DEST", *at).stderr
    vna("remote", "add", "DEST", "127.0.0.1", "104", *at)
    assert "no such study" in vna("send", "1.2.3", "DEST", *at).stderr
    assert vna("send", "not-a-uid", "DEST", *at).returncode == 1
    assert vna("jobs", *at).stdout == "no jobs\n"


def test_a_running_archive_sends_at_once_and_again_when_it_has_to(vna: Vna, filled: Path) -> None:
    at, port = ("--data", filled), free_port()
    with serving(filled) as server:
        assert "jobs" in server.state()["children"]
        assert vna("remote", "add", "DEST", "127.0.0.1", str(port), *at).returncode == 0
        assert vna("send", STUDY, "DEST", *at).returncode == 0
        server.wait_for("job put off")
        with destination(port) as came:
            assert vna("jobs", "retry", "1", *at).returncode == 0
            wait_for(lambda: len(came) == 3, within_s=30)


def test_a_message_goes_out_at_once_while_every_other_hand_is_held_up(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VNA_JOBS_WORKERS", "1")
    monkeypatch.setenv("VNA_DICOM_RESPONSE_S", "15")
    settings = load(environ={}, flags={"data": filled, "dev": True})
    who = system("test")
    # it hangs up before the archive is stopped, which would wait for what is in hand
    with serving(filled) as server, silent() as port:
        with at_work(settings, "test") as archive:
            board = board_of(archive)
            remote = Remote(ae_title="DEST", host="127.0.0.1", port=port)
            archive.engines.remotes.add(who, remote)
            job = board.send(who, uid(STUDY), "DEST", commit=False)
            wait_for(lambda: board.entry(who, job)[0].state is State.RUNNING, within_s=30)
            begun = time.monotonic()
            with archive.database.transaction() as tx:
                number = archive.engines.messages.post(
                    tx, to=email("kim@example.org"), template="test", values={}
                )
            messages = archive.engines.messages
            wait_for(lambda: messages.one(who, number).state.value == "accepted", within_s=10)
            assert time.monotonic() - begun < 10
            assert board.entry(who, job)[0].state is State.RUNNING
        assert server.process.poll() is None


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes a connection and never says anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]

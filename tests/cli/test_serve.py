"""`vna serve`: ready, stopped in order, and up again whatever was killed."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import Vna
from tests.cli.serving import WAIT_S, Serving, left_of, run, serving
from vna.errors import Unavailable


def test_it_answers_in_both_protocols(served: Serving) -> None:
    assert served.get("/readyz") == (200, b'{"status":"ok"}')
    assert served.get("/livez")[0] == 200
    served.echo()


def test_it_says_loudly_that_it_is_in_development_mode(served: Serving) -> None:
    assert any("DEVELOPMENT MODE" in line for line in served.lines)


def test_the_metrics_are_those_of_all_processes(served: Serving) -> None:
    served.echo()
    status, body = served.get("/metrics")
    assert status == 200
    assert b'vna_dimse_seconds_count{command="C_ECHO' in body


def test_every_process_is_in_the_supervisor_s_session(served: Serving) -> None:
    session = os.getsid(served.process.pid)
    children = psutil.Process(served.process.pid).children()
    assert len(children) == 5  # http, dicom, jobs, upkeep, postgres
    assert {os.getsid(child.pid) for child in children} == {session}


@pytest.mark.skipif(sys.platform != "linux", reason="asks for /proc")
def test_no_process_writes_a_core_file(served: Serving) -> None:
    texts = [Path(f"/proc/{process.pid}/limits").read_text() for process in served.family()]
    assert all(re.search(r"^Max core file size +0 +0 ", text, re.MULTILINE) for text in texts)


def held_by(process: psutil.Process) -> int:
    """Its share of memory; none of one that has ended: PostgreSQL's own come and go."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0


@pytest.mark.skipif(sys.platform != "linux", reason="asks for proportional memory")
def test_an_idle_archive_is_small(served: Serving) -> None:
    served.get("/readyz")
    held = sum(map(held_by, served.family()))
    assert held < 250 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="asks for the libraries that are mapped")
@pytest.mark.parametrize("child", ["http 1", "dicom 1", "jobs", "upkeep"])
def test_no_process_that_holds_keys_has_a_decoder_of_pictures(served: Serving, child: str) -> None:
    mapped = {Path(one.path).name for one in served.child(child).memory_maps()}
    assert any(name.startswith("_ssl") for name in mapped)  # what is mapped can be seen
    decoders = ("_imaging", "_multiarray", "openjpeg", "_openjpeg", "libjpeg", "_CharLS", "_jpeg")
    assert not [name for name in mapped if name.startswith(decoders)]


def test_other_commands_work_beside_it(vna: Vna, served: Serving) -> None:
    status = vna("status", "--data", served.data)
    assert status.returncode == 0, status.stderr
    assert served.state()["http"] in status.stdout
    assert vna("init", "--data", served.data).stdout.startswith("nothing to do")
    assert served.get("/readyz")[0] == 200


def test_blobs_are_read_again_by_themselves(vna: Vna, served: Serving) -> None:
    served.wait_for("every blob was read again")
    assert b"\nvna_blobs_damaged 0.0" in served.get("/metrics")[1]
    told = json.loads(vna("status", "--json", "--data", served.data).stdout)
    assert told["read_again"]["over"]
    assert told["damaged"] == {"blobs": 0, "named": []}


@pytest.mark.parametrize("word", ["serve", "reindex"])
def test_what_must_be_alone_is_refused_beside_it(served: Serving, word: str) -> None:
    flags = ["--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0"] if word == "serve" else []
    refused = run(word, "--data", served.data, *flags)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1] == (
        f"vna: This data folder is in use by `vna serve` (process {served.process.pid}); "
        "stop that first."
    )


def test_the_first_start_makes_what_is_missing(data: Path) -> None:
    with serving(data) as server:
        assert server.get("/readyz")[0] == 200
        made = [line for line in server.lines if line.startswith("made: ")]
        assert any("root key" in line for line in made)
        assert any("migrations 0001 to" in line for line in made)


def test_without_dev_nobody_is_let_in_unknown_and_nothing_goes_in_plain(archive: Path) -> None:
    with serving(archive, dev=False) as server:
        assert server.state()["scheme"] == "https"
        assert server.get("/readyz")[0] == 200
        assert server.get("/dicom-web/studies")[0] == 401
        assert server.get("/")[0] == 200  # the ways in, and nothing behind them
        assert server.get("/shares")[0] == 303
        with pytest.raises(Unavailable):
            server.echo()
        assert any("remote AEs of `vna remote` only" in line for line in server.lines)
        host, port = server.state()["http"].split(":")
        with socket.create_connection((host, int(port)), WAIT_S) as plain:
            plain.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert b"HTTP/" not in plain.recv(4096)


def test_people_and_tokens_are_made_beside_a_running_archive(vna: Vna, archive: Path) -> None:
    with serving(archive, dev=False) as server:
        added = vna("user", "add", "pacs", "--service", "--data", archive)
        assert added.returncode == 0, added.stderr
        made = vna("token", "add", "pacs", "test", "--may", "query", "--data", archive)
        assert made.returncode == 0, made.stderr
        secret = made.stdout.splitlines()[1].strip()
        status, _ = server.get("/dicom-web/studies", authorization=f"Bearer {secret}")
        assert status == 200
        assert server.get("/metrics", authorization=f"Bearer {secret}")[0] == 403
        number = made.stdout.split()[1]
        assert vna("token", "revoke", number, "--data", archive).returncode == 0
        until = time.monotonic() + 1.0
        while server.get("/dicom-web/studies", authorization=f"Bearer {secret}")[0] == 200:
            assert time.monotonic() < until
        link = vna("user", "add", "ada", "--role", "auditor", "--data", archive).stdout
        where = server.state()["http"]
        assert f"https://{where}/enrol#" in link


def test_others_are_served_once_there_is_an_administrator(data: Path, archive: Path) -> None:
    flags = ["--http", "0.0.0.0:0", "--dicom", "127.0.0.1:0"]
    refused = run("serve", "--data", data, *flags)
    assert refused.returncode == 2
    assert "no administrator yet" in refused.stderr
    with serving(archive, *flags[:2], dev=False) as server:
        assert server.get("/readyz")[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_stops_in_order(archive: Path, number: signal.Signals) -> None:
    with serving(archive) as server:
        assert server.get("/readyz")[0] == 200
        family = server.family()
        if number != signal.SIGTERM:  # a Ctrl-C at the terminal reaches all, and so does its end
            for process in psutil.Process(server.process.pid).children():
                if process.name() != "postgres":  # it has a process group of its own
                    process.send_signal(number)
            assert server.get("/readyz")[0] == 200  # the children leave it to their parent
        begun = time.monotonic()
        assert server.stop(number) == 0
        assert time.monotonic() - begun < 45
        assert left_of(family, 0.0) == []
    assert not (archive / "pg" / "postmaster.pid").exists()
    assert not (archive / "run" / "serve.json").exists()
    assert [e["event"] for e in server.events("stopped")] == ["stopped"]
    assert not any('"level":"ERROR"' in line or "Traceback" in line for line in server.lines)


def test_a_state_that_cannot_be_written_ends_nothing_and_is_written_later(archive: Path) -> None:
    """As on a full disk, where what was stored is to be found and sent all the same."""
    with serving(archive) as server:
        before = server.child("http 1")
        (archive / "run" / "serve.part").mkdir()
        before.kill()
        server.wait_for("state not written")
        assert server.get("/readyz")[0] == 200
        assert server.state()["children"]["http 1"] == before.pid
        (archive / "run" / "serve.part").rmdir()
        until = time.monotonic() + WAIT_S
        while server.state()["children"]["http 1"] == before.pid and time.monotonic() < until:
            server.get("/livez")  # a turn of the supervisor takes longer
        assert server.child("http 1").is_running()


def test_what_was_killed_is_started_again(archive: Path) -> None:
    with serving(archive) as server:
        assert server.get("/readyz")[0] == 200
        names = ["http 1", "dicom 1", "upkeep"]
        for name in names:
            server.child(name).kill()
            server.wait_for(
                f'"event":"child started","pid":{server.process.pid},"child":"{name}"', count=2
            )
            assert server.get("/readyz")[0] == 200
            server.echo()
        assert [e["child"] for e in server.events("child ended")] == names

        before = postmaster(archive)
        before.kill()
        server.wait_for('"event":"postgres started"', count=2)
        until = time.monotonic() + WAIT_S
        while (answer := server.get("/readyz"))[0] != 200:
            assert answer[0] == 503
            assert time.monotonic() < until
        assert postmaster(archive).pid != before.pid


def test_connections_are_spread_evenly_and_go_on_when_a_worker_dies(archive: Path) -> None:
    with serving(archive, "--workers", "2") as server, contextlib.ExitStack() as closing:
        port = int(server.state()["http"].rpartition(":")[2])
        for _ in range(4):
            conn = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
            closing.callback(conn.close)
            conn.request("GET", "/readyz")
            assert conn.getresponse().read() == b'{"status":"ok"}'
        assert [connections(server.child(f"http {n}"), port) for n in (1, 2)] == [2, 2]
        server.child("http 1").kill()
        for _ in range(20):
            assert server.get("/readyz")[0] == 200


def connections(process: psutil.Process, port: int) -> int:
    """Count those of a process that came in at a port."""
    held = process.net_connections("tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port for one in held)


def test_after_a_killed_supervisor_a_second_start_takes_over(archive: Path) -> None:
    with serving(archive) as server:
        children = [server.child(name) for name in server.state()["children"]]
        pid = postmaster(archive).pid
        server.process.kill()
        assert left_of(children) == []
    with serving(archive) as server:
        assert server.get("/readyz")[0] == 200
        server.echo()
        assert postmaster(archive).pid == pid


def test_after_all_of_it_was_killed_a_second_start_works(archive: Path) -> None:
    with serving(archive) as server:
        assert server.get("/readyz")[0] == 200
        family = server.family()
        for process in family:
            process.kill()
        assert left_of(family) == []
    with serving(archive) as server:
        assert server.get("/readyz")[0] == 200
        server.echo()


def test_a_port_in_use_is_a_configuration_error(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        for flags in (
            ["--http", where, "--dicom", "127.0.0.1:0"],
            ["--http", "127.0.0.1:0", "--dicom", where],
        ):
            refused = run("serve", "--dev", "--data", data, *flags)
            assert refused.returncode == 2
            assert refused.stderr.startswith(f"vna: The archive cannot listen on {where}")


def test_a_port_that_is_kept_for_root_says_who_may_have_it(
    vna: Vna, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "bind", denied)
    kept = vna("serve", "--data", data, "--http", "127.0.0.1:443")
    assert kept.returncode == 2
    assert "CAP_NET_BIND_SERVICE" in kept.stderr
    assert "CAP_NET_BIND_SERVICE" not in vna("serve", "--data", data).stderr


def test_links_lead_to_https_but_under_dev(vna: Vna, data: Path) -> None:
    refused = vna("serve", "--data", data, VNA_SHARING_URL="http://images.example.org")
    assert refused.returncode == 2
    assert refused.stderr == "vna: sharing.url must begin with https:// except under --dev.\n"
    assert not data.exists()


@pytest.mark.parametrize(
    ("variable", "setting"),
    [
        ("VNA_ACCESS_PRIVACY_MAIL", "access.privacy_mail"),
        ("VNA_SHARING_MORNING_MAIL", "sharing.morning_mail"),
    ],
)
def test_an_address_that_is_none_is_told_with_its_setting(
    vna: Vna, standing: Path, variable: str, setting: str
) -> None:
    refused = vna("user", "list", "--data", standing, **{variable: "privacy"})
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"vna: {setting}: ")


@pytest.mark.parametrize(("flag", "dev"), [("--http", True), ("--dicom", True), ("--dicom", False)])
@pytest.mark.parametrize("where", ["0.0.0.0:0", "[::]:0", "example.org:0"])
def test_only_loopback_is_listened_on(data: Path, flag: str, where: str, *, dev: bool) -> None:
    refused = run("serve", *(["--dev"] if dev else []), "--data", data, flag, where)
    assert refused.returncode == 2
    assert "loopback" in refused.stderr
    assert not data.exists()


def postmaster(data: Path) -> psutil.Process:
    return psutil.Process(int((data / "pg" / "postmaster.pid").read_text().splitlines()[0]))

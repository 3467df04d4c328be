"""`vna serve` with TLS on a port of its own, as an administrator sets it up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Vna
from tests.cli.serving import ROOT, run, serving
from tests.dimse.certificates import Authority
from vna.access.passcodes import is_passcode
from vna.cli.sockets import open_doors, require_loopback
from vna.config import Dicom, Settings, Tls, address, addresses
from vna.dimse import tls
from vna.dimse.scu import Requestor
from vna.dimse.sop_classes import VERIFICATION
from vna.errors import ConfigError, Unavailable

ECHO = [(VERIFICATION, ["1.2.840.10008.1.2"])]


def test_an_archive_serves_known_aes_over_tls(vna: Vna, archive: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    ours, ct1 = authority.sign("archive"), authority.sign("ct1")
    who = tmp_path / "identities.toml"
    who.write_text(f'[[ae]]\ntitle = "CT1"\nfingerprints = ["{ct1.fingerprint}"]\n')
    config = tmp_path / "vna.toml"
    config.write_text(
        f"""
[dicom]
tls_listen = "127.0.0.1:0, 127.0.0.1:0"
identities = "{who}"
[tls]
certificate = "{ours.certificate}"
key = "{ours.key}"
ca = "{authority.path}"
"""
    )
    with serving(archive, "--config", str(config), dev=False) as server:
        server.authority = authority.path
        done = vna("remote", "add", "CT1", "127.0.0.1", "104", "--data", archive)
        assert done.returncode == 0, done.stderr
        ports = [address(where)[1] for where in server.state()["dicom_tls"]]
        assert len(ports) == 2
        for port in ports:
            with _remote(port, authority.settings(ct1), "CT1") as remote:
                assert remote.echo() == 0
                (row,) = json.loads(vna("associations", "--data", archive, "--json").stdout)
                assert (row["calling"], row["secured"], row["command"]) == ("CT1", True, "C-ECHO")
        with (
            pytest.raises(Unavailable, match="1/1/3"),
            _remote(ports[0], authority.settings(ours), "CT1"),
        ):
            pass
        assert vna("status", "--data", archive).stdout.count(", TLS\n") == 2
        assert vna("user", "add", "watch", "--service", "--data", archive).returncode == 0
        made = vna("token", "add", "watch", "it", "--may", "monitor", "--data", archive)
        secret = made.stdout.splitlines()[1].strip()
        metrics = server.get("/metrics", authorization=f"Bearer {secret}")[1].decode()
    assert "vna_association_seconds_count 3.0" in metrics
    assert 'vna_associations_refused_total{cause="rejected-1-1-3"} 1.0' in metrics


def _remote(port: int, mine: Tls, calling: str) -> Requestor:
    return Requestor(
        "localhost",
        port,
        calling=calling,
        called="VNA",
        contexts=ECHO,
        tls=tls.requestor(mine).value(),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VNA_TLS_CERTIFICATE", "/nowhere.pem"),
        ("VNA_DICOM_IDENTITIES", "/nowhere.toml"),
        ("VNA_TLS_PROFILE", "ancient"),
        ("VNA_DICOM_LISTEN", ","),
        ("VNA_DICOM_AE_TITLE", "ATITLEOF17LETTERS"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_made(
    vna: Vna, data: Path, name: str, value: str
) -> None:
    variables = {"VNA_DICOM_TLS_LISTEN": "127.0.0.1:0", "VNA_TLS_KEY": "/nowhere.key"}
    variables |= {"VNA_TLS_CLIENTS": "none", name: value}
    done = vna("serve", "--data", data, "--http", "127.0.0.1:0", **variables)
    assert done.returncode == 2
    assert not (data / "keys").exists()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("VNA_SITE_TIMEZONE", "Mars/Phobos", "site.timezone"),
        ("VNA_ACCESS_ROLES", "/nowhere.toml", "/nowhere.toml"),
        ("VNA_TLS_CERTIFICATE", "/nowhere.pem", "/nowhere.pem"),
        ("VNA_SYSLOG_TO", "audit.example.org", "HOST:PORT"),
        ("VNA_MAIL_HOST", "relay.example.org", "mail.sender"),
    ],
)
def test_what_no_process_could_work_with_is_told_once_and_nothing_serves(
    vna: Vna, archive: Path, name: str, value: str, says: str
) -> None:
    where = ("--data", archive, "--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0")
    done = run("serve", *where, **{name: value})
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[-1]
    assert "serving" not in done.stderr
    assert "child" not in done.stderr
    assert "not serving" in vna("status", "--data", archive).stdout


def test_plain_dicom_leaves_loopback_only_where_that_is_allowed() -> None:
    far = "0.0.0.0:11112"
    for dicom, dev in (
        (Dicom(listen=far), False),
        (Dicom(listen=f"127.0.0.1:1, {far}"), False),
        (Dicom(listen=far, plain_anywhere=True), True),
        (Dicom(tls_listen=far), True),
    ):
        with pytest.raises(ConfigError, match="loopback"):
            require_loopback(Settings(dicom=dicom, dev=dev))
    with pytest.raises(ConfigError, match=r"dicom\.tls_listen, or dicom\.plain_anywhere = true"):
        require_loopback(Settings(dicom=Dicom(listen=far)))
    for dicom in (Dicom(listen=far, plain_anywhere=True), Dicom(tls_listen=far)):
        require_loopback(Settings(dicom=dicom))


def test_ports_opened_before_one_that_is_taken_are_closed_again() -> None:
    doors = open_doors(Settings(dicom=Dicom(listen="127.0.0.1:0")))
    (taken,) = doors.plain
    with taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="cannot listen"):
            open_doors(Settings(dicom=Dicom(listen=f"127.0.0.1:0,127.0.0.1:{port}")))


def test_a_list_of_addresses_is_taken_apart() -> None:
    assert addresses(" 127.0.0.1:1 , [::1]:2,") == ["127.0.0.1:1", "[::1]:2"]
    assert addresses("") == []
    assert address("127.0.0.1:1,[::1]:2") == ("127.0.0.1", 1)


def test_a_passcode_becomes_a_hash_and_is_not_asked_for_on_the_command_line() -> None:
    command = [sys.executable, "-W", "error", "-m", "vna", "passcode"]
    done = subprocess.run(
        command, cwd=ROOT, input="open sesame\n", capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert is_passcode("open sesame", done.stdout.strip())
    assert run("passcode").returncode == 2  # nothing on standard input

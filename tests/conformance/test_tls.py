"""Both TLS listeners of a running archive, graded by SSLyze (BCP 195, PS3.15 B.12)."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.serving import ROOT, run, serving
from tests.dimse.certificates import Authority, Signed

SSLYZE = ROOT / "build" / "sslyze" / "bin" / "sslyze"
OLD = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")
BCP_195 = {
    f"TLS_ECDHE_{key}_WITH_{suite}"
    for key in ("ECDSA", "RSA")
    for suite in (
        "AES_256_GCM_SHA384",
        "AES_128_GCM_SHA256",
        "CHACHA20_POLY1305_SHA256",
    )
}
TLS_1_3 = {"TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"}
CURVES = {"X25519", "X448", "prime256v1", "secp384r1", "secp521r1"}
LISTENERS = ("http", "dicom_tls")

Grade = dict[str, Any]


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    folder = Path(tempfile.mkdtemp(prefix="vna-tls-"))
    folder.chmod(0o755)
    yield Authority(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def grades(authority: Authority) -> dict[str, Grade]:
    """What SSLyze found at each listener."""
    assert SSLYZE.exists(), "the tests need SSLyze: run `make tools`"
    folder, ours = authority.path.parent, authority.sign("archive")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _settings(ours).items():
            patch.setenv(f"VNA_{name}", value)
        begun = run("init", "--data", folder / "data")
        assert begun.returncode == 0, begun.stderr
        with serving(folder / "data", dev=False) as served:
            state = served.state()
            where = {"http": state["http"], "dicom_tls": state["dicom_tls"][0]}
            return _graded(where, authority.path, folder / "grades.json")


def _settings(ours: Signed) -> dict[str, str]:
    return {
        "TLS_CERTIFICATE": str(ours.certificate),
        "TLS_KEY": str(ours.key),
        "TLS_CLIENTS": "none",
        "DICOM_TLS_LISTEN": "127.0.0.1:0",
        "BLOBS_FREE_BYTES": "0",
    }


def _graded(where: dict[str, str], trusted: Path, out: Path) -> dict[str, Grade]:
    ports = {name: int(address.rpartition(":")[2]) for name, address in where.items()}
    words = [SSLYZE, "--quiet", "--mozilla_config=intermediate", f"--json_out={out}"]
    words += [f"--certinfo_ca_file={trusted}", "--sni=localhost", "--resum", "--compression"]
    done = subprocess.run(
        [*words, *(f"localhost:{port}" for port in ports.values())],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert out.exists(), done.stderr
    found = {
        one["server_location"]["port"]: one["scan_result"]
        for one in json.loads(out.read_text())["server_scan_results"]
    }
    return {name: found[port] for name, port in ports.items()}


def result(grade: Grade, name: str) -> Any:
    """What one of the looks found; it must have been taken."""
    assert grade[name]["status"] == "COMPLETED", (name, grade[name]["error_trace"])
    return grade[name]["result"]


def suites(grade: Grade, version: str) -> set[str]:
    accepted = result(grade, f"{version}_cipher_suites")["accepted_cipher_suites"]
    return {one["cipher_suite"]["name"] for one in accepted}

"""Both TLS listeners of a running archive, graded by SSLyze (BCP 195, PS3.15 B.12)."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import prepared
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
CURVES = {"X25519", "X448", "secp256r1", "secp384r1", "secp521r1"}
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
        prepared.lay(folder / "data")
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
    words += ["--sni=localhost", "--resum", "--early_data"]
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
    return {
        name: {
            **found[port],
            "shown": _shown(port, trusted, "localhost"),
            "elsewhere": _refused(port, trusted),
        }
        for name, port in ports.items()
    }


def _shown(port: int, trusted: Path, name: str) -> bytes | None:
    """Shake hands as who trusts the authority; return the certificate. Raises `ssl.SSLError`."""
    context = ssl.create_default_context(cafile=trusted)
    with (
        socket.create_connection(("127.0.0.1", port), 20) as raw,
        context.wrap_socket(raw, server_hostname=name) as sock,
    ):
        return sock.getpeercert(binary_form=True)


def _refused(port: int, trusted: Path) -> str:
    """Say why who wanted somebody else does not shake hands."""
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        _shown(port, trusted, "elsewhere.example")
    return (caught.value.reason or "").lower().replace("_", " ")


def result(grade: Grade, name: str) -> Any:
    """What one of the looks found; it must have been taken."""
    assert grade[name]["status"] == "COMPLETED", (name, grade[name]["error_trace"])
    return grade[name]["result"]


def suites(grade: Grade, version: str) -> set[str]:
    accepted = result(grade, f"{version}_cipher_suites")["accepted_cipher_suites"]
    return {one["cipher_suite"]["name"] for one in accepted}


@pytest.mark.parametrize("listener", LISTENERS)
def test_only_versions_and_suites_of_bcp_195_are_spoken(
    grades: dict[str, Grade], listener: str
) -> None:
    """RFC 9325 3.1.1, 4.2: TLS 1.2 with ephemeral keys and authenticated encryption, TLS 1.3."""
    grade = grades[listener]
    assert [suites(grade, old) for old in OLD] == [set()] * len(OLD)
    assert suites(grade, "tls_1_2")
    assert suites(grade, "tls_1_2") <= BCP_195
    assert suites(grade, "tls_1_3") == TLS_1_3
    spoken = {curve["name"] for curve in result(grade, "elliptic_curves")["supported_curves"]}
    assert spoken
    assert spoken <= CURVES


@pytest.mark.parametrize("listener", LISTENERS)
def test_what_weakens_tls_is_switched_off(grades: dict[str, Grade], listener: str) -> None:
    """RFC 9325 3.3 to 3.7: compression, tickets, renegotiation, early data, downgrades."""
    grade = grades[listener]
    assert not result(grade, "tls_compression")["supports_compression"]
    assert not result(grade, "tls_1_3_early_data")["supports_early_data"]
    assert result(grade, "session_resumption")["tls_ticket_resumption_result"] == "NOT_SUPPORTED"
    renegotiation = result(grade, "session_renegotiation")
    assert renegotiation["supports_secure_renegotiation"]
    assert renegotiation["client_renegotiations_success_count"] == 0
    assert result(grade, "tls_fallback_scsv")["supports_fallback_scsv"]
    assert result(grade, "tls_extended_master_secret")["supports_ems_extension"]


@pytest.mark.parametrize("listener", LISTENERS)
def test_no_known_hole_of_a_library_is_open(grades: dict[str, Grade], listener: str) -> None:
    grade = grades[listener]
    assert not result(grade, "heartbleed")["is_vulnerable_to_heartbleed"]
    assert not result(grade, "openssl_ccs_injection")["is_vulnerable_to_ccs_injection"]
    assert result(grade, "robot")["robot_result"].startswith("NOT_VULNERABLE")


@pytest.mark.parametrize("listener", LISTENERS)
def test_the_certificate_is_the_one_that_was_given(
    grades: dict[str, Grade], authority: Authority, listener: str
) -> None:
    """RFC 9525: it is trusted by who trusts its authority, under its own name alone."""
    given = ssl.PEM_cert_to_DER_cert((authority.path.parent / "archive.pem").read_text())
    assert grades[listener]["shown"] == given
    assert grades[listener]["elsewhere"] == "certificate verify failed"

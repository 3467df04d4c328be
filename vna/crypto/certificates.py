"""A certificate of our own making, for an archive nobody has given one yet.

ECDSA on P-256 (RFC 9325 4.5). It proves nothing to a stranger: whoever comes first compares the
fingerprint with the one printed where it was made.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vna.errors import ConfigError

_DAYS = 825
_RENEW = dt.timedelta(days=14)


def is_current(certificate: Path) -> bool:
    """Whether a certificate is there and good for two weeks more. Raises `ConfigError`."""
    if not certificate.exists():
        return False
    return _read(certificate).not_valid_after_utc - _RENEW > dt.datetime.now(dt.UTC)


def fingerprint(certificate: Path) -> str:
    """Write the SHA-256 of a certificate as browsers show it. Raises `ConfigError`."""
    encoded = _read(certificate).public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(encoded).digest().hex(":").upper()


def current_fingerprint(pem: bytes) -> str | None:
    """Give the SHA-256 of a certificate in hexadecimal; None when it is none that is good today."""
    try:
        found = x509.load_pem_x509_certificate(pem)
    except ValueError:
        return None
    if not found.not_valid_before_utc <= dt.datetime.now(dt.UTC) <= found.not_valid_after_utc:
        return None
    return hashlib.sha256(found.public_bytes(serialization.Encoding.DER)).hexdigest()


def make(certificate: Path, key: Path, names: Iterable[str]) -> None:
    """Write a new key (0400) and a certificate for these names, key first."""
    secret = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vna archive")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([_name(n) for n in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(secret.public_key()), critical=False
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    certificate.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = secret.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _write(key, private, 0o400)
    _write(certificate, made.public_bytes(serialization.Encoding.PEM), 0o444)


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _read(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise ConfigError(f"The certificate {path} cannot be read.") from exc


def _write(path: Path, data: bytes, mode: int) -> None:
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)
    part.replace(path)

"""A certificate authority of a test's own, and what it signs."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from vna.config import Tls

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Signed:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path
    fingerprint: str


class Authority:
    """Signs certificates into a folder."""

    def __init__(self, folder: Path, name: str = "Test CA") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._made(self._name, self._key.public_key(), days=30, is_ca=True)
        self.path = folder / f"{name.replace(' ', '-')}.pem"
        self.path.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def sign(self, common_name: str, *, days: int = 30, key: Key | None = None) -> Signed:
        """Make a key and a certificate for `CN=common_name,O=Hospital`, good for localhost, too."""
        own = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Hospital"),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            ]
        )
        made = self._made(subject, own.public_key(), days=days, is_ca=False)
        base = self._folder / common_name
        base.with_suffix(".pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        base.with_suffix(".key").write_bytes(
            own.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        der = made.public_bytes(serialization.Encoding.DER)
        return Signed(
            base.with_suffix(".pem"), base.with_suffix(".key"), hashlib.sha256(der).hexdigest()
        )

    def settings(self, signed: Signed, **others: str) -> Tls:
        """Settings of who shows this certificate and trusts this authority."""
        return Tls(
            certificate=str(signed.certificate),
            key=str(signed.key),
            ca=str(self.path),
            **others,  # type: ignore[arg-type]  # all texts
        )

    def _made(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        *,
        days: int,
        is_ca: bool,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=60))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            # asked for by RFC 5280 4.2.1.1, and by Python from 3.13 on
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .add_extension(_usage(is_ca=is_ca), critical=True)
        )
        if not is_ca:
            names = [x509.DNSName("localhost")]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=not is_ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )

"""TLS of the DIMSE edge: PS3.15 B.12 (BCP 195, RFC 8996) and the suites of B.13.

Both profiles want TLS 1.2 and prefer 1.3. OpenSSL names the suites of TLS 1.2 here; those of 1.3
are its own three, all of them in both profiles. No renegotiation, no compression, no tickets: a
ticket of one worker would open at no other.
"""

from __future__ import annotations

import functools
import ssl
from pathlib import Path

from vna.access.watched import Watched
from vna.config import Tls
from vna.errors import ConfigError

# RFC 9325 4.2: ephemeral keys and authenticated encryption alone
_B12 = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
)
# PS3.15 B.13, less what OpenSSL does not have: Camellia in GCM
_B13 = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES256-CCM",
    "ECDHE-ECDSA-AES256-CCM8",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES128-CCM",
    "ECDHE-ECDSA-AES128-CCM8",
)
PROFILES = {"bcp195": _B12, "modified": _B13}
_CLIENTS = {
    "required": ssl.CERT_REQUIRED,
    "optional": ssl.CERT_OPTIONAL,
    "none": ssl.CERT_NONE,
}


def acceptor(settings: Tls) -> Watched[ssl.SSLContext]:
    """Return what associations are taken with, made anew when a certificate or key changes."""
    return Watched(lambda: _files(settings), lambda: _acceptor(settings))


@functools.cache
def requestor(settings: Tls) -> Watched[ssl.SSLContext]:
    """Return what associations are asked for with: we show our certificate, where there is one."""
    return Watched(lambda: _files(settings), lambda: _requestor(settings))


def _acceptor(settings: Tls) -> ssl.SSLContext:
    if not settings.certificate or not settings.key:
        raise ConfigError("TLS needs tls.certificate and tls.key.")
    if settings.clients != "none" and not settings.ca:
        raise ConfigError(
            "tls.ca names who may have signed clients' certificates; without it set "
            'tls.clients = "none".'
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_TICKET
    context.num_tickets = 0
    _filled(context, settings)
    context.verify_mode = _CLIENTS[settings.clients]
    return context


def _requestor(settings: Tls) -> ssl.SSLContext:
    if not settings.ca:
        raise ConfigError("TLS to a remote AE needs tls.ca: who may have signed its certificate.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = settings.verify_host
    _filled(context, settings)
    return context


def _filled(context: ssl.SSLContext, settings: Tls) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    try:
        # level 2: RSA from 2048 bits, curves from 224, hashes from SHA-224 (B.12, B.13)
        context.set_ciphers(":".join((*PROFILES[settings.profile], "@SECLEVEL=2")))
        if settings.certificate:
            context.load_cert_chain(settings.certificate, settings.key or None, password=_nothing)
        if settings.ca:
            context.load_verify_locations(settings.ca)
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
        names = ", ".join(str(path) for path in _files(settings))
        raise ConfigError(f"The certificates and keys cannot be used ({names}): {exc}.") from exc


def _nothing() -> str:
    # a sealed key would make OpenSSL ask at a terminal that a server does not have
    raise ValueError("the key is sealed with a password")


def _files(settings: Tls) -> tuple[Path, ...]:
    return tuple(Path(p) for p in (settings.certificate, settings.key, settings.ca) if p)

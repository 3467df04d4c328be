"""A connection under TLS with the face of a socket that `Link` works on (PS3.15 B.12, B.13).

The socket below never blocks, so that every wait is ours and has its end: OpenSSL would wait again
after a kernel timer ran out.
"""

from __future__ import annotations

import contextlib
import hashlib
import select
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_JOINED_BYTES = 256 << 10  # written to OpenSSL at once: a record has 16 KiB of them

# RFC 4514 3: the short names of attribute types; others keep OpenSSL's name
_SHORT = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a peer proved: SHA-256 of its certificate in hex, and its subject (RFC 4514)."""

    fingerprint: str
    subject: str


class Secured:
    """One TLS connection; with a `host` we are its client.

    `receive_s` and `send_s` are the longest waits of one call, as SO_RCVTIMEO and SO_SNDTIMEO.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        *,
        host: str | None,
        receive_s: float,
        send_s: float,
    ) -> None:
        sock.setblocking(False)
        self._receive_s = receive_s
        self._send_s = send_s
        self._tls = context.wrap_socket(
            sock,
            server_side=host is None,
            server_hostname=host,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=True,
        )

    def shake_hands(self) -> int | None:
        """Go on with the handshake; return the poll() event it waits for, None when it is done.

        Raises `ssl.SSLError`.
        """
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return select.POLLIN
        except ssl.SSLWantWriteError:
            return select.POLLOUT
        return None

    def certificate(self) -> Certificate | None:
        """Return what the peer proved, None when it showed no certificate."""
        der, told = self._tls.getpeercert(binary_form=True), self._tls.getpeercert()
        if not der or not told:
            return None
        return Certificate(fingerprint=hashlib.sha256(der).hexdigest(), subject=_written(told))

    def pending(self) -> int:
        """Count the bytes that are here already, decrypted."""
        return self._tls.pending()

    def fileno(self) -> int:
        """Return the descriptor, for poll()."""
        return self._tls.fileno()

    def recv_into(self, buffer: memoryview, nbytes: int = 0, flags: int = 0) -> int:  # noqa: ARG002 -- the face of a socket
        """Read what is there, waiting for the first byte unless MSG_DONTWAIT; 0 is the end.

        Raises `BlockingIOError` when nothing came in time.
        """
        until = None if flags & socket.MSG_DONTWAIT else time.monotonic() + self._receive_s
        got = 0
        while got < len(buffer):
            try:
                more = self._tls.recv_into(buffer[got:])
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as exc:
                if got:
                    break
                self._wait(exc, until)
                continue
            if not more:
                break
            got += more
        return got

    def sendmsg(self, parts: Sequence[bytes | memoryview]) -> int:
        """Send some of it. Raises `BlockingIOError` when the peer took nothing in time."""
        data = _joined(parts)
        until = time.monotonic() + self._send_s
        sent = 0
        while sent < len(data):
            try:
                sent += self._tls.send(data[sent:])
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as exc:
                if sent:
                    break
                self._wait(exc, until)
        return sent

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option of the socket below."""
        self._tls.setsockopt(level, option, value)

    def shutdown(self, how: int) -> None:
        """End one half or both: SHUT_WR tells the peer so in TLS first."""
        if how == socket.SHUT_WR:
            with contextlib.suppress(ssl.SSLError, ValueError):
                self._tls.unwrap()
        # not SSLSocket's own, which forgets the session under another thread's feet
        socket.socket.shutdown(self._tls, how)

    def close(self) -> None:
        """Close the connection."""
        self._tls.close()

    def _wait(self, why: ssl.SSLError, until: float | None) -> None:
        left = 0.0 if until is None else until - time.monotonic()
        poll = select.poll()
        poll.register(
            self._tls, select.POLLIN if isinstance(why, ssl.SSLWantReadError) else select.POLLOUT
        )
        if left <= 0 or not poll.poll(left * 1000):
            raise BlockingIOError


def _joined(parts: Sequence[bytes | memoryview]) -> memoryview:
    """Put small pieces together, so that the header of a PDU is no record of its own."""
    if len(parts) == 1 or len(parts[0]) >= _JOINED_BYTES:
        return memoryview(parts[0])
    taken, size = [], 0
    for part in parts:
        taken.append(part[: _JOINED_BYTES - size])
        size += len(taken[-1])
        if size >= _JOINED_BYTES:
            break
    return memoryview(b"".join(taken))


def _written(told: Mapping[str, object]) -> str:
    """Write a subject as RFC 4514 does: the most specific part first."""
    names = told.get("subject", ())
    parts = [
        "+".join(
            f"{_SHORT.get(str(kind), str(kind))}={_escaped(str(value))}" for kind, value in rdn
        )
        for rdn in (names if isinstance(names, tuple) else ())
    ]
    return ",".join(reversed(parts))


def _escaped(value: str) -> str:
    out = "".join("\\" + char if char in '\\,+"<>;' else char for char in value)
    if out[:1] in ("#", " "):
        out = "\\" + out
    return out[:-1] + "\\ " if out.endswith(" ") and len(out) > 1 else out

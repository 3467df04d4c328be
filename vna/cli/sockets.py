"""The addresses the archive listens on: opened once, by the supervisor, before it forks."""

from __future__ import annotations

import ipaddress
import socket

from vna.config import Settings, address
from vna.errors import ConfigError

_BACKLOG = 512


def require_loopback(settings: Settings) -> None:
    """Refuse addresses that others can reach where nobody is told apart. Raises `ConfigError`.

    That is everything under `--dev`, and DICOM. HTTP may be anywhere else: `require_people`.
    """
    held = [("dicom", settings.dicom.listen)]
    if settings.dev:
        held.append(("http", settings.http.listen))
    for name, where in held:
        if not is_loopback(where):
            why = "--dev serves" if settings.dev else "Without TLS of its own DICOM listens on"
            raise ConfigError(
                f"{name}.listen is {where}. {why} loopback addresses only; put it on 127.0.0.1."
            )


def is_loopback(where: str) -> bool:
    """Whether only programs of this machine reach an address. Raises `ConfigError`."""
    host, _ = address(where)
    return _is_loopback(host)


def open_shared(where: str, count: int) -> list[socket.socket]:
    """Open `count` listening sockets on one address, one a process (SO_REUSEPORT).

    They stay open while a process is started again, so that no connection is refused meanwhile.
    Raises `ConfigError` when another program listens there.
    """
    host, port = address(where)
    # with SO_REUSEPORT alone, two archives of one user would share a port without a word
    with _bound(where, (host, port)) as probe:
        _listen(probe, where)
        place = probe.getsockname()[:2]
    sockets = []
    for _ in range(count):
        sock = _bound(where, place, shared=True)
        _listen(sock, where)
        sockets.append(sock)
    return sockets


def open_one(where: str) -> socket.socket:
    """Open one listening socket. Raises `ConfigError` when another program listens there."""
    sock = _bound(where, address(where))
    _listen(sock, where)
    return sock


def name_of(sock: socket.socket) -> str:
    """Write the address of a listening socket as HOST:PORT."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bound(where: str, place: tuple[str, int], *, shared: bool = False) -> socket.socket:
    host, port = place
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
    except (OSError, OverflowError) as exc:
        sock.close()
        raise _in_use(where, exc) from exc
    return sock


def _listen(sock: socket.socket, where: str) -> None:
    try:
        sock.listen(_BACKLOG)
    except OSError as exc:
        sock.close()
        raise _in_use(where, exc) from exc


def _in_use(where: str, exc: Exception) -> ConfigError:
    reason = getattr(exc, "strerror", None) or str(exc)
    return ConfigError(f"The archive cannot listen on {where}: {reason}.")

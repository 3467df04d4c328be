"""The addresses the archive listens on: opened once, by the supervisor, before it forks."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from vna.config import Settings, address, addresses
from vna.errors import ConfigError, InvalidRequest

_BACKLOG = 512
_LOOPBACK = {
    True: "--dev serves loopback addresses only; put it on 127.0.0.1.",
    False: "Without TLS DICOM listens on loopback addresses only: others call dicom.tls_listen, or "
    "dicom.plain_anywhere = true lets it out, on a network you trust.",
}
_FIRST_FOR_ALL = 1024  # what Linux keeps for root unless net.ipv4.ip_unprivileged_port_start says


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """The listening sockets of DICOM; `secured` are those for TLS."""

    plain: tuple[socket.socket, ...]
    secured: tuple[socket.socket, ...] = ()


def require_loopback(settings: Settings) -> None:
    """Refuse addresses where others could read along or call themselves what they like.

    DICOM over TLS may be anywhere, plain DICOM where `dicom.plain_anywhere` says so, HTTP where
    people sign in (`usable.require_usable`), and nothing under `--dev`. Raises `ConfigError`.
    """
    dicom, dev = settings.dicom, settings.dev
    held = [("http.listen", settings.http.listen)] if dev else []
    if dev and settings.sharing.listen:
        held.append(("sharing.listen", settings.sharing.listen))
    if dev or not dicom.plain_anywhere:
        held += [("dicom.listen", where) for where in addresses(dicom.listen)]
    if dev:
        held += [("dicom.tls_listen", where) for where in addresses(dicom.tls_listen)]
    for name, where in held:
        if not is_loopback(where):
            raise ConfigError(f"{name} is {where}. {_LOOPBACK[dev]}")


def require_sealed_links(settings: Settings) -> None:
    """Refuse to send people to us in the clear: what they type there are codes and passcodes.

    Raises `ConfigError`.
    """
    if not settings.dev and settings.sharing.url.startswith("http:"):
        raise ConfigError("sharing.url must begin with https:// except under --dev.")


def open_doors(settings: Settings) -> Doors:
    """Open every listening socket of DICOM. Raises `ConfigError`, for certificates, too."""
    from vna.access import identities
    from vna.access.remotes import require_title
    from vna.dimse import tls

    try:
        require_title(settings.dicom.ae_title)
    except InvalidRequest as exc:
        raise ConfigError(f"dicom.ae_title: {exc}") from exc
    if not addresses(settings.dicom.listen):
        raise ConfigError("dicom.listen names no address.")
    if addresses(settings.dicom.tls_listen):
        tls.acceptor(settings.tls).value()
    identities.watched(settings.dicom.identities).value()
    opened: list[socket.socket] = []
    try:
        plain = [_kept(opened, where) for where in addresses(settings.dicom.listen)]
        secured = [_kept(opened, where) for where in addresses(settings.dicom.tls_listen)]
    except ConfigError:
        for sock in opened:
            sock.close()
        raise
    return Doors(plain=tuple(plain), secured=tuple(secured))


def _kept(opened: list[socket.socket], where: str) -> socket.socket:
    opened.append(open_one(where))
    return opened[-1]


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
    allowed = ""
    if isinstance(exc, PermissionError) and address(where)[1] < _FIRST_FOR_ALL:
        allowed = (
            f" Ports below {_FIRST_FOR_ALL} are for root and for whoever has CAP_NET_BIND_SERVICE:"
            " docs/operations.md says how under systemd."
        )
    return ConfigError(f"The archive cannot listen on {where}: {reason}.{allowed}")

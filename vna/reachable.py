"""Which addresses are whose: public ones, those inside a house, those of this machine.

An address that leads to another one counts as both (RFC 6052, RFC 4291 2.5.5, 6to4, Teredo).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

# an IPv4 address stands at their end: RFC 6052, RFC 8215, RFC 4291 2.5.5.1, RFC 2765 2.1
_TRANSLATED = tuple(
    map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96"))
)
_THEMSELVES = frozenset(map(ipaddress.IPv6Address, ("::", "::1")))  # RFC 4291 2.5.2, 2.5.3
# not of the internet (RFC 6890 and its registries, RFC 3879), whatever this Python's tables say:
# they name these late, or not at all
_INSIDE = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "64:ff9b:1::/48", "fec0::/10", "3fff::/20", "5f00::/16"),
    )
)
_NOWHERE = ipaddress.IPv4Network("0.0.0.0/8")  # RFC 1122 3.2.1.3: this host, by a way round
# where clouds tell machines their secrets, beside link-local addresses: AWS by IPv6, Alibaba
_METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200")))


def is_public(address: Ip) -> bool:
    """Whether an address is one of the internet's (RFC 6890)."""
    return all(map(_is_of_the_internet, _meant(address)))


def is_of_a_house(address: Ip) -> bool:
    """Whether a program may have this address that an administrator named: public, or in the house.

    Link-local addresses are nobody's in this sense: there machines ask about themselves.
    """
    return all(map(_is_somebody_s, _meant(address)))


def is_here(host: str) -> bool:
    """Whether a host is written as this machine: by a loopback address, or localhost."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_address(host: str) -> bool:
    """Whether a host is written as an address, and not as a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_of_the_internet(address: Ip) -> bool:
    is_inside = any(address in network for network in _INSIDE)
    return address.is_global and not (address.is_multicast or is_inside)


def _is_somebody_s(address: Ip) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        is_odd = address.is_reserved or address in _NOWHERE
    else:
        is_odd = address.is_unspecified
    return not (is_odd or address.is_link_local or address.is_multicast or address in _METADATA)


def _meant(address: Ip) -> Iterator[Ip]:
    """Give an address, and the IPv4 address that stands in it: that is who would be reached."""
    yield address
    if isinstance(address, ipaddress.IPv6Address) and address not in _THEMSELVES:
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if any(address in network for network in _TRANSLATED):
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        yield from (one for one in inner if one is not None)

"""Which addresses are whose: public ones, those inside a house, those of this machine.

An address that leads to another one counts as both (RFC 6052, RFC 4291 2.5.5.2, 6to4, Teredo).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address stands in it
_NOWHERE = ipaddress.IPv4Network("0.0.0.0/8")  # RFC 1122 3.2.1.3: this host, by a way round
# where clouds tell machines their secrets, beside link-local addresses: AWS by IPv6, Alibaba
_METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200")))


def is_public(address: Ip) -> bool:
    """Whether an address is one of the internet's (RFC 6890)."""
    return all(one.is_global and not one.is_multicast for one in _meant(address))


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


def _is_somebody_s(address: Ip) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        is_odd = address.is_reserved or address in _NOWHERE
    else:
        is_odd = address.is_unspecified
    return not (is_odd or address.is_link_local or address.is_multicast or address in _METADATA)


def _meant(address: Ip) -> Iterator[Ip]:
    """Give an address, and the IPv4 address that stands in it: that is who would be reached."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        yield from (one for one in inner if one is not None)

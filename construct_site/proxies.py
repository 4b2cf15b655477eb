"""Whose connection it is when proxies stand between: ``X-Forwarded-For``, as far as it can be believed.

Each proxy writes the address that it was reached from at the right end of the
header. What stands further left was there before: a client writes into it what
it likes (RFC 7239 section 8.1). So the header is read from the right and for as
long as the one who wrote the entry is a trusted proxy; the leftmost entry means
nothing.

One header alone is read. A proxy that writes ``X-Forwarded-For`` passes a
``Forwarded`` on as the client wrote it, and the other way about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Headers = Iterable[tuple[bytes, bytes]]

HOPS_MAX = 16
"""Entries that are read, counted from the right. What stands before them is never looked at."""
HOP_BYTES_MAX = 64
"""Of one entry, spaces included; the longest address with brackets and port has 53."""
_MAPPED_BITS = 96
"""Before the IPv4 address in an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2)."""
_READ = b"x-forwarded-for"
_FORWARDING = frozenset({_READ, b"forwarded", b"x-real-ip"})
_PORT = r"(?::[0-9]{1,5})?"
_HOP = re.compile(
    rf"\[(?P<bracketed>[0-9A-Fa-f:.]+)\]{_PORT}|(?P<dotted>[0-9.]+){_PORT}|(?P<plain>[0-9A-Fa-f:.]+)"
)


def read_address(text: str) -> Address | None:
    """An address without its zone; an IPv4-mapped IPv6 address as IPv4. None for any other text."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return _mapped(address) or address


def read_network(text: str) -> Network:
    """A network in CIDR notation, or a single address; IPv4-mapped IPv6 as IPv4. Raises ValueError."""
    network = ip_network(text)
    mapped = _mapped(network.network_address)
    if mapped is not None and network.prefixlen >= _MAPPED_BITS:
        return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def _mapped(address: Address) -> IPv4Address | None:
    return address.ipv4_mapped if isinstance(address, IPv6Address) else None


@lru_cache(maxsize=8)
def read_networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Raises ValueError."""
    return tuple(map(read_network, texts))


def hold_everybody(networks: Sequence[Network]) -> bool:
    """Whether the networks together hold every IPv4 address, or every IPv6 address."""
    ipv4 = [each for each in networks if isinstance(each, IPv4Network)]
    ipv6 = [each for each in networks if isinstance(each, IPv6Network)]
    joined: list[Network] = [*collapse_addresses(ipv4), *collapse_addresses(ipv6)]
    return any(each.prefixlen == 0 for each in joined)


def is_within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def is_forwarded(headers: Headers) -> bool:
    """Whether somebody claims to speak for another, by any of the headers in use for it."""
    return any(name in _FORWARDING for name, _ in headers)


def client_address(peer: Address, headers: Headers, trusted: Sequence[Network]) -> Address:
    """The nearest address that is no trusted proxy's, beginning with the peer's own.

    Where the header ends, or an entry is no address, it is the last proxy's
    before that. So what anybody but a trusted proxy wrote is never read.
    """
    address = peer
    for hop in _hops(headers):
        if not is_within(address, trusted):
            break
        named = read_hop(hop)
        if named is None:
            break
        address = named
    return address


def _hops(headers: Headers) -> list[bytes]:
    """The entries of all header lines, the last one first."""
    text = b",".join(value for name, value in headers if name == _READ)
    return text.rsplit(b",", HOPS_MAX)[-HOPS_MAX:][::-1]


def read_hop(hop: bytes) -> Address | None:
    """The address of one entry, with or without a port; IPv6 with or without brackets. None if it is no address."""
    if len(hop) > HOP_BYTES_MAX:
        return None
    match = _HOP.fullmatch(hop.decode("latin-1").strip(" \t"))
    return read_address("".join(filter(None, match.groups()))) if match else None

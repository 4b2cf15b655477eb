"""Names of counters. Redis never sees a user id, a name or an address, only keyed hashes of them."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

from construct_site.derivation import keyed_digest

PREFIX = "construct:limits"


def counter_key(kind: str, *parts: str) -> str:
    """The Redis key of a counter: `kind` in the clear, `parts` as a 128-bit keyed BLAKE2b.

    The hash key is derived from ``SECRET_KEY``; a new secret starts all counters afresh.
    """
    # ascii(): no two lists of parts give the same text, and lone surrogates do not raise.
    text = ascii(parts).encode()
    digest = keyed_digest(b"construct.limits", text).hex()
    return f"{PREFIX}:{kind}:{digest}"


def address_group(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 address.

    IPv4-mapped IPv6 addresses count as IPv4. Text that is no address (a
    Unix socket's peer) stands for itself.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, 64), strict=False))

"""The other end of a connection, as far as accounts want to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from accounts.models import CLIENT_LABEL_CHARS
from construct_site.limits.keys import address_group

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a request comes from and what the client calls itself."""

    address: str
    """An IPv4 address, the /64 of an IPv6 address (``2001:db8::/64``), or ``unknown``."""
    client_label: str
    """The client's own name for itself: 0 to 64 printable characters. Not to be believed."""

    @classmethod
    def from_scope(cls, scope: Mapping[str, Any]) -> Peer:
        """The peer of an ASGI connection: its ``client`` and its ``user-agent`` header."""
        client = scope.get("client")
        return cls(address=normalised(client[0] if client else ""), client_label=_label(scope))


def normalised(address: str) -> str:
    """The form in which addresses are compared; see :attr:`Peer.address`."""
    try:
        ip_address(address.partition("%")[0])
    except ValueError:
        return UNKNOWN
    return address_group(address)


def _label(scope: Mapping[str, Any]) -> str:
    for name, value in scope.get("headers", ()):
        if name == b"user-agent":
            # RFC 9110 section 5.5: bytes beyond ASCII are opaque; ISO-8859-1 reads all of them.
            text: str = value.decode("latin-1")
            return "".join(filter(str.isprintable, text)).strip()[:CLIENT_LABEL_CHARS]
    return ""

"""The other end of a connection, as far as accounts want to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from accounts.models import CLIENT_LABEL_CHARS
from construct_site import proxies
from construct_site.limits.keys import address_group
from construct_site.notices import UNTRUSTED_FORWARDING

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
        """The client of an ASGI connection, of either kind, and its ``user-agent`` header.

        Every address that is counted, kept or shown comes from here. Behind proxies
        of ``CONSTRUCT_TRUSTED_PROXIES`` it is the one that they name; a forwarding
        header of anybody else is left alone, and noticed.
        """
        return cls(address=_address(scope), client_label=_label(scope))


def _address(scope: Mapping[str, Any]) -> str:
    client, headers = scope.get("client"), scope.get("headers", ())
    peer = proxies.read_address(client[0]) if client else None
    trusted = proxies.read_networks(tuple(settings.CONSTRUCT.trusted_proxies))
    # Judged by its whole address: of a /64 only one address may be the proxy's.
    if peer is not None and proxies.is_within(peer, trusted):
        peer = proxies.client_address(peer, headers, trusted)
    elif proxies.is_forwarded(headers):
        UNTRUSTED_FORWARDING.give()
    return UNKNOWN if peer is None else address_group(str(peer))


def _label(scope: Mapping[str, Any]) -> str:
    for name, value in scope.get("headers", ()):
        if name == b"user-agent":
            # RFC 9110 section 5.5: bytes beyond ASCII are opaque; ISO-8859-1 reads all of them.
            text: str = value.decode("latin-1")
            return "".join(filter(str.isprintable, text)).strip()[:CLIENT_LABEL_CHARS]
    return ""

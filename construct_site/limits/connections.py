"""Open sockets per address, in this process."""

from __future__ import annotations

from collections import Counter

from django.conf import settings

from construct_site.errors import ConstructError, ErrorCode
from construct_site.limits.keys import address_group


class ConnectionCounter:
    """Counts the open sockets of each address (IPv6: of each /64); one entry per address with a socket."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def open(self, address: str) -> None:
        """Count one socket. Raises TOO_MANY_CONNECTIONS, uncounted, at the cap."""
        group, config = address_group(address), settings.CONSTRUCT
        if config.limits_on and self._open[group] >= config.connections_per_address:
            raise ConstructError(
                ErrorCode.TOO_MANY_CONNECTIONS, "Too many connections from this address. Close one first."
            )
        self._open[group] += 1

    def close(self, address: str) -> None:
        """Uncount one socket; exactly once for each :meth:`open` that did not raise."""
        group = address_group(address)
        self._open[group] -= 1
        if self._open[group] <= 0:
            del self._open[group]

    def __len__(self) -> int:
        return len(self._open)

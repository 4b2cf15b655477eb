"""HTTP requests in work at once: each takes a thread, and maybe a database connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from construct_site.errors import ErrorCode
from construct_site.plain_answers import send_error

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

ADDRESS_WORKS = 1 / 2
ADDRESS_WAITS = 1 / 4
"""Of all places, how many one address may have. A request may take seconds (a login waits for others of its name)."""


@dataclass(slots=True)
class _Address:
    places: asyncio.Semaphore
    held: int = 0


class Bounded:
    """An ASGI application for HTTP that works on `most` requests at once; `waiting` more wait, others get SERVER_BUSY.

    One address, by `address_of` a scope, has half of the places to work and a quarter of
    those to wait; who waits for a place of its address stands in nobody else's way. So
    with `most` of two or more no single address keeps the others out.

    For one event loop.
    """

    def __init__(
        self, application: Application, *, most: int, waiting: int, address_of: Callable[[Scope], str]
    ) -> None:
        self._application = application
        self._address_of = address_of
        self._places = asyncio.Semaphore(most)
        self._free = most + waiting
        self._most_of_one = max(1, int(most * ADDRESS_WORKS))
        self._held_by_one = self._most_of_one + int(waiting * ADDRESS_WAITS)
        self._addresses: dict[str, _Address] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = self._address_of(scope)
        address = self._addresses.get(name) or _Address(asyncio.Semaphore(self._most_of_one))
        if not self._free or address.held >= self._held_by_one:
            await send_error(send, ErrorCode.SERVER_BUSY, (b"retry-after", b"1"))
            return
        self._free -= 1
        address.held += 1
        self._addresses[name] = address
        try:
            async with address.places, self._places:
                await self._application(scope, receive, send)
        finally:
            self._free += 1
            address.held -= 1
            if not address.held:
                del self._addresses[name]

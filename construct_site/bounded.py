"""HTTP requests in work at once: each takes a thread, and maybe a database connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from construct_site.errors import ErrorCode
from construct_site.plain_answers import send_error

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Bounded:
    """An ASGI application for HTTP that works on `most` requests at once; `waiting` more wait, others get SERVER_BUSY.

    For one event loop.
    """

    def __init__(self, application: Application, *, most: int, waiting: int) -> None:
        self._application = application
        self._places = asyncio.Semaphore(most)
        self._free = most + waiting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._free:
            await send_error(send, ErrorCode.SERVER_BUSY, (b"retry-after", b"1"))
            return
        self._free -= 1
        try:
            async with self._places:
                await self._application(scope, receive, send)
        finally:
            self._free += 1

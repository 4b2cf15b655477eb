"""HTTP requests in work at once: each takes a thread, and maybe a database connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from construct_site.errors import ERRORS, ErrorCode

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
            await _refuse(send)
            return
        self._free -= 1
        try:
            async with self._places:
                await self._application(scope, receive, send)
        finally:
            self._free += 1


async def _refuse(send: Send) -> None:
    row = ERRORS[ErrorCode.SERVER_BUSY]
    body = json.dumps({"code": ErrorCode.SERVER_BUSY.value, "message": row.text}).encode()
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": row.http_status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

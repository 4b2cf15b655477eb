"""What a socket still has to be sent, in order: frames, pings and the close travel through one queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog

from construct_site.logs import describe_error

log = structlog.get_logger(__name__)

_EVENTS_WAITING = 256

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Outbox:
    """Writes ASGI events one after another, by a task that lives only while there are any.

    Nobody who puts an event waits for the socket: a slow reader holds up nobody else.
    """

    def __init__(self, send: Send, failed: Callable[[], None]) -> None:
        """`failed` is called when the server takes no more, with whatever error."""
        self.progress_at = 0.0
        """Loop time at which the server last took something that was put before the newest ping, or that ping."""
        self._send = send
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._newest_ping: dict[str, Any] | None = None
        self._events: deque[dict[str, Any]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._closer: asyncio.Task[None] | None = None
        self._is_closed = False

    def put_frame(self, frame: bytes) -> None:
        self._put({"type": "websocket.send", "bytes": frame})

    def put_ping(self, payload: bytes) -> None:
        """`payload`: at most 125 bytes (RFC 6455 section 5.5). Only where the server has the ping hook."""
        self._newest_ping = {"type": "websocket.ping", "payload": payload}
        self._put(self._newest_ping)

    def put_close(self, code: int) -> None:
        """Close after what was put before; what is put after it is dropped."""
        # A plain int: autobahn refuses subclasses, enumerations too.
        self._put({"type": "websocket.close", "code": int(code)})
        self._is_closed = True

    def abandon(self, code: int) -> None:
        """Close a socket that takes nothing: what waits for it is dropped, the close does not wait behind it."""
        if self._writer is not None:
            self.drop()
            self._closer = asyncio.create_task(self._close_now(code))

    async def has_room(self) -> None:
        """Wait while the socket takes less than is put: a client that does not read is not read either."""
        if len(self._events) > _EVENTS_WAITING:
            await self.flush()

    def drop(self) -> None:
        """The socket is gone: nothing is sent any more."""
        self._is_closed = True
        self._events.clear()

    async def flush(self) -> None:
        """Wait until everything that was put has been handed to the server."""
        if self._writer is not None:
            await asyncio.wait([self._writer])

    def _put(self, event: dict[str, Any]) -> None:
        if self._is_closed:
            return
        self._events.append(event)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())

    async def _close_now(self, code: int) -> None:
        with suppress(Exception):
            await self._send({"type": "websocket.close", "code": int(code)})

    async def _write(self) -> None:
        try:
            while self._events:
                event = self._events.popleft()
                await self._send(event)
                if self._newest_ping is not None:
                    self.progress_at = self._loop.time()
                    if event is self._newest_ping:
                        self._newest_ping = None
        except Exception as error:  # noqa: BLE001 - whatever the server raises, this socket takes no more
            log.error("write failed", error=describe_error(error))
            self.drop()
            self._failed()
        finally:
            self._writer = None

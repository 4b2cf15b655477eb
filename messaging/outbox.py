"""What a socket still has to be sent, in order: frames, pings and the close travel through one queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import structlog

from construct_site.logs import describe_error

log = structlog.get_logger(__name__)

_EVENTS_WAITING = 256

Send = Callable[[dict[str, Any]], Awaitable[None]]
Room = asyncio.Future[None] | None
"""What to wait for before the next call; None: nothing."""


class Wire(Protocol):
    """The server's end of a socket."""

    def send(self, frame: bytes) -> Room: ...

    def ping(self, payload: bytes) -> Room: ...

    def close(self, code: int) -> Room: ...


class EventWire:
    """A wire made of ASGI events: for any server."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def send(self, frame: bytes) -> Room:
        return self._put({"type": "websocket.send", "bytes": frame})

    def ping(self, payload: bytes) -> Room:
        return self._put({"type": "websocket.ping", "payload": payload})

    def close(self, code: int) -> Room:
        return self._put({"type": "websocket.close", "code": code})

    def _put(self, event: dict[str, Any]) -> Room:
        return asyncio.ensure_future(self._send(event))


class Outbox:
    """Writes one thing after another.

    Nobody who puts something waits for the socket: a slow reader holds up nobody else.
    """

    def __init__(self, wire: Wire, failed: Callable[[], None]) -> None:
        """`failed` is called when the server takes no more, with whatever error."""
        self.progress_at = 0.0
        """Loop time at which the server last took something that was put before the newest ping, or that ping."""
        self._wire = wire
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Callable[[], Room]] = deque()
        self._room: Room = None
        self._newest_ping: Callable[[], Room] | None = None
        self._is_closed = False

    def put_frame(self, frame: bytes) -> None:
        self._put(partial(self._wire.send, frame))

    def put_ping(self, payload: bytes) -> None:
        """`payload`: at most 125 bytes (RFC 6455 section 5.5). Only where the server has the ping hook."""
        self._newest_ping = partial(self._wire.ping, payload)
        self._put(self._newest_ping)

    def put_close(self, code: int) -> None:
        """Close after what was put before; what is put after it is dropped."""
        # A plain int: autobahn refuses subclasses, enumerations too.
        self._put(partial(self._wire.close, int(code)))
        self._is_closed = True

    def abandon(self, code: int) -> None:
        """Close a socket that takes nothing: what waits for it is dropped, the close does not wait behind it."""
        if self._room is not None:
            self.drop()
            self._write(partial(self._wire.close, int(code)))

    @property
    def is_crowded(self) -> bool:
        """The socket takes less than is put: a client that does not read is not read either."""
        return len(self._waiting) > _EVENTS_WAITING

    async def has_room(self) -> None:
        """Wait while it is crowded."""
        if self.is_crowded:
            await self.flush()

    def drop(self) -> None:
        """The socket is gone: nothing is sent any more."""
        self._is_closed = True
        self._waiting.clear()

    async def flush(self) -> None:
        """Wait until everything that was put has been handed to the server."""
        while self._room is not None:
            await asyncio.wait([self._room])

    def _put(self, call: Callable[[], Room]) -> None:
        if self._is_closed:
            return
        if self._room is None:
            self._write(call)
        else:
            self._waiting.append(call)

    def _write(self, call: Callable[[], Room]) -> None:
        try:
            room = call()
        except Exception as error:  # noqa: BLE001 - whatever the server raises, this socket takes no more
            self._fail(error)
            return
        if room is None:
            self._note_progress(call)
        else:
            self._room = room
            room.add_done_callback(partial(self._on_room, call))

    def _on_room(self, call: Callable[[], Room], room: asyncio.Future[None]) -> None:
        self._room = None
        if not room.cancelled() and (error := room.exception()) is not None:
            self._fail(error)
            return
        self._note_progress(call)
        while self._waiting and self._room is None:
            self._write(self._waiting.popleft())

    def _note_progress(self, call: Callable[[], Room]) -> None:
        if self._newest_ping is not None:
            self.progress_at = self._loop.time()
            if call is self._newest_ping:
                self._newest_ping = None

    def _fail(self, error: BaseException) -> None:
        log.error("write failed", error=describe_error(error))
        self.drop()
        self._failed()

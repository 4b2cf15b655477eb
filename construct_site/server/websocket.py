"""Daphne's WebSocket protocol with the parts it keeps to itself.

ASGI events beyond the specification, announced as the scope's extension
``websocket.ping``:

* application → server ``{"type": "websocket.ping", "payload": bytes}``, at most
  125 bytes; sent in order with the frames around it;
* server → application ``{"type": "websocket.pong", "payload": bytes}``.

The server's end, announced as ``websocket.drain``:

* server → application ``{"type": "websocket.drain"}``, after all frames that the
  application still gets: it answers them and closes. An application that does
  not is closed with 1012 when the time is over.

Backpressure, which needs no announcement:

* a send waits while more than the transport's mark (64 KiB) is on its way out;
* reading pauses while :data:`FRAMES_WAITING` events wait for the application.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from daphne.ws_protocol import WebSocketProtocol
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from construct_site.errors import CloseCode
from construct_site.server import framing
from construct_site.server.framing import Unread

PING_EXTENSION = "websocket.ping"
DRAIN_EXTENSION = "websocket.drain"
SYSTEM_BUFFER_BYTES = 128 * 1024
"""Linux takes twice that. It bounds a connection to so much a round trip: 2.5 MB/s over 100 ms."""
FRAMES_WAITING = 64
"""Events of one socket that may wait for the application before its reading pauses."""


class ConstructWebSocketProtocol(WebSocketProtocol):  # type: ignore[misc] # daphne carries no types
    """One connection.

    An open connection reads and writes whole binary messages and pongs by
    :mod:`.framing`; everything else is autobahn's.
    """

    data: bytes
    flow: OutboundFlow | None = None
    is_draining = False
    _outgoing: list[bytes] | None = None

    def onOpen(self) -> None:  # noqa: N802 - autobahn's name
        super().onOpen()
        # What the system holds for a client that does not read: by default it grows to megabytes.
        self.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SYSTEM_BUFFER_BYTES)
        self.flow = OutboundFlow()
        # Twisted's HTTP channel was the producer before the upgrade.
        self.transport.unregisterProducer()
        self.transport.registerProducer(self.flow, True)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:  # noqa: N802, N803 - autobahn's
        super().onClose(wasClean, code, reason)
        if self.flow is not None:
            self.flow.resumeProducing()

    # In

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        if self.state != self.STATE_OPEN or self.current_frame is not None or self.inside_message:
            # Not dataReceived() of autobahn: it composes a coloured debug line for every read.
            self._dataReceived(data)
            return
        received = self.data + data if self.data else data
        start = 0
        frame = framing.read_frame(received, start, self.maxMessagePayloadSize)
        while not isinstance(frame, Unread):
            opcode, payload, start = frame
            if opcode == framing.BINARY:
                self.onMessage(payload, True)
            else:
                self.onPong(payload)
            frame = framing.read_frame(received, start, self.maxMessagePayloadSize)
        self.data = received[start:]
        if frame is Unread.UNUSUAL:
            self.consumeData()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803 - autobahn's names
        if isBinary and not self.muted:
            self._pass_on({"type": "websocket.receive", "bytes": payload})
        else:
            super().onMessage(payload, isBinary)

    def onPong(self, payload: bytes) -> None:  # noqa: N802 - autobahn's name
        if not self.muted and hasattr(self, "application_queue"):
            self._pass_on({"type": "websocket.pong", "payload": payload})

    def _pass_on(self, event: dict[str, Any]) -> None:
        if self.is_draining and event["type"] == "websocket.receive":
            # Never acknowledged: the client sends it again elsewhere.
            return
        queue: asyncio.Queue[dict[str, Any]] = self.application_queue
        queue.put_nowait(event)
        if queue.qsize() == FRAMES_WAITING:
            self.transport.pauseProducing()

    # Out

    def handle_reply(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "websocket.send", "bytes": bytes(payload)} if self.state == self.STATE_OPEN:
                self._write(framing.header(framing.BINARY, len(payload)) + payload)
            case {"type": "websocket.ping", "payload": payload}:
                if self.state == self.STATE_OPEN:
                    self._write(framing.header(framing.PING, len(payload)) + payload)
            case {"type": "websocket.close", "code": int(code)} if self.state != self.STATE_CONNECTING:
                # sendClose() takes only 1000 and 3000 to 4999; RFC 6455 section 7.4 allows 1012 as well.
                # Once a close is under way sendCloseFrame() does nothing.
                self.sendCloseFrame(code=code)
            case {"type": "websocket.send"} if self.state in (self.STATE_CLOSING, self.STATE_CLOSED):
                # An ordinary race, for which autobahn raises. Daphne drops what comes after the end.
                pass
            case _:
                super().handle_reply(message)

    def _write(self, frame: bytes) -> None:
        """Frames that are written in one turn of the event loop leave in one packet: a message and its ping."""
        if self._outgoing is None:
            self._outgoing = [frame]
            asyncio.get_running_loop().call_soon(self._flush)
        else:
            self._outgoing.append(frame)

    def _flush(self) -> None:
        if self._outgoing is not None:
            frames, self._outgoing = self._outgoing, None
            self.transport.write(b"".join(frames))

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:  # noqa: N802 - autobahn's
        """What autobahn sends by itself: closes, pongs, the handshake. (Its own composes a debug line as well.)"""
        self._flush()
        if sync or chopsize or self.send_queue:
            super().sendData(data, sync, chopsize)
        else:
            self.transport.write(data)

    def check_timeouts(self) -> None:
        """Daphne's own pings stay off: the hub pings, and its pongs mean something."""
        if self.state == self.STATE_CONNECTING:
            super().check_timeouts()

    def drain(self) -> None:
        """Take no more frames; the application answers those it has and closes."""
        self._pass_on({"type": "websocket.drain"})
        self.is_draining = True

    def close_for_restart(self) -> None:
        """The application's time is over: tell the client that it may come back."""
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code=CloseCode.RESTARTING)


@implementer(IPushProducer)
class OutboundFlow:
    """Knows whether the transport has room. Twisted pauses it above its mark and resumes it when all is sent."""

    def __init__(self) -> None:
        self._room: asyncio.Future[None] | None = None

    @property
    def is_paused(self) -> bool:
        return self._room is not None

    async def has_room(self) -> None:
        if self._room is not None:
            await asyncio.shield(self._room)

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.resumeProducing()


class InboundQueue(asyncio.Queue[dict[str, Any]]):
    """A socket's events on their way to the application; reading goes on once they are taken."""

    def __init__(self, protocol: ConstructWebSocketProtocol) -> None:
        super().__init__()
        self._protocol = protocol

    def _get(self) -> dict[str, Any]:
        event = super()._get()
        if self.qsize() == FRAMES_WAITING // 2:
            self._protocol.transport.resumeProducing()
        return event

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

Without events, announced as ``websocket.direct``, whose value holds ``socket``, a
:class:`DirectSocket`: frames and pings are written, frames and pongs taken by calls,
in the same order as the events around them, without a task's wake-up for each.

Backpressure, which needs no announcement:

* a send waits while more than 64 KiB are on their way out;
* reading pauses while :data:`FRAMES_WAITING` events wait for the application.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import autobahn.websocket.protocol
from daphne.ws_protocol import WebSocketProtocol

from construct_site.errors import CloseCode
from construct_site.server import framing
from construct_site.server.framing import Unread
from construct_site.server.transport import LoopTransport, Move

# For a debug line that nobody reads, autobahn prints a structure at each connection: 8 % of a reconnect's time.
autobahn.websocket.protocol.pformat = repr
PING_EXTENSION = "websocket.ping"
DRAIN_EXTENSION = "websocket.drain"
DIRECT_EXTENSION = "websocket.direct"
FRAMES_WAITING = 64
"""Events of one socket that may wait for the application before its reading pauses."""


class Listener(Protocol):
    """Takes what comes in at once, or leaves it to become an event."""

    def take_frame(self, frame: bytes) -> bool:
        """Whether this binary message was taken."""

    def take_pong(self, payload: bytes) -> bool:
        """Whether this pong was taken."""


class ConstructWebSocketProtocol(WebSocketProtocol):  # type: ignore[misc] # daphne carries no types
    """One connection.

    An open connection reads and writes whole binary messages and pongs by
    :mod:`.framing`; everything else is autobahn's.
    """

    data: bytes
    is_draining = False
    is_gone = False
    listener: Listener | None = None

    def onOpen(self) -> None:  # noqa: N802 - autobahn's name
        super().onOpen()
        # Twisted's HTTP channel was the producer before the upgrade.
        self.transport.unregisterProducer()
        self.transport.registerProducer(Move(self), False)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:  # noqa: N802, N803 - autobahn's
        self.is_gone = True
        super().onClose(wasClean, code, reason)

    @property
    def room(self) -> asyncio.Future[None] | None:
        """What to wait for before more is sent; None: the socket has room."""
        transport = self.transport
        return transport.room if type(transport) is LoopTransport else None

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
        if not isBinary or self.muted:
            super().onMessage(payload, isBinary)
        elif self.listener is None or self._has_events or not self.listener.take_frame(payload):
            self._pass_on({"type": "websocket.receive", "bytes": payload})

    def onPong(self, payload: bytes) -> None:  # noqa: N802 - autobahn's name
        if self.muted or not hasattr(self, "application_queue"):
            return
        if self.listener is None or self._has_events or not self.listener.take_pong(payload):
            self._pass_on({"type": "websocket.pong", "payload": payload})

    @property
    def _has_events(self) -> bool:
        """Something came earlier and waits for the application. (Or nothing more is taken.)"""
        return self.is_draining or not self.application_queue.empty()

    def _pass_on(self, event: dict[str, Any]) -> None:
        if self.is_draining and event["type"] == "websocket.receive":
            # Never acknowledged: the client sends it again elsewhere.
            return
        queue: asyncio.Queue[dict[str, Any]] = self.application_queue
        queue.put_nowait(event)
        # Each time: a pause that Twisted's transport was asked for does not hold on the one that takes its place.
        if queue.qsize() >= FRAMES_WAITING:
            self.transport.pauseProducing()

    # Out

    def send_binary(self, payload: bytes) -> None:
        if self.state == self.STATE_OPEN:
            self.transport.write(framing.header(framing.BINARY, len(payload)) + payload)

    def send_ping(self, payload: bytes) -> None:
        if self.state == self.STATE_OPEN:
            self.transport.write(framing.header(framing.PING, len(payload)) + payload)

    def close(self, code: int) -> None:
        """Close an open socket with any code of RFC 6455 section 7.4; once a close is under way, do nothing.

        (`sendClose` takes only 1000 and 3000 to 4999.)
        """
        self.sendCloseFrame(code=code)

    def handle_reply(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "websocket.send", "bytes": bytes(payload)} if self.state == self.STATE_OPEN:
                self.send_binary(payload)
            case {"type": "websocket.ping", "payload": payload}:
                self.send_ping(payload)
            case {"type": "websocket.close", "code": int(code)} if self.state != self.STATE_CONNECTING:
                self.close(code)
            case {"type": "websocket.send"} if self.state in (self.STATE_CLOSING, self.STATE_CLOSED):
                # An ordinary race, for which autobahn raises. Daphne drops what comes after the end.
                pass
            case _:
                super().handle_reply(message)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:  # noqa: N802 - autobahn's
        """What autobahn sends by itself: closes, pongs, the handshake. (Its own composes a debug line as well.)"""
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


class DirectSocket:
    """A socket's calls for the application. Frames that are sent return what to wait for before the next, if full."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: ConstructWebSocketProtocol) -> None:
        self._protocol = protocol

    def listen(self, listener: Listener) -> None:
        """Ask `listener` first, from now on. It is not asked while earlier events wait for the application."""
        self._protocol.listener = listener

    def send(self, frame: bytes) -> asyncio.Future[None] | None:
        self._protocol.send_binary(frame)
        return self._protocol.room

    def ping(self, payload: bytes) -> asyncio.Future[None] | None:
        """`payload`: at most 125 bytes."""
        self._protocol.send_ping(payload)
        return self._protocol.room

    def close(self, code: int) -> asyncio.Future[None] | None:
        self._protocol.close(code)
        return None


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

"""An open socket's way out of Twisted: its file descriptor moves to a transport of the event loop.

uvloop reads and writes in C, without Twisted's reactor between. With the calls of
`websocket.direct` it took the event loop's part of a message from 0.26 to 0.19 ms
(2026-11). Handshakes and HTTP stay with Twisted.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Protocol, cast

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPullProducer
from twisted.python.failure import Failure
from zope.interface import implementer

SYSTEM_BUFFER_BYTES = 128 * 1024
"""What the system holds of a socket's output; Linux takes twice that, and would by default let it grow to megabytes.
It bounds a connection to so much a round trip: 2.5 MB/s over 100 ms."""
MARK_BYTES = 64 * 1024
"""More than this on its way out, beyond the system's buffer: the socket is full."""
_RESET = struct.pack("ii", 1, 0)


class Mover(Protocol):
    """The protocol whose transport moves."""

    transport: Any

    def dataReceived(self, data: bytes) -> None: ...  # noqa: N802 - Twisted's name

    def connectionLost(self, reason: Failure) -> None: ...  # noqa: N802 - Twisted's name


@implementer(IPullProducer)
class Move:
    """Moves a protocol's connection from Twisted's transport to :class:`LoopTransport`, once nothing is left to write.

    Twisted asks a pull producer for more when it is registered and whenever all has
    been sent; what the protocol writes until then (the end of the handshake) goes first.
    """

    def __init__(self, protocol: Mover) -> None:
        self._protocol = protocol
        self._is_registered = False

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        if not self._is_registered:
            self._is_registered = True
            return
        twisted = self._protocol.transport
        is_closing = twisted.disconnecting
        twisted.unregisterProducer()
        twisted.stopReading()
        twisted.stopWriting()
        # Taken out of Twisted's hands without a word to the peer: its transport would shut the connection down.
        self._protocol.transport = LoopTransport(
            self._protocol, socket.socket(fileno=twisted.getHandle().detach())
        )
        if is_closing:
            self._protocol.transport.loseConnection()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The connection ended first."""


class LoopTransport(asyncio.Protocol):
    """What autobahn asks of a Twisted transport, done by one of the event loop."""

    def __init__(self, protocol: Mover, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.room: asyncio.Future[None] | None = None
        """Ends when the socket has room again; None while it has."""
        self._protocol = protocol
        self._transport: asyncio.Transport | None = None
        self._outgoing: list[bytes] = []
        self._is_reading = True
        self._is_lost = False
        self._loop = asyncio.get_running_loop()
        self._opening = self._loop.create_task(self._loop.connect_accepted_socket(lambda: self, connection))

    # What autobahn and the protocol ask for

    def write(self, data: bytes) -> None:
        """What is written in one turn of the event loop leaves in one packet: a message and its ping."""
        self._outgoing.append(data)
        if len(self._outgoing) == 1 and self._transport is not None:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._outgoing and self._transport is not None:
            self._transport.write(b"".join(self._outgoing))
            self._outgoing.clear()

    def loseConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Close once all is sent."""
        if self._transport is not None:
            self._flush()
            self._transport.close()
        elif not self._opening.done():
            self._opening.add_done_callback(lambda _opened: self.loseConnection())

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Close at once; what was not sent is dropped, by the system too."""
        if self._transport is not None:
            connection = self._transport.get_extra_info("socket")
            if connection is not None and not self._is_lost:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()
        elif not self._opening.done():
            self._opening.add_done_callback(lambda _opened: self.abortConnection())

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Read no more for now."""
        self._is_reading = False
        if self._transport is not None and not self._is_lost:
            self._transport.pause_reading()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        if not self._is_reading:
            self._is_reading = True
            if self._transport is not None and not self._is_lost:
                self._transport.resume_reading()

    def unregisterProducer(self) -> None:  # noqa: N802 - Twisted's name
        """autobahn says so at the end. There is none: :attr:`room` takes its place."""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(high=MARK_BYTES, low=0)
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, SYSTEM_BUFFER_BYTES
        )
        if not self._is_reading:
            transport.pause_reading()
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._protocol.dataReceived(data)

    def pause_writing(self) -> None:
        if self.room is None:
            self.room = self._loop.create_future()

    def resume_writing(self) -> None:
        if self.room is not None:
            self.room.set_result(None)
            self.room = None

    def connection_lost(self, error: Exception | None) -> None:
        self._is_lost = True
        self.resume_writing()
        reason = ConnectionLost() if error else ConnectionDone()
        self._protocol.connectionLost(Failure(reason))  # type: ignore[no-untyped-call] # Twisted leaves it untyped

"""A WebSocket client that costs next to nothing, so that a load test measures the server.

RFC 6455 as far as a load test needs it: binary messages in one frame, pings
answered, a masking key of zeros (legal, and spares the XOR).
"""

from __future__ import annotations

import asyncio
import base64
import os
import struct
from collections.abc import Callable
from typing import cast

_BINARY, _CLOSE, _PING, _PONG = 0x2, 0x8, 0x9, 0xA
_NO_MASK = bytes(4)


class LoadSocket(asyncio.Protocol):
    """One connection. ``on_message`` is called with each binary message, inside the event loop's read."""

    def __init__(self, host: str, on_message: Callable[[bytes], None]) -> None:
        self.on_message = on_message
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._host = host
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._close_code: int | None = None
        self._has_room = asyncio.Event()
        self._has_room.set()

    @classmethod
    async def open(
        cls, host: str, port: int, on_message: Callable[[bytes], None], source: str = "127.0.0.1"
    ) -> LoadSocket:
        """Connect from the address `source`. Raises OSError; ConnectionError for a refused handshake."""
        loop = asyncio.get_running_loop()
        _, socket = await loop.create_connection(
            lambda: cls(f"{host}:{port}", on_message), host, port, local_addr=(source, 0)
        )
        try:
            await socket.opened
        except BaseException:
            socket.close()
            raise
        return socket

    def send(self, message: bytes) -> None:
        assert self._transport is not None
        self._transport.write(_header(_BINARY, len(message)) + message)

    async def has_room(self) -> None:
        """Wait until the server takes what was sent."""
        await self._has_room.wait()

    def pause(self) -> None:
        """Read nothing until :meth:`resume`."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = transport = cast("asyncio.Transport", transport)
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET / HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.opened.done():
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self._buffer.startswith(b"HTTP/1.1 101"):
                self.opened.set_exception(ConnectionError(self._buffer[:40].decode("latin-1")))
                return
            del self._buffer[: end + 4]
            self.opened.set_result(None)
        self._read_frames()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionError("closed during the handshake"))
        if not self.closed.done():
            self.closed.set_result(self._close_code)
        self._has_room.set()

    def pause_writing(self) -> None:
        self._has_room.clear()

    def resume_writing(self) -> None:
        self._has_room.set()

    def _read_frames(self) -> None:
        buffer = self._buffer
        position = 0
        while len(buffer) - position >= 2:
            size, start = buffer[position + 1], position + 2
            if size == 126:
                if len(buffer) - start < 2:
                    break
                (size,) = struct.unpack_from("!H", buffer, start)
                start += 2
            elif size == 127:
                if len(buffer) - start < 8:
                    break
                (size,) = struct.unpack_from("!Q", buffer, start)
                start += 8
            if len(buffer) - start < size:
                break
            self._take(buffer[position] & 0x0F, bytes(buffer[start : start + size]))
            position = start + size
        del buffer[:position]

    def _take(self, opcode: int, payload: bytes) -> None:
        assert self._transport is not None
        if opcode == _BINARY:
            self.on_message(payload)
        elif opcode == _PING:
            self._transport.write(_header(_PONG, len(payload)) + payload)
        elif opcode == _CLOSE:
            self._close_code = struct.unpack_from("!H", payload)[0] if len(payload) >= 2 else None
            self._transport.write(_header(_CLOSE, len(payload)) + payload)
            self._transport.close()


def _header(opcode: int, size: int) -> bytes:
    if size < 126:
        return bytes((0x80 | opcode, 0x80 | size)) + _NO_MASK
    if size < 1 << 16:
        return struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size) + _NO_MASK
    return struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size) + _NO_MASK

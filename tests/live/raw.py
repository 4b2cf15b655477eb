"""A WebSocket client that leaves nothing to a library: it decides itself which pings it answers.

RFC 6455 as far as the tests need it: unfragmented frames, either side's close.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import socket
import struct

from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_FINAL, _MASKED = 0x80, 0x80
_SHORT_MAX = 125


class HandshakeRefused(Exception):
    """The server answered the handshake with `status` instead of 101."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class RawSocket:
    """One connection. Pings are answered while `answers_pings` is set, and kept in `pings` in any case."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers_pings: bool
    ) -> None:
        self.answers_pings = answers_pings
        self.pings: asyncio.Queue[bytes] = asyncio.Queue()
        self.close_code: int | None = None
        self._reader = reader
        self._writer = writer
        self._messages: asyncio.Queue[bytes | str | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls,
        port: int,
        *,
        source: str = "127.0.0.1",
        path: str = "/ws",
        answers_pings: bool = True,
        receive_bytes: int | None = None,
    ) -> RawSocket:
        """`receive_bytes` bounds what the system takes in for a client that does not read.

        Raises :class:`HandshakeRefused`.
        """
        plain = socket.socket()
        plain.bind((source, 0))
        if receive_bytes is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        plain.connect(("127.0.0.1", port))
        plain.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=plain)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = await reader.readuntil(b"\r\n\r\n")
        status = int(answer.split()[1])
        if status != 101:
            writer.close()
            await writer.wait_closed()
            raise HandshakeRefused(status)
        return cls(reader, writer, answers_pings=answers_pings)

    async def send(self, message: bytes | str) -> None:
        text = isinstance(message, str)
        self._write(TEXT if text else BINARY, message.encode() if isinstance(message, str) else message)
        await self._writer.drain()

    async def recv(self) -> bytes | str:
        """The next message. Raises ``ConnectionClosedError`` once the connection has ended."""
        message = await self._messages.get()
        if message is None:
            self._messages.put_nowait(None)
            closed = None if self.close_code is None else Close(self.close_code, "")
            raise ConnectionClosedError(closed, None)
        return message

    def pong(self, payload: bytes) -> None:
        self._write(PONG, payload)

    def ping(self, payload: bytes) -> None:
        self._write(PING, payload)

    def abort(self) -> None:
        """Cut the connection without a word."""
        self._writer.transport.abort()

    def freeze(self) -> None:
        """Stop reading for good, as a client that hangs: not even a close is answered."""
        self._task.cancel()

    async def close(self) -> None:
        """Close in order: the server has read all that was sent before. A frozen socket is cut."""
        if not self._task.done():
            self._write(CLOSE, struct.pack("!H", 1000))
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(self._task), 5)
        # Of a connection that the server ended nothing is left to cut.
        if not self._reader.at_eof():
            self.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def _write(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size <= _SHORT_MAX:
            header = struct.pack("!BB", _FINAL | opcode, _MASKED | size)
        elif size < 1 << 16:
            header = struct.pack("!BBH", _FINAL | opcode, _MASKED | 126, size)
        else:
            header = struct.pack("!BBQ", _FINAL | opcode, _MASKED | 127, size)
        mask = secrets.token_bytes(4)
        stream = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")
        self._writer.write(header + mask + masked)

    async def _read(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._read_frame():
                pass
        # Not in a `finally`: a frozen client neither hears of an end nor closes.
        self._messages.put_nowait(None)
        self._writer.close()

    async def _read_frame(self) -> bool:
        """Whether another frame may follow."""
        opcode, size = await self._reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack("!H", await self._reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self._reader.readexactly(8))
        payload = await self._reader.readexactly(size)
        match opcode & ~_FINAL:
            case 0x2:
                self._messages.put_nowait(payload)
            case 0x9:
                self.pings.put_nowait(payload)
                if self.answers_pings:
                    self.pong(payload)
            case 0x8:
                self.close_code = struct.unpack("!H", payload[:2])[0] if payload else None
                self._write(CLOSE, payload[:2])
                return False
        return True

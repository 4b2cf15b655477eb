"""One WebSocket connection: frames out in order, replies matched to requests, messages handed on.

Replies come in the order of the requests (protocol contract, section 1), so the
oldest waiting request is the one that a reply answers. An ``error`` belongs to it
only if it names it; any other is the server's word before it closes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from messaging.client.faults import ConnectionLost, RequestRefused, SessionEnded
from messaging.protocol.codec import InvalidFrame, decode_reply, encode_request
from messaging.protocol.messages import (
    RECEIVED_IDS_MAX,
    Ack,
    ChatMessage,
    ClientMessage,
    ConnectSuccess,
    Error,
    LoginSuccess,
    Received,
    RegisterSuccess,
    ServerMessage,
    SessionExpired,
)

PING_S = 25.0
PONG_S = 30.0
OPEN_S = 10.0
CLOSE_S = 5.0
FRAME_BYTES_MAX = 1024 * 1024
"""The longest reply is a search result, far below."""
FRAMES_MAX = 256
"""Frames that were received and not looked at; beyond it the transport stops reading."""
ABNORMAL_CLOSURE = 1006
"""RFC 6455 section 7.4.1: the connection ended without a close frame."""

Deliver = Callable[[ChatMessage], Awaitable[bool]]


@dataclass(eq=False, slots=True)
class Request:
    """A request on its way, or waiting for its reply."""

    frame: bytes
    expects: type[ServerMessage]
    request_id: str
    """What the server calls it in an ``ack`` or ``error``."""
    reply: asyncio.Future[Any]
    is_resent: bool
    """Whether it outlives the connection: then nobody is told when the connection is lost."""
    overdue: asyncio.TimerHandle | None = None

    def settle(self, result: ServerMessage | Exception) -> None:
        if self.overdue:
            self.overdue.cancel()
        if self.reply.done():  # its caller was cancelled
            return
        if isinstance(result, Exception):
            self.reply.set_exception(result)
        else:
            self.reply.set_result(result)


class Connection:
    """An open socket and its two tasks. `deliver` gets every message and says whether to confirm it at once."""

    def __init__(self, socket: ClientConnection, deliver: Deliver, request_s: float) -> None:
        self.has_receipts = False
        """Whether the server agreed to receipts on this socket."""
        self.is_session_over = False
        """Whether the server said ``sessionExpired`` unasked."""
        self._socket = socket
        self._deliver = deliver
        self._request_s = request_s
        self._outgoing: deque[Request] = deque()
        self._stored: deque[str] = deque()
        self._waiting: deque[Request] = deque()
        self._is_closing = False
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    @classmethod
    async def open(cls, url: str, deliver: Deliver, request_s: float) -> Connection:
        """Raises :class:`ConnectionLost` if no server answers at `url` as a WebSocket server should."""
        try:
            socket = await connect(
                url,
                compression=None,
                proxy=None,
                open_timeout=OPEN_S,
                close_timeout=CLOSE_S,
                ping_interval=PING_S,
                ping_timeout=PONG_S,
                max_size=FRAME_BYTES_MAX,
                max_queue=FRAMES_MAX,
            )
        except (OSError, WebSocketException) as error:
            raise ConnectionLost(f"no connection: {type(error).__name__}") from error
        return cls(socket, deliver, request_s)

    def request(
        self,
        payload: ClientMessage,
        expects: type[ServerMessage],
        request_id: str,
        reply: asyncio.Future[Any],
        *,
        is_resent: bool = False,
    ) -> None:
        """Send a request; `reply` gets the reply, or :class:`ConnectionLost`. Sent in the order of the calls."""
        named = None if isinstance(payload, ChatMessage) else request_id
        request = Request(encode_request(payload, named), expects, request_id, reply, is_resent)
        self._outgoing.append(request)
        self._wake.set()
        if self._task.done():
            self._drop()

    def confirm(self, message_id: str) -> None:
        """Tell the server that a message is stored, if it wants to know; several go in one frame."""
        if self.has_receipts:
            self._stored.append(message_id)
            self._wake.set()

    async def close(self) -> None:
        """Send what is still to be sent, then close normally."""
        self._is_closing = True
        self._wake.set()
        await self.ended()

    async def ended(self) -> int:
        """Wait for the end; returns the close code."""
        return await asyncio.shield(self._task)

    async def _run(self) -> int:
        writing = asyncio.create_task(self._write())
        try:
            async for frame in self._socket:
                self._take_reply_or_none(await self._message_or_reply(frame))
                if self.is_session_over:
                    break
        except (ConnectionClosed, InvalidFrame, _OutOfOrder):
            pass
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await self._socket.close()
            self._drop()
        return self._socket.close_code or ABNORMAL_CLOSURE

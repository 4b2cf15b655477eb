"""One WebSocket connection: frames out in order, replies matched to requests, messages handed on.

Replies come in the order of the requests (protocol contract, section 1), so the
oldest waiting request is the one that a reply answers. An ``error`` belongs to it
only if it names it; any other is the server's word before it closes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

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
    Payload,
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
    expects: type[Payload]
    request_id: str
    """What the server calls it in an ``ack`` or ``error``."""
    reply: asyncio.Future[Any]
    is_resent: bool
    """Whether it outlives the connection: the next one sends it again."""
    overdue: asyncio.TimerHandle | None = None

    def settle(self, outcome: ServerMessage | Exception) -> None:
        self._stop_clock()
        if self.reply.done():  # its caller was cancelled
            return
        if isinstance(outcome, Exception):
            self.reply.set_exception(outcome)
        else:
            self.reply.set_result(outcome)

    def drop(self, fault: Exception) -> None:
        """The connection is lost: no reply will come on it."""
        if self.is_resent:
            self._stop_clock()
        else:
            self.settle(fault)

    def _stop_clock(self) -> None:
        if self.overdue:
            self.overdue.cancel()


class Connection:
    """An open socket. `deliver` is given every message and says whether to confirm it at once."""

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
        expects: type[Payload],
        request_id: str,
        reply: asyncio.Future[Any],
        *,
        is_resent: bool = False,
    ) -> None:
        """Send a request, in the order of the calls.

        `reply` gets the reply, or :class:`RequestRefused`, :class:`SessionEnded` or, unless
        the request outlives the connection, :class:`ConnectionLost`.
        """
        named = None if isinstance(payload, ChatMessage) else request_id
        self._outgoing.append(Request(encode_request(payload, named), expects, request_id, reply, is_resent))
        if self._task.done():
            self._drop()
        self._wake.set()

    def confirm(self, message_id: str) -> None:
        """Tell the server that a message is stored, if it asked for that; several go in one frame."""
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
            while not self.is_session_over:
                await self._take(decode_reply(await self._socket.recv(decode=False)))
        except (ConnectionClosed, InvalidFrame):
            pass
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await self._socket.close()
            self._drop()
        return self._socket.close_code or ABNORMAL_CLOSURE

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while not self._is_closing:
                await self._wake.wait()
                self._wake.clear()
                while self._outgoing or self._stored:
                    await self._socket.send(self._next_frame())
            await self._socket.close()

    def _next_frame(self) -> bytes:
        if not self._outgoing:
            count = min(len(self._stored), RECEIVED_IDS_MAX)
            return encode_request(Received(message_ids=[self._stored.popleft() for _ in range(count)]))
        request = self._outgoing.popleft()
        self._waiting.append(request)
        # The server answers within 10 s (protocol contract, section 1); one that does not is dead.
        request.overdue = asyncio.get_running_loop().call_later(self._request_s, self._socket.transport.abort)
        return request.frame

    async def _take(self, message: ServerMessage) -> None:
        if isinstance(message, ChatMessage):
            if await self._deliver(message):
                self.confirm(message.id)
            return
        oldest = self._waiting[0] if self._waiting else None
        if oldest is None or not _answers(message, oldest):
            self._take_unasked(message)
            return
        self._waiting.popleft()
        if isinstance(message, RegisterSuccess | LoginSuccess | ConnectSuccess):
            self.has_receipts = message.receipts
        oldest.settle(_outcome(message))

    def _take_unasked(self, message: ServerMessage) -> None:
        if isinstance(message, SessionExpired):
            self.is_session_over = True
        elif not isinstance(message, Error):
            raise InvalidFrame("The server answered what was not asked.")

    def _drop(self) -> None:
        """Tell everybody who waits that no reply will come."""
        fault = SessionEnded() if self.is_session_over else ConnectionLost("the connection ended")
        for request in (*self._waiting, *self._outgoing):
            request.drop(fault)
        self._waiting.clear()
        self._outgoing.clear()


def _answers(message: ServerMessage, request: Request) -> bool:
    if isinstance(message, Error):
        return message.request_id == request.request_id
    if isinstance(message, Ack):
        return message.message_id == request.request_id
    if isinstance(message, SessionExpired):
        return request.expects is ConnectSuccess
    return type(message) is request.expects


def _outcome(message: ServerMessage) -> ServerMessage | Exception:
    if isinstance(message, Error):
        return RequestRefused(message.code, message.message, message.work)
    return SessionEnded() if isinstance(message, SessionExpired) else message

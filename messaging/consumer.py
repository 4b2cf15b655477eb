"""The socket's edge: bytes in, bytes out, errors out. No rule of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import structlog
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from accounts.judgement import admit
from accounts.peers import Peer
from accounts.policy import Account
from construct_site.env import Config
from construct_site.errors import CloseCode, ConstructError, ErrorCode
from construct_site.limits import BadFrameMeter, FloodMeter, RateLimit
from construct_site.logs import describe_error
from messaging.node import Node, get_node
from messaging.outbox import EventWire, Outbox
from messaging.pipeline import Pipeline, Reply
from messaging.protocol import codec, messages
from messaging.protocol.codec import InvalidFrame, Request
from messaging.routes import ROUTES, Route
from messaging.session import SocketSession

log = structlog.get_logger(__name__)

PING_EXTENSION = "websocket.ping"
"""In ``scope["extensions"]`` of a server that takes ``websocket.ping`` and gives ``websocket.pong``."""
DIRECT_EXTENSION = "websocket.direct"
"""The same of a server that frames go to and come from by calls, without an event and a task's turn for each."""

_CLOSE_S = 5.0


class ConstructConsumer(AsyncWebsocketConsumer):  # type: ignore[misc] # channels carries no types
    """One socket.

    The base class dispatches each event through a thread hop that closes old
    database connections (measured: half of the relay's speed) and opens a
    channel-layer channel a socket. Here the hub owns the one channel, and no
    database connection is held, so events are read in a plain loop. Where the
    server offers it, pongs and requests that need not wait for anything are taken
    outside the loop, by a call.
    """

    node: Node
    session: SocketSession
    has_pongs: bool

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        config: Config = settings.CONSTRUCT
        self.scope = scope
        self.base_send = send
        self.has_pongs = PING_EXTENSION in scope.get("extensions", {})
        self.node = get_node()
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._peer = Peer.from_scope(scope)
        direct = scope.get("extensions", {}).get(DIRECT_EXTENSION, {}).get("socket")
        self._outbox = Outbox(direct or EventWire(send), self._leave_routing)
        self._pipeline = Pipeline(self._outbox.put_frame, most=config.pipelined_requests)
        self._bad_frames = BadFrameMeter()
        self._flood = FloodMeter()
        self._is_closing = False
        self._is_at_work = False
        self._authentication_timer: asyncio.TimerHandle | None = None
        self._reply_timer: asyncio.TimerHandle | None = None
        self.session = SocketSession(self, self._peer, self.node)
        try:
            self.node.limiter.open_connection(self._peer.address)
        except ConstructError as error:
            await self._refuse_connection(receive, error)
            return
        if direct is not None:
            direct.listen(self)
        try:
            await self._read_events(receive)
        finally:
            # An exception or a cancelled task never reaches disconnect().
            self.node.limiter.close_connection(self._peer.address)
            self._end()

    async def _read_events(self, receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        while True:
            self._is_at_work = False
            event = await receive()
            self._is_at_work = True
            match event["type"]:
                case "websocket.receive":
                    await self._on_frame(event)
                case "websocket.pong":
                    self._on_pong(event["payload"])
                case "websocket.connect":
                    await self.accept()
                    self._await_authentication()
                case "websocket.drain":
                    await self._finish()
                case "websocket.disconnect":
                    return

    async def _finish(self) -> None:
        """The server ends: what was read is answered, then the client is told to come back."""
        await self._pipeline.is_empty()
        self.close(CloseCode.RESTARTING)

    async def _refuse_connection(
        self, receive: Callable[[], Awaitable[dict[str, Any]]], error: ConstructError
    ) -> None:
        await receive()
        await self.accept()
        self._outbox.put_frame(_error_frame(error, None))
        self._outbox.put_close(CloseCode.TOO_MANY_CONNECTIONS)
        await self._outbox.flush()

    # Frames in

    def take_frame(self, frame: bytes) -> bool:
        """Begin on a request at once, if it is not its turn to wait: for an event in work, for room, for a barrier.

        What is not taken comes as an event, in its order.
        """
        if (
            self._is_at_work
            or self._is_closing
            or not self.session.is_authenticated
            or self._outbox.is_crowded
            or self._pipeline.is_full
        ):
            return False
        try:
            request = codec.decode_request(frame, self._config.frame_bytes)
        except InvalidFrame:
            return False
        route = ROUTES[request.type]
        if route.is_barrier:
            return False
        if self._is_welcome(len(frame)):
            self._begin(route, request, self._due_at())
        return True

    def take_pong(self, payload: bytes) -> bool:
        if self._is_at_work:
            return False
        self._on_pong(payload)
        return True

    def _on_pong(self, payload: bytes) -> None:
        if self.session.is_authenticated:
            self.session.connection.pong(payload)

    async def _on_frame(self, event: dict[str, Any]) -> None:
        await self._outbox.has_room()
        frame: bytes | None = event.get("bytes")
        if self._is_closing or not self._is_welcome(len(event["text"]) if frame is None else len(frame)):
            return
        if frame is None:
            await self._refuse_frame(InvalidFrame("Frames are binary MessagePack, not text."))
            return
        try:
            request = codec.decode_request(frame, self._config.frame_bytes)
        except InvalidFrame as error:
            await self._refuse_frame(error)
        else:
            await self._start(request)

    def _is_welcome(self, size: int) -> bool:
        """Count a frame; one too many closes the socket."""
        if self._flood.count(self._loop.time(), size):
            self.close(CloseCode.FLOOD, ErrorCode.RATE_LIMIT_EXCEEDED)
            return False
        if self.session.is_authenticated:
            self.session.connection.heard()
        return True

    async def _refuse_frame(self, error: InvalidFrame) -> None:
        """Answer in turn; too many unreadable frames end the socket, after its answers."""
        await self._pipeline.has_room()
        self._pipeline.fill(self._begin_reply(self._due_at()), _error_frame(error, error.request_id))
        if error.code is ErrorCode.INVALID_FORMAT and self._bad_frames.count(self._loop.time()):
            await self._pipeline.is_empty()
            self.close(CloseCode.BAD_FRAMES)

    async def _start(self, request: Request) -> None:
        """Begin to work on a request; returns when the next frame may be read."""
        route = ROUTES[request.type]
        due_at = self._due_at()
        if route.is_barrier:
            await self._pipeline.is_empty()
        else:
            await self._pipeline.has_room()
        if self._is_closing:
            return
        work = self._begin(route, request, due_at)
        if route.is_barrier and work is not None:
            await asyncio.wait([work])

    def _begin(self, route: Route, request: Request, due_at: float) -> asyncio.Future[Any] | None:
        """Run the handler; its reply is filled whatever happens. Returns the work that goes on."""
        reply = self._begin_reply(due_at)
        try:
            coming = self._handle(route, request)
        except Exception as error:  # noqa: BLE001 - the edge: sorted below
            self._fill_with_error(reply, route, request, error)
            return None
        if coming is None:
            self._pipeline.fill(reply, None)
            return None
        reply.work = work = asyncio.ensure_future(coming)
        work.add_done_callback(partial(self._on_answer, reply, route, request))
        return work

    def _on_answer(self, reply: Reply, route: Route, request: Request, work: asyncio.Future[Any]) -> None:
        try:
            frame = codec.encode(work.result())
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the edge: sorted below
            self._fill_with_error(reply, route, request, error)
            return
        self._pipeline.fill(reply, frame)
        if route.is_barrier:
            self._on_identity_changed()

    def _fill_with_error(self, reply: Reply, route: Route, request: Request, error: BaseException) -> None:
        """The client gets an error of the table; of what none foresaw, the log gets the class."""
        if isinstance(error, asyncio.CancelledError):
            error = ConstructError(route.timeout_code)
        elif not isinstance(error, ConstructError):
            log.error("request failed", request=request.type, error=describe_error(error))
            error = ConstructError(ErrorCode.SERVER_ERROR)
        self._pipeline.fill(reply, _error_frame(error, request.request_id))
        if error.code is ErrorCode.TOO_MANY_CONNECTIONS:
            self.close(CloseCode.TOO_MANY_CONNECTIONS)

    def _handle(self, route: Route, request: Request) -> Awaitable[messages.ServerMessage] | None:
        if route.needs_authentication:
            account = self.session.connection.account
            if route.limit is not None:
                return self._handle_limited(route, route.limit, account, request)
        return route.handler(self.session, request.payload)

    async def _handle_limited(
        self, route: Route, limit: RateLimit, account: Account, request: Request
    ) -> messages.ServerMessage:
        await admit(self.node.limiter, limit, account)
        # The table holds that what is limited is answered.
        return await cast("Awaitable[messages.ServerMessage]", route.handler(self.session, request.payload))

    def _on_identity_changed(self) -> None:
        if self._is_closing:
            # The socket closed while it logged in: what is routed to it would count as delivered.
            self.session.end()
        elif self.session.is_authenticated:
            self._stop_awaiting_authentication()
            self.session.begin_delivery()
        else:
            self._await_authentication()

    # Deadlines

    def _due_at(self) -> float:
        """When a request that is read now must be answered; also if it waits for its turn first."""
        return self._loop.time() + self._config.request_s

    def _begin_reply(self, due_at: float) -> Reply:
        reply = self._pipeline.begin(due_at)
        if self._reply_timer is None:
            self._reply_timer = self._loop.call_at(reply.due_at, self._check_replies)
        return reply

    def _check_replies(self) -> None:
        """Cancel the work on replies that are due; its end answers the request."""
        self._reply_timer = None
        now = self._loop.time()
        for reply in self._pipeline.open_replies:
            if reply.due_at > now:
                self._reply_timer = self._loop.call_at(reply.due_at, self._check_replies)
                return
            if reply.work is not None:
                reply.work.cancel()

    def _await_authentication(self) -> None:
        if self._authentication_timer is None:
            self._authentication_timer = self._loop.call_later(
                self._config.authenticate_s, self.close, CloseCode.UNAUTHENTICATED, ErrorCode.AUTH_REQUIRED
            )

    def _stop_awaiting_authentication(self) -> None:
        if self._authentication_timer is not None:
            self._authentication_timer.cancel()
            self._authentication_timer = None

    # What the hub's connection asks of its socket (messaging.connection.Socket)

    @property
    def progress_at(self) -> float:
        return self._outbox.progress_at

    def write(self, frame: bytes) -> None:
        self._outbox.put_frame(frame)

    def ping(self, payload: bytes) -> None:
        self._outbox.put_ping(payload)

    def expire(self) -> None:
        self._outbox.put_frame(codec.encode(messages.SessionExpired()))
        self.close(CloseCode.UNAUTHENTICATED)

    def suspend(self, text: str) -> None:
        self._outbox.put_frame(_error_frame(ConstructError(ErrorCode.ACCOUNT_SUSPENDED, text), None))
        self.close(CloseCode.SUSPENDED)

    def close(self, code: CloseCode, error: ErrorCode | None = None) -> None:
        """Close with a code of the table; the reason goes ahead as an `error`, since closes carry none."""
        if self._is_closing:
            return
        self._is_closing = True
        self.session.end()
        if error is not None:
            self._outbox.put_frame(_error_frame(ConstructError(error), None))
        self._outbox.put_close(code)
        # A peer that takes nothing would never come to its close.
        self._loop.call_later(_CLOSE_S, self._outbox.abandon, code)

    def _leave_routing(self) -> None:
        """Nothing reaches the client any more, though its disconnect was not heard yet."""
        self._is_closing = True
        self.session.end()

    def _end(self) -> None:
        """The socket is gone. Work that was begun ends by itself: a message may be stored, its ack is not seen."""
        self._leave_routing()
        self._stop_awaiting_authentication()
        # The timer of the replies stays: what is not stored by their time is given up, whoever still waits.
        self._outbox.drop()


def _error_frame(error: ConstructError, request_id: str | None) -> bytes:
    return codec.encode(
        messages.Error(code=error.code, message=error.text, request_id=request_id, work=error.challenge)
    )

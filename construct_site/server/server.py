"""Daphne's server with our protocols, ASGI lifespan events, and an end that clients can tell from a failure."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog
from daphne.http_protocol import HTTPFactory, WebRequest
from daphne.server import Server
from django.conf import settings
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from construct_site.admin_path import ADMIN_EXTENSION
from construct_site.env import Config
from construct_site.health import DRAINING_EXTENSION
from construct_site.logs import describe_error
from construct_site.server.http import AdminWebRequest, LimitedChannel, LimitedWebRequest
from construct_site.server.listening import CannotServe
from construct_site.server.websocket import (
    DIRECT_EXTENSION,
    DRAIN_EXTENSION,
    PING_EXTENSION,
    ConstructWebSocketProtocol,
    DirectSocket,
    InboundQueue,
)

log = structlog.get_logger(__name__)

_CLOSE_HANDSHAKE_S = 5
_NEVER_S = -1
_DRAIN_PAUSE_S = 0.01
"""Longest pause between two sockets: a few hundred are told within seconds, many are spread over the time there is."""
_DRAIN_SPREAD = 0.5
"""The part of CONSTRUCT_DRAIN_S in which the sockets are told; the rest is for their open requests."""
_LIFESPAN_S = 10.0
"""For the application's own end, once no socket is left."""
_GC_NEW_OBJECTS = 20_000

Application = Callable[
    [dict[str, Any], Callable[[], Awaitable[dict[str, Any]]], Callable[[Any], Awaitable[None]]], Any
]


class ConstructServer(Server):  # type: ignore[misc] # daphne carries no types
    """One server process. :meth:`run` returns after SIGTERM or SIGINT. Raises :class:`CannotServe`."""

    def __init__(
        self,
        application: Application,
        config: Config,
        listen: Callable[[], socket.socket],
        on_listening: Callable[[str, int], None],
        listen_for_admin: Callable[[], socket.socket] | None = None,
    ) -> None:
        super().__init__(
            application=application,
            endpoints=["unused"],
            ready_callable=self._install_protocols,
            websocket_timeout=_NEVER_S,
            websocket_max_message_size=config.transport_frame_bytes,
            websocket_max_frame_size=config.transport_frame_bytes,
            server_name="",
        )
        # Daphne refuses to have none, and its endpoint for a descriptor takes every socket for IPv4:
        # of an IPv6 one it reads senseless peer addresses (Daphne 4.2.3). _listen() does it instead.
        self.endpoints: list[str] = []
        self._config = config
        self._take_socket = listen
        self._take_admin_socket = listen_for_admin
        self._on_listening = on_listening
        self._ports: list[Any] = []
        self._lifespan = _Lifespan(application, self._on_started, self._fail)
        self._failure: str | None = None
        self._is_draining = False

    def run(self) -> None:
        super().run()
        if self._failure:
            raise CannotServe(self._failure)

    def _fail(self, reason: str) -> None:
        self._failure = reason
        self.stop()

    def _install_protocols(self) -> None:
        self.ws_factory.protocol = ConstructWebSocketProtocol
        self.ws_factory.setProtocolOptions(
            # Too large a message is answered with close 1009 instead of a cut connection.
            failByDrop=False,
            closeHandshakeTimeout=_CLOSE_HANDSHAKE_S,
        )
        self._listen(self._take_socket, self.http_factory, LimitedWebRequest)
        if self._take_admin_socket:
            self._listen(self._take_admin_socket, HTTPFactory(self), AdminWebRequest)
        reactor.callWhenRunning(self._lifespan.start)

    def _listen(
        self, take_socket: Callable[[], socket.socket], factory: Any, requests: type[WebRequest]
    ) -> None:
        """Accept from the socket, which others may share: at the end it is closed here, never shut down."""
        factory.protocol = LimitedChannel
        factory.timeOut = self._config.http_arrival_s
        factory.buildProtocol = partial(_build_limited, factory.buildProtocol, requests)
        with take_socket() as listener:
            listener.setblocking(False)
            self.listen_success(reactor.adoptStreamPort(listener.fileno(), listener.family, factory))

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if not isinstance(protocol, ConstructWebSocketProtocol):
            extensions = {
                DRAINING_EXTENSION: self._is_draining,
                ADMIN_EXTENSION: isinstance(protocol, AdminWebRequest),
            }
            scope |= {"extensions": {name: {} for name, holds in extensions.items() if holds}}
            return super().create_application(protocol, scope)
        scope |= {
            "asgi": {"version": "3.0"},
            "extensions": {
                PING_EXTENSION: {},
                DRAIN_EXTENSION: {},
                DIRECT_EXTENSION: {"socket": DirectSocket(protocol)},
            },
        }
        events = InboundQueue(protocol)
        self.connections[protocol]["application_instance"] = asyncio.ensure_future(
            self.application(scope, events.get, partial(self.handle_reply, protocol))
        )
        return events

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Send one event of the application. Returns when the socket has room for the next."""
        if not isinstance(protocol, ConstructWebSocketProtocol):
            await super().handle_reply(protocol, message)
            return
        if protocol.is_gone:
            return
        protocol.handle_reply(message)
        if (room := protocol.room) is not None:
            await asyncio.shield(room)

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
        self._ports.append(port)

    def _on_started(self) -> None:
        """Only now are connections and signals answered: the reactor runs and the application is up."""
        address = self._ports[0].getHost()
        self._on_listening(address.host, address.port)

    def kill_all_applications(self) -> Deferred[None]:
        """Called by Twisted before it stops: no new connections, 1012 to those that are, the end."""
        return Deferred.fromCoroutine(self._end())

    async def _end(self) -> None:
        self._is_draining = True
        for port in self._ports:
            await port.stopListening()
        await Deferred.fromFuture(asyncio.ensure_future(self._end_applications()))

    async def _end_applications(self) -> None:
        loop, served = asyncio.get_running_loop(), len(self.connections)
        ends_at = loop.time() + self._config.drain_s
        await self._drain_sockets(loop.time() + self._config.drain_s * _DRAIN_SPREAD)
        if running := self._running_applications():
            await asyncio.wait(running, timeout=max(0.0, ends_at - loop.time()))
        await self._cancel_applications()
        try:
            async with asyncio.timeout(_LIFESPAN_S):
                await self._lifespan.stop()
        except TimeoutError:
            # What hangs in a thread, on a database that does not answer, would keep the process for ever.
            log.error("stopped, with work left", connections=served)
            os._exit(1)
        log.info("stopped", connections=served)

    async def _drain_sockets(self, ends_at: float) -> None:
        """Drain one socket after another until `ends_at` (loop time): their clients must not all come back at once.

        Those whose turn has not come are served as ever.
        """
        loop = asyncio.get_running_loop()
        while waiting := [each for each in self.connections if _may_drain(each)]:
            pause_s = min(_DRAIN_PAUSE_S, max(0.0, ends_at - loop.time()) / len(waiting))
            for protocol in waiting:
                if _may_drain(protocol):
                    protocol.drain()
                await asyncio.sleep(pause_s)

    async def _cancel_applications(self) -> None:
        for protocol in list(self.connections):
            if isinstance(protocol, ConstructWebSocketProtocol):
                protocol.close_for_restart()
        late = self._running_applications()
        for application in late:
            application.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _running_applications(self) -> list[asyncio.Future[Any]]:
        return [
            details["application_instance"]
            for details in self.connections.values()
            if "application_instance" in details
        ]


def _may_drain(protocol: Any) -> bool:
    """An open socket that was not told yet; one whose handshake is under way comes later."""
    return (
        isinstance(protocol, ConstructWebSocketProtocol)
        and protocol.state == protocol.STATE_OPEN
        and not protocol.is_draining
    )


def _build_limited(build: Callable[[Any], Any], requests: type[WebRequest], address: Any) -> Any:
    channel = build(address)
    channel.requestFactory = requests
    return channel


class _Lifespan:
    """The ASGI lifespan protocol (ASGI specification, "Lifespan Protocol" 2.0), which Daphne leaves out."""

    def __init__(
        self, application: Application, on_started: Callable[[], None], fail: Callable[[str], None]
    ) -> None:
        self._application = application
        self._on_started = on_started
        self._fail = fail
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Future[Any] | None = None

    def start(self) -> None:
        self._events.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.ensure_future(
            self._application({"type": "lifespan", "asgi": {"version": "3.0"}}, self._events.get, self._note)
        )
        self._task.add_done_callback(self._on_end)

    def _on_end(self, task: asyncio.Future[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(f"the application failed to start or to end: {describe_error(error)}")

    async def _note(self, event: dict[str, Any]) -> None:
        if event["type"] == "lifespan.startup.complete":
            self._on_started()

    async def stop(self) -> None:
        if self._task is None:
            return
        self._events.put_nowait({"type": "lifespan.shutdown"})
        await asyncio.gather(self._task, return_exceptions=True)


def _settle_garbage_collector() -> None:
    """Leave out what was loaded for good (Django's models and more), and look at the rest less often.

    The default looks through everything after each 700 new objects that stay; each
    message in flight is some.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_NEW_OBJECTS, 20, 50)


def run(
    application: Application,
    listen: Callable[[], socket.socket],
    on_listening: Callable[[str, int], None],
    listen_for_admin: Callable[[], socket.socket] | None = None,
) -> None:
    """Serve on the socket of `listen` until told to stop; `on_listening` is told its host and port.

    `listen` is called last, `on_listening` once the application has started. What comes to the
    socket of `listen_for_admin` is marked so in its scope. Raises :class:`CannotServe`, also for both.
    """
    _settle_garbage_collector()
    ConstructServer(application, settings.CONSTRUCT, listen, on_listening, listen_for_admin).run()

"""Daphne's server with our protocols, ASGI lifespan events, and an end that clients can tell from a failure."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog
from daphne.server import Server
from django.conf import settings
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from construct_site.env import Config
from construct_site.logs import describe_error
from construct_site.server.http import LimitedWebRequest
from construct_site.server.websocket import (
    DRAIN_EXTENSION,
    PING_EXTENSION,
    ConstructWebSocketProtocol,
    InboundQueue,
)

log = structlog.get_logger(__name__)

_BACKLOG = 2048
_CLOSE_HANDSHAKE_S = 5
_NEVER_S = -1
_DRAIN_PAUSE_S = 0.01
"""Longest pause between two sockets: a few hundred are told within seconds, many are spread over the time there is."""
_DRAIN_SPREAD = 0.5
"""The part of CONSTRUCT_DRAIN_S in which the sockets are told; the rest is for their open requests."""
_GC_NEW_OBJECTS = 20_000

Application = Callable[
    [dict[str, Any], Callable[[], Awaitable[dict[str, Any]]], Callable[[Any], Awaitable[None]]], Any
]


class CannotServe(Exception):
    """The address cannot be listened on, or the application failed to start."""


class ConstructServer(Server):  # type: ignore[misc] # daphne carries no types
    """One server process. :meth:`run` returns after SIGTERM or SIGINT. Raises :class:`CannotServe`."""

    def __init__(
        self, application: Application, config: Config, on_listening: Callable[[str, int], None]
    ) -> None:
        host = config.host.strip("[]").replace(":", r"\:")
        super().__init__(
            application=application,
            endpoints=[f"tcp:port={config.port}:interface={host}:backlog={_BACKLOG}"],
            ready_callable=self._install_protocols,
            websocket_timeout=_NEVER_S,
            websocket_max_message_size=config.transport_frame_bytes,
            websocket_max_frame_size=config.transport_frame_bytes,
            server_name="",
        )
        self._config = config
        self._on_listening = on_listening
        self._ports: list[Any] = []
        self._lifespan = _Lifespan(application, self._fail)
        self._failure: str | None = None

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
        build = self.http_factory.buildProtocol
        self.http_factory.buildProtocol = partial(_build_limited, build)
        reactor.callWhenRunning(self._lifespan.start)

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if not isinstance(protocol, ConstructWebSocketProtocol):
            return super().create_application(protocol, scope)
        scope |= {"asgi": {"version": "3.0"}, "extensions": {PING_EXTENSION: {}, DRAIN_EXTENSION: {}}}
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
        details = self.connections.get(protocol)
        if details is None or "disconnected" in details:
            return
        protocol.handle_reply(message)
        if protocol.flow is not None and protocol.flow.is_paused:
            await protocol.flow.has_room()

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
        self._ports.append(port)
        address = port.getHost()
        # Only a running reactor answers connections and signals.
        reactor.callWhenRunning(self._on_listening, address.host, address.port)

    def listen_error(self, failure: Any) -> None:
        self._fail(f"HOST and PORT cannot be listened on: {failure.getErrorMessage()}")

    def kill_all_applications(self) -> Deferred[None]:
        """Called by Twisted before it stops: no new connections, 1012 to those that are, the end."""
        return Deferred.fromCoroutine(self._end())

    async def _end(self) -> None:
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
        await self._lifespan.stop()
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


def _build_limited(build: Callable[[Any], Any], address: Any) -> Any:
    channel = build(address)
    channel.requestFactory = LimitedWebRequest
    return channel


class _Lifespan:
    """The ASGI lifespan protocol (ASGI specification, "Lifespan Protocol" 2.0), which Daphne leaves out."""

    def __init__(self, application: Application, fail: Callable[[str], None]) -> None:
        self._application = application
        self._fail = fail
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Future[Any] | None = None

    def start(self) -> None:
        self._events.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.ensure_future(
            self._application({"type": "lifespan", "asgi": {"version": "3.0"}}, self._events.get, _ignore)
        )
        self._task.add_done_callback(self._on_end)

    def _on_end(self, task: asyncio.Future[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(f"the application failed to start or to end: {describe_error(error)}")

    async def stop(self) -> None:
        if self._task is None:
            return
        self._events.put_nowait({"type": "lifespan.shutdown"})
        await asyncio.gather(self._task, return_exceptions=True)


async def _ignore(_event: Any) -> None:
    """Start-up and shutdown report nothing that the server could act on."""


def _settle_garbage_collector() -> None:
    """Leave out what was loaded for good (Django's models and more), and look at the rest less often.

    The default looks through everything after each 700 new objects that stay; each
    message in flight is some.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_NEW_OBJECTS, 20, 50)


def run(application: Application, on_listening: Callable[[str, int], None]) -> None:
    """Serve until told to stop. Raises :class:`CannotServe`."""
    _settle_garbage_collector()
    ConstructServer(application, settings.CONSTRUCT, on_listening).run()

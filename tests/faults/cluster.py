"""Server processes on one database and one channel layer, which are killed and replaced."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.live.dialogue import Person
from tests.live.nodes import SHARED_SETTINGS, Sockets
from tests.live.server import Server, ServerFactory
from tests.load.processes import resident_bytes

FAULT_SETTINGS: Mapping[str, str] = {
    **SHARED_SETTINGS,
    "CONSTRUCT_LIMITS": "off",
    # A crowd that was away for long may fill its mailboxes.
    "CONSTRUCT_MAILBOX_MESSAGES": "200000",
    "CONSTRUCT_MAILBOX_BYTES": "1000000000",
    "CONSTRUCT_MAILBOX_SENDER_SHARE": "1",
}
LOOK_S = 0.05


class Growth:
    """How much more memory than at first a server's process came to hold."""

    def __init__(self, server: Server) -> None:
        self._process_id = server.process.pid
        self._before = resident_bytes(self._process_id)
        self.bytes = 0

    def look(self) -> None:
        self.bytes = max(self.bytes, resident_bytes(self._process_id) - self._before)


@asynccontextmanager
async def growth_of(server: Server) -> AsyncIterator[Growth]:
    """Looks on within the context; the greatest growth is known from its end on."""
    growth = Growth(server)

    async def look_on() -> None:
        while True:
            growth.look()
            await asyncio.sleep(LOOK_S)

    looking = asyncio.create_task(look_on())
    try:
        yield growth
        growth.look()
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


@asynccontextmanager
async def away(stop: Callable[[], None], start: Callable[[], None]) -> AsyncIterator[None]:
    """A service is away within the context, and back at its end, also when a test fails."""
    await asyncio.to_thread(stop)
    try:
        yield
    finally:
        await asyncio.to_thread(start)


@dataclass
class Cluster:
    """The running servers. Clients are sent to them in turn."""

    factory: ServerFactory
    settings: Mapping[str, str]
    servers: list[Server] = field(default_factory=list)

    async def start(self) -> Server:
        """One more server; clients are sent to it once it listens."""
        server = await asyncio.to_thread(self.factory, **self.settings)
        self.servers.append(server)
        return server

    async def kill(self, server: Server) -> None:
        """End it as a power cut does."""
        self.servers.remove(server)
        await asyncio.to_thread(server.kill)

    async def terminate(self, server: Server, within_s: float) -> int:
        """End it in order; its exit code. Raises ``subprocess.TimeoutExpired``."""
        self.servers.remove(server)
        server.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(server.process.wait, within_s)

    async def accounts(self, count: int) -> list[Person]:
        """New accounts, without a connection."""
        async with Sockets(self.servers[0], self.factory.private) as sockets:
            return [await sockets.register_absent() for _ in range(count)]

    def port(self, turn: int) -> int:
        """The port of the server whose turn it is. Raises ``ConnectionRefusedError`` while there is none."""
        if not self.servers:
            raise ConnectionRefusedError
        return self.servers[turn % len(self.servers)].port

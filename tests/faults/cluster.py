"""Server processes on one database and one channel layer, which are killed and replaced."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.live.dialogue import Person
from tests.live.nodes import SHARED_SETTINGS, Sockets
from tests.live.server import Server, ServerFactory

FAULT_SETTINGS: Mapping[str, str] = {
    **SHARED_SETTINGS,
    "CONSTRUCT_LIMITS": "off",
    # A crowd that was away for long may fill its mailboxes.
    "CONSTRUCT_MAILBOX_MESSAGES": "200000",
    "CONSTRUCT_MAILBOX_BYTES": "1000000000",
    "CONSTRUCT_MAILBOX_SENDER_SHARE": "1",
}


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

"""A client that floods is closed, costs the server little memory, and others nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from uuid import uuid4

import pytest

from tests.faults.cluster import Cluster, growth_of
from tests.live.dialogue import Dialogue, Person, chat_message, code_of, packed
from tests.live.nodes import Sockets
from tests.live.raw import RawSocket

SETTINGS = {"CONSTRUCT_LIMITS": "on"}
MEBIBYTE = 1024 * 1024
GROWTH_BYTES = 32 * MEBIBYTE
FLOOD = 4429
FLOOD_S = 5.0
"""The server counts over so long."""
SLACK = 3
MANY, LARGE = "many frames", "large frames"
CONTENT_BYTES = 72_000
"""Before base64: nearly the largest that the protocol allows."""


def frame_of(flooder: Person, kind: str) -> bytes:
    if kind == MANY:
        return packed("received", {"messageIds": []})
    return packed("sendMessage", chat_message(flooder, flooder, size=CONTENT_BYTES, to=str(uuid4())))


async def flood(transport: RawSocket, frame: bytes) -> None:
    """Write as fast as the server takes it, until it takes no more."""
    with suppress(ConnectionError):
        while transport.close_code is None:
            await transport.send(frame)
            await asyncio.sleep(0)


@pytest.mark.parametrize("kind", [MANY, LARGE])
async def test_who_floods_is_closed_and_nobody_else_notices(kind: str, cluster: Cluster) -> None:
    here, there = cluster.servers
    async with Sockets(here, cluster.factory.private) as sockets:
        alice, a = await sockets.register(here)
        bob, b = await sockets.register(there)
        transport = await RawSocket.open(here.port)
        flooder = Dialogue(transport, cluster.factory.private)
        sockets.opened.append(flooder)
        frame = frame_of(await flooder.register(), kind)
        async with growth_of(here) as growth:
            async with asyncio.timeout(SLACK * FLOOD_S):
                flooding = asyncio.create_task(flood(transport, frame))
                while not flooding.done():
                    message = chat_message(a, b)
                    await alice.send(message)
                    assert await bob.message() == message
                await flooding
            frames, code = await flooder.ending()
        assert code == FLOOD
        assert code_of(frames[-1]) == "RATE_LIMIT_EXCEEDED"
        assert growth.bytes < GROWTH_BYTES

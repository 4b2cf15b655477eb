"""A client that writes and does not read costs the server a bounded amount of memory, and nobody else anything."""

from __future__ import annotations

import asyncio

import pytest

from tests.live.dialogue import Dialogue, packed
from tests.live.nodes import Nodes, Sockets
from tests.live.raw import RawSocket
from tests.load.processes import resident_bytes

SETTINGS = {"CONSTRUCT_LIMITS": "off"}
MEBIBYTE = 1024 * 1024
PAGE_BYTES = 4096
STALL_S = 5.0
"""Two seconds fill what the system and the server take; then nothing moves any more."""


async def write_until_nothing_is_taken(raw: RawSocket, request: bytes) -> None:
    """Raises ``TimeoutError`` once one cannot be written."""
    for _ in range(1_000_000):
        await asyncio.wait_for(raw.send(request), STALL_S)


async def test_who_does_not_read_is_not_read_either(nodes: Nodes, sockets: Sockets) -> None:
    raw = await RawSocket.open(nodes.here.port, receive_bytes=PAGE_BYTES)
    deaf = Dialogue(raw, nodes.private)
    sockets.opened.append(deaf)
    person = await deaf.register()
    raw.freeze()
    request = packed("getPublicKey", {"userId": person.user_id})
    before = resident_bytes(nodes.here.process.pid)
    with pytest.raises(TimeoutError):
        await write_until_nothing_is_taken(raw, request)
    assert resident_bytes(nodes.here.process.pid) - before < 32 * MEBIBYTE
    other, _ = await sockets.register(nodes.here)
    assert (await other.ask("getPublicKey", {"userId": person.user_id}))["type"] == "publicKeyBundle"

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from messaging.client import ConstructClient
from tests.messaging.client.scripted_server import ScriptedServer, scripted_server


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as listening:
        yield listening


@pytest.fixture
async def client(server: ScriptedServer) -> AsyncIterator[ConstructClient]:
    """A connected client that is not logged in and connects again without delay."""
    async with ConstructClient(server.url, chance=lambda: 0.0) as connected:
        yield connected

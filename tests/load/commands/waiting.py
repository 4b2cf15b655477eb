"""Doing nothing but keeping the sockets alive."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tests.load.client import Sockets


@dataclass(frozen=True)
class Wait:
    """Let the sockets be; pings are answered."""

    seconds: float

    async def run(self, _sockets: Sockets) -> None:
        await asyncio.sleep(self.seconds)

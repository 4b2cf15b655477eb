"""A client that sends as fast as its socket takes it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.load.client import Sockets
from tests.load.commands.relaying import Mark, PairSeats, Relayed, Traffic

BURST = 16
SETTLE_S = 60.0


@dataclass(frozen=True)
class Flood:
    """For `seconds`, the senders of a crowd send whenever their sockets have room, whatever was acked."""

    crowd: str
    pairs: Sequence[PairSeats]
    seconds: float

    async def run(self, sockets: Sockets) -> Relayed:
        traffic = Traffic(self.pairs, sockets.crowds[self.crowd], sockets.next_number)
        try:
            before = Mark(traffic)
            await asyncio.gather(*(self._send(traffic, pair) for pair in range(traffic.pairs)))
            after = Mark(traffic)
            await traffic.settle(SETTLE_S)
            return traffic.figures(before, after)
        finally:
            traffic.detach()
            sockets.next_number = traffic.next_number

    async def _send(self, traffic: Traffic, pair: int) -> None:
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end:
            for _ in range(BURST):
                traffic.send(pair, time.perf_counter())
            # With the deadline: a server may read nothing more from who floods.
            await traffic.has_room(pair, end - time.perf_counter())
            await asyncio.sleep(0)

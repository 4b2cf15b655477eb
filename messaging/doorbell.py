"""The doorbell: tells other processes that something was stored. A hint, never the truth."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import structlog
from redis.exceptions import RedisError

from messaging.layer import Rings

log = structlog.get_logger(__name__)

_WAITING_RINGS = 10_000
_WAITING_BYTES = 16 * 1024 * 1024
_RINGS_A_ROUND = 500
_AWAY_S = 1.0
"""After a failure nothing is rung for so long: whoever rings hears at once that nobody heard it."""


class Doorbell:
    """Rings in the order of the calls, together where several wait. Errors of the layer end as "nobody heard it"."""

    def __init__(self, layer: Rings) -> None:
        self._layer = layer
        self._waiting: deque[tuple[str, dict[str, Any], asyncio.Future[int]]] = deque()
        self._waiting_bytes = 0
        self._away_until = 0.0
        self._loop = asyncio.get_running_loop()
        self._ringer: asyncio.Task[None] | None = None

    def ring(self, group: str, message: dict[str, Any]) -> asyncio.Future[int]:
        """The future gives how many processes heard it, this one included where it is in the group; 0 on failure.

        Rings that would make more than 10 000, or 16 MiB of frames, wait are given up.
        """
        heard: asyncio.Future[int] = self._loop.create_future()
        size = _size(message)
        if (
            len(self._waiting) >= _WAITING_RINGS
            or self._waiting_bytes + size > _WAITING_BYTES
            or self._loop.time() < self._away_until
        ):
            heard.set_result(0)
            return heard
        self._waiting.append((group, message, heard))
        self._waiting_bytes += size
        if self._ringer is None:
            self._ringer = self._loop.create_task(self._ring_all())
        return heard

    async def close(self) -> None:
        if self._ringer is not None:
            self._ringer.cancel()
            await asyncio.gather(self._ringer, return_exceptions=True)

    async def _ring_all(self) -> None:
        try:
            while self._waiting:
                rings = [self._waiting.popleft() for _ in range(min(len(self._waiting), _RINGS_A_ROUND))]
                self._waiting_bytes -= sum(_size(message) for _, message, _ in rings)
                counts = await self._try_twice([(group, message) for group, message, _ in rings])
                for (_, _, heard), count in zip(rings, counts, strict=True):
                    if not heard.done():
                        heard.set_result(count)
        finally:
            self._ringer = None

    async def _try_twice(self, rings: list[tuple[str, dict[str, Any]]]) -> list[int]:
        """The first publish on a connection that Redis has dropped raises; the second finds a fresh one."""
        for _ in range(2):
            try:
                return await self._layer.ring_many(rings)
            except (RedisError, OSError) as error:
                failure = error
        log.warning("doorbell not heard", rings=len(rings), error=type(failure).__name__)
        self._away_until = self._loop.time() + _AWAY_S
        return [0] * len(rings)


def _size(message: dict[str, Any]) -> int:
    return len(message.get("frame", b""))

"""The shared store of counts, and what happens while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

ANSWER_S = 0.2
"""A store that takes longer to answer counts as away."""
RETRY_S = 1.0
"""While the store is away, one caller in this time tries it; the others do not wait for it."""
CONNECTIONS = 32

T = TypeVar("T")


class StoreAway(Exception):
    """The shared store does not answer: count in this process."""


class SharedStore:
    """Redis or Valkey, by redis-py. A pool of at most 32 connections of its own."""

    def __init__(self, url: str) -> None:
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=ANSWER_S,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=ANSWER_S,
            # One more try at once: after a restart of the store, pooled connections are stale.
            retry=Retry(NoBackoff(), 1),
        )
        self.client: Redis = Redis(connection_pool=self._pool)
        self._is_away = False
        self._next_try_at = 0.0

    async def run(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Await `operation`, which talks to the store.

        Raises :class:`StoreAway` after at most 0.2 s; the operation may then
        have happened or not. Logs one warning per outage.
        """
        now = asyncio.get_running_loop().time()
        if self._is_away:
            if now < self._next_try_at:
                raise StoreAway
            self._next_try_at = now + RETRY_S
        try:
            async with asyncio.timeout(ANSWER_S):
                result = await operation()
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(error)
            raise StoreAway from None
        self._found()
        return result

    async def close(self) -> None:
        await self.client.aclose()
        await self._pool.aclose()

    def _lost(self, error: Exception) -> None:
        self._next_try_at = asyncio.get_running_loop().time() + RETRY_S
        if not self._is_away:
            self._is_away = True
            # The exception's text names the store's address.
            log.warning("limits: shared store away, counting in this process", error=type(error).__name__)

    def _found(self) -> None:
        if self._is_away:
            self._is_away = False
            log.info("limits: shared store back")

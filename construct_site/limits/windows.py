"""Moving windows: at most so many in any stretch of time."""

from __future__ import annotations

import time
from collections import deque
from functools import lru_cache

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter

from construct_site.limits.keys import PREFIX
from construct_site.limits.memory import ExpiringRecords
from construct_site.limits.refusals import too_many
from construct_site.limits.store import SharedStore, StoreAway
from construct_site.limits.table import Allowance


class MovingWindows:
    """Counts in the shared store, atomically, and in memory without one or while it is away."""

    def __init__(self, store: SharedStore | None) -> None:
        self._store = store
        self._shared = SharedWindows(store) if store else None
        self._memory = MemoryWindows()

    async def hit(self, noun: str, allowances: tuple[Allowance, ...], key: str) -> None:
        """Count one under `key` in all `allowances`. Raises RATE_LIMIT_EXCEEDED when one has no room."""
        retry_after_s = await self._take(allowances, key)
        if retry_after_s is not None:
            raise too_many(noun, retry_after_s)

    async def _take(self, allowances: tuple[Allowance, ...], key: str) -> float | None:
        if self._store and self._shared:
            shared = self._shared
            try:
                return await self._store.run(lambda: shared.take(allowances, key))
            except StoreAway:
                pass
        return self._memory.take(allowances, key)


class SharedWindows:
    """The windows in Redis: one list of times per key and allowance, kept by the `limits` library."""

    def __init__(self, store: SharedStore) -> None:
        storage = RedisStorage(
            # The address is the pool's; the library only reads the scheme of this one.
            "async+redis://",
            implementation="redispy",
            key_prefix=f"{PREFIX}:windows",
            connection_pool=store.client.connection_pool,  # type: ignore[arg-type]
        )
        self._limiter = MovingWindowRateLimiter(storage)

    async def take(self, allowances: tuple[Allowance, ...], key: str) -> float | None:
        """None: counted. Else the seconds until there is room, and nothing is counted.

        Each allowance is atomic. Of several, all are looked at before the first
        is counted; two callers at once can still both pass that look, and the
        loser then keeps a count in the shorter windows.
        """
        items = [_item(each.amount, each.period_s) for each in allowances]
        for item in items[1:]:
            if not await self._limiter.test(item, key):
                return await self._retry_after_s(item, key)
        for item in items:
            if not await self._limiter.hit(item, key):
                return await self._retry_after_s(item, key)
        return None

    async def _retry_after_s(self, item: RateLimitItem, key: str) -> float:
        return (await self._limiter.get_window_stats(item, key)).reset_time - time.time()


class MemoryWindows:
    """The same windows in process memory. Holds at most `amount` times per key and allowance."""

    def __init__(self) -> None:
        self._windows: ExpiringRecords[tuple[str, Allowance], _Window] = ExpiringRecords()

    def take(self, allowances: tuple[Allowance, ...], key: str) -> float | None:
        """None: counted in all. Else the seconds until there is room, and nothing is counted."""
        now = time.time()
        windows = [self._window(key, each, now) for each in allowances]
        waits = [window.wait_s(now) for window in windows]
        if any(waits):
            return max(waits)
        for window in windows:
            window.taken_at.append(now)
        return None

    def _window(self, key: str, allowance: Allowance, now: float) -> _Window:
        known = self._windows.get((key, allowance), now)
        return known or self._windows.put((key, allowance), _Window(allowance, now), now)

    def __len__(self) -> int:
        return len(self._windows)


class _Window:
    __slots__ = ("allowance", "made_at", "taken_at")

    def __init__(self, allowance: Allowance, now: float) -> None:
        self.allowance = allowance
        self.made_at = now
        self.taken_at: deque[float] = deque(maxlen=allowance.amount)

    @property
    def expires_at(self) -> float:
        return (self.taken_at[-1] if self.taken_at else self.made_at) + self.allowance.period_s

    def wait_s(self, now: float) -> float:
        if len(self.taken_at) < self.allowance.amount:
            return 0.0
        oldest = self.taken_at[0] if self.taken_at else now
        return max(0.0, oldest + self.allowance.period_s - now)


@lru_cache(maxsize=64)
def _item(amount: int, period_s: int) -> RateLimitItem:
    return RateLimitItemPerSecond(amount, period_s, namespace="")

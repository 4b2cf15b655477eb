"""Message counts of all processes, brought together in the shared store.

Each process writes its own absolute count of a user's hour and reads the sum of
the others', many users in one call. Writing twice changes nothing, so a call
whose answer was lost is simply made again.

A user's hash in the store: ``ends_at`` and ``blocked_until`` in Unix seconds, the hourly limit
``blocked_above`` that brought the block, and one ``p:<process>`` count per process. It goes when the
hour and the block are over.
Hours that began apart (during an outage, or by clocks that differ) merge into
the one that ends first.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable
from typing import cast
from uuid import UUID

from construct_site.limits.keys import counter_key
from construct_site.limits.messages import MessageCounter, MessageWindow
from construct_site.limits.store import SharedStore, StoreAway

USERS_PER_CALL = 100

# A process of a version before wrote a block without its limit: it holds under every limit.
SCRIPT = """
local process, now = 'p:' .. ARGV[1], tonumber(ARGV[2])
local answers = {}
for i, key in ipairs(KEYS) do
    local own, ends_at = ARGV[4 * i - 1], tonumber(ARGV[4 * i])
    local blocked_until, blocked_above = tonumber(ARGV[4 * i + 1]), ARGV[4 * i + 2]
    local known = redis.call('hmget', key, 'ends_at', 'blocked_until', 'blocked_above')
    local known_blocked_until = tonumber(known[2] or 0)
    if known_blocked_until > blocked_until then
        blocked_until, blocked_above = known_blocked_until, known[3] or '9007199254740991'
    end
    local known_ends_at = tonumber(known[1] or 0)
    if now >= known_ends_at then
        redis.call('del', key)
    else
        ends_at = math.min(ends_at, known_ends_at)
    end
    redis.call('hset', key, 'ends_at', string.format('%.3f', ends_at),
        'blocked_until', string.format('%.3f', blocked_until), 'blocked_above', blocked_above, process, own)
    redis.call('pexpire', key, math.ceil(1000 * math.max(1, math.max(ends_at, blocked_until) - now)))
    local others, fields = 0, redis.call('hgetall', key)
    for f = 1, #fields, 2 do
        if string.sub(fields[f], 1, 2) == 'p:' and fields[f] ~= process then
            others = others + tonumber(fields[f + 1])
        end
    end
    answers[#answers + 1] = tostring(others)
    answers[#answers + 1] = string.format('%.3f', ends_at)
    answers[#answers + 1] = string.format('%.3f', blocked_until)
    answers[#answers + 1] = blocked_above
end
return answers
"""


class MessageReconciler:
    """Exchanges the counts of one :class:`MessageCounter`; one exchange at a time."""

    def __init__(self, counter: MessageCounter, store: SharedStore) -> None:
        self._counter = counter
        self._store = store
        self._script = store.client.register_script(SCRIPT)
        self._process = secrets.token_hex(8)
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Exchange all that changed since the last time. What an outage leaves undone stays for the next."""
        async with self._lock:  # an older count must not overwrite a newer one
            users = list(self._counter.changed)
            try:
                for start in range(0, len(users), USERS_PER_CALL):
                    await self._exchange(users[start : start + USERS_PER_CALL])
            except StoreAway:
                return

    async def _exchange(self, users: list[int]) -> None:
        # Before the counts are read: what is counted while the store answers is for the next exchange.
        self._counter.changed.difference_update(users)
        try:
            await self._write_and_read(users)
        except BaseException:
            self._counter.changed.update(users)
            raise

    async def _write_and_read(self, users: list[int]) -> None:
        now = time.time()
        live = [(user, window) for user in users if (window := self._counter.windows.get(user, now))]
        keys = [counter_key("messages", str(UUID(int=user))) for user, _ in live]
        arguments: list[str | int | float] = [self._process, now]
        for _, window in live:
            arguments += _report(window, now)
        answers = await self._store.run(
            lambda: cast("Awaitable[list[bytes]]", self._script(keys=keys, args=arguments))
        )
        for index, (_, window) in enumerate(live):
            others, ends_at, blocked_until, blocked_above = map(float, answers[4 * index : 4 * index + 4])
            _adopt(window, int(others), ends_at, blocked_until, int(blocked_above))


def _report(window: MessageWindow, now: float) -> tuple[int, float, float, int]:
    if now < window.ends_at:
        return window.own, window.ends_at, window.blocked_until, window.blocked_above
    # The hour is over, the block is not.
    return 0, window.blocked_until, window.blocked_until, window.blocked_above


def _adopt(
    window: MessageWindow, others: int, ends_at: float, blocked_until: float, blocked_above: int
) -> None:
    window.others = others
    window.ends_at = ends_at
    window.block(*max((window.blocked_until, window.blocked_above), (blocked_until, blocked_above)))

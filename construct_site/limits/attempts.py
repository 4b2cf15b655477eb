"""Counts of failed attempts with growing delay, in memory and in the shared store, by the same rules.

The rules are those of :class:`~construct_site.limits.door.LoginDoor`.
Times are Unix seconds by the caller's clock.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, cast

from construct_site.limits.memory import ExpiringRecords
from construct_site.limits.store import SharedStore

WINDOW_S = 900
FIRST_DELAY_S = 30
LONGEST_DELAY_S = 900
PLACE_S = 30
"""Life of a place that is never given back; requests are answered within 10 s."""
UNDER_WAY = -1.0
"""Answer of `enter`: not shut, but all places are taken."""


class Outcome(StrEnum):
    FAILED = "failed"
    SUCCEEDED = "succeeded"
    ABANDONED = "abandoned"


class Guard(NamedTuple):
    """One count that guards an attempt: its key and the failures it takes to shut."""

    key: str
    limit: int


@dataclass(slots=True)
class Failures:
    """One guard: failures until `forget_at`, shut until `open_at`, places taken until `places_until`."""

    failed: int = 0
    forget_at: float = 0.0
    open_at: float = 0.0
    places: int = 0
    places_until: float = 0.0

    @property
    def expires_at(self) -> float:
        return max(self.forget_at, self.places_until)

    def forget(self, now: float) -> None:
        if now >= self.forget_at:
            self.failed, self.open_at = 0, 0.0
        if now >= self.places_until:
            self.places = 0

    def take_place(self, now: float) -> None:
        if self.places == 0:
            self.places_until = now + PLACE_S
        self.places += 1

    def add_failure(self, limit: int, now: float) -> None:
        self.failed += 1
        if self.failed == 1:
            self.forget_at = now + WINDOW_S
        if self.failed >= limit:
            # The exponent is bounded: Python's integers would grow, Lua's floats overflow.
            doublings = min(self.failed - limit, 16)
            self.open_at = now + min(FIRST_DELAY_S * 2**doublings, LONGEST_DELAY_S)
            self.forget_at = self.open_at + WINDOW_S


class MemoryAttempts:
    """The counts of this process. Calls do not await, so each is atomic."""

    def __init__(self) -> None:
        self._failures: ExpiringRecords[str, Failures] = ExpiringRecords()

    def enter(self, guards: list[Guard], now: float) -> float:
        """0: a place was taken at every guard. Else none was: the seconds to wait, or :data:`UNDER_WAY`."""
        states = [self._state(guard, now) for guard in guards]
        wait_s = max(state.open_at - now for state in states)
        if wait_s > 0:
            return wait_s
        if any(
            state.places >= max(1, guard.limit - state.failed)
            for guard, state in zip(guards, states, strict=True)
        ):
            return UNDER_WAY
        for guard, state in zip(guards, states, strict=True):
            state.take_place(now)
            self._failures.put(guard.key, state, now)
        return 0.0

    def leave(self, guards: list[Guard], outcome: Outcome, now: float) -> None:
        """Give the places back and count the failure, or clear the first guard's after a success."""
        for index, guard in enumerate(guards):
            state = self._state(guard, now)
            state.places = max(0, state.places - 1)
            if outcome is Outcome.FAILED:
                state.add_failure(guard.limit, now)
            elif outcome is Outcome.SUCCEEDED and index == 0:
                state.failed, state.open_at, state.forget_at = 0, 0.0, 0.0
            self._failures.put(guard.key, state, now)

    def _state(self, guard: Guard, now: float) -> Failures:
        state = self._failures.get(guard.key, now) or Failures()
        state.forget(now)
        return state

    def __len__(self) -> int:
        return len(self._failures)


_COMMON = f"""
local function load(key, now)
    local v = redis.call('hmget', key, 'failed', 'forget_at', 'open_at', 'places', 'places_until')
    local state = {{}}
    for i, name in ipairs({{'failed', 'forget_at', 'open_at', 'places', 'places_until'}}) do
        state[name] = tonumber(v[i] or 0)
    end
    if now >= state.forget_at then state.failed, state.open_at = 0, 0 end
    if now >= state.places_until then state.places = 0 end
    return state
end
local function save(key, state, now)
    if state.failed == 0 and state.places == 0 then
        redis.call('del', key)
        return
    end
    for name, value in pairs(state) do
        redis.call('hset', key, name, string.format('%.3f', value))
    end
    local left_s = math.max(state.forget_at, state.places_until) - now
    redis.call('pexpire', key, math.ceil(1000 * math.max(1, left_s)))
end
local WINDOW_S, PLACE_S = {WINDOW_S}, {PLACE_S}
local FIRST_DELAY_S, LONGEST_DELAY_S = {FIRST_DELAY_S}, {LONGEST_DELAY_S}
local now = tonumber(ARGV[1])
"""

ENTER = (
    _COMMON
    + """
local states, wait_s, is_full = {}, 0, false
for i, key in ipairs(KEYS) do
    local state = load(key, now)
    states[i] = state
    wait_s = math.max(wait_s, state.open_at - now)
    is_full = is_full or state.places >= math.max(1, tonumber(ARGV[i + 1]) - state.failed)
end
if wait_s > 0 then return string.format('%.3f', math.max(wait_s, 0.001)) end
if is_full then return '-1' end
for i, key in ipairs(KEYS) do
    local state = states[i]
    if state.places == 0 then state.places_until = now + PLACE_S end
    state.places = state.places + 1
    save(key, state, now)
end
return '0'
"""
)

LEAVE = (
    _COMMON
    + """
local outcome = ARGV[#ARGV]
for i, key in ipairs(KEYS) do
    local state, limit = load(key, now), tonumber(ARGV[i + 1])
    state.places = math.max(0, state.places - 1)
    if outcome == 'failed' then
        state.failed = state.failed + 1
        if state.failed == 1 then state.forget_at = now + WINDOW_S end
        if state.failed >= limit then
            local doublings = math.min(state.failed - limit, 16)
            state.open_at = now + math.min(FIRST_DELAY_S * 2 ^ doublings, LONGEST_DELAY_S)
            state.forget_at = state.open_at + WINDOW_S
        end
    elseif outcome == 'succeeded' and i == 1 then
        state.failed, state.open_at, state.forget_at = 0, 0, 0
    end
    save(key, state, now)
end
return '0'
"""
)


class SharedAttempts:
    """The counts of all processes: one hash per guard; each call is one script, hence atomic."""

    def __init__(self, store: SharedStore) -> None:
        self._enter = store.client.register_script(ENTER)
        self._leave = store.client.register_script(LEAVE)

    async def enter(self, guards: list[Guard], now: float) -> float:
        """As :meth:`MemoryAttempts.enter`. Raises redis-py's errors."""
        arguments: list[str | float] = [now, *(guard.limit for guard in guards)]
        answer = self._enter(keys=[guard.key for guard in guards], args=arguments)
        return float(await cast("Awaitable[bytes]", answer))

    async def leave(self, guards: list[Guard], outcome: Outcome, now: float) -> None:
        """As :meth:`MemoryAttempts.leave`. Raises redis-py's errors."""
        arguments: list[str | float] = [now, *(guard.limit for guard in guards), outcome.value]
        await cast("Awaitable[bytes]", self._leave(keys=[guard.key for guard in guards], args=arguments))

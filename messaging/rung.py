"""Rows stored here whose rings may still be on their way to other processes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

ON_ITS_WAY_S = 1.0
"""A ring that was published this long ago has reached every process, or none that it still could."""

Confirm = Callable[[list[int], Callable[[int], None]], None]
"""Has rows made stubs; calls back with each row's id once that is on disk."""


class RungRows:
    """Holds back the confirmation of a row while its ring may be on its way.

    As long as the row waits in the mailbox, the next row of its sender names it as the
    one before, on whatever process that is stored, and a connection that the ring has not
    reached asks the mailbox first. Of a stub only the ring tells: if that comes late, the
    row comes after its successor. Where no other process has the recipient nothing is
    held back.
    """

    def __init__(self, confirm: Confirm) -> None:
        self._confirm = confirm
        self._loop = asyncio.get_running_loop()
        self._until: dict[int, float] = {}
        self._held: deque[tuple[float, list[int], Callable[[int], None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def note(self, row_id: int, heard: asyncio.Future[int], own: int) -> None:
        """A row was stored and is rung for.

        `heard` gives how many processes have the recipient; `own` is 1 if this one is among them, else 0.
        """
        now = self._loop.time()
        while self._until and self._until[first := next(iter(self._until))] <= now:
            del self._until[first]
        self._until[row_id] = now + ON_ITS_WAY_S
        heard.add_done_callback(partial(self._on_heard, row_id, own))

    def _on_heard(self, row_id: int, own: int, heard: asyncio.Future[int]) -> None:
        if row_id not in self._until:
            return
        if not heard.cancelled() and heard.result() == own:
            del self._until[row_id]
        else:
            self._until[row_id] = self._loop.time() + ON_ITS_WAY_S

    def confirm(self, row_ids: list[int], then: Callable[[int], None]) -> None:
        """Have the rows made stubs: at once, or as soon as their rings have arrived."""
        if self._until:
            now = self._loop.time()
            held = [row_id for row_id in row_ids if self._until.get(row_id, 0.0) > now]
            if held:
                row_ids = [row_id for row_id in row_ids if row_id not in held]
                self._hold(max(self._until[row_id] for row_id in held), held, then)
        self._confirm(row_ids, then)

    def release_all(self) -> None:
        """The process ends: what was confirmed is not kept for its ring's sake."""
        if self._timer is not None:
            self._timer.cancel()
        while self._held:
            _, row_ids, then = self._held.popleft()
            self._confirm(row_ids, then)

    def _hold(self, until: float, row_ids: list[int], then: Callable[[int], None]) -> None:
        self._held.append((until, row_ids, then))
        if self._timer is None:
            self._timer = self._loop.call_at(until, self._release)

    def _release(self) -> None:
        self._timer = None
        while self._held:
            until, row_ids, then = self._held[0]
            if until > self._loop.time():
                self._timer = self._loop.call_at(until, self._release)
                return
            self._held.popleft()
            self._confirm(row_ids, then)

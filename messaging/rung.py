"""Rows stored here whose rings may still be on their way to other processes."""

from __future__ import annotations

import asyncio
import math
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
    row comes after its successor. Where no other process has the recipient, a row is held
    back only until that is known.
    """

    def __init__(self, confirm: Confirm) -> None:
        self._confirm = confirm
        self._loop = asyncio.get_running_loop()
        self._until: dict[int, float] = {}
        """Loop time by which a row's ring has arrived; while it is being published, none that will come."""
        self._unpublished: dict[int, list[Callable[[int], None]]] = {}
        """Confirmed rows whose rings are being published, and who waits: several connections may have confirmed one."""
        self._held: deque[tuple[float, int, Callable[[int], None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def note(self, row_id: int, heard: asyncio.Future[int], own: int) -> None:
        """A row was stored and is rung for.

        `heard` gives how many processes have the recipient; `own` is 1 if this one is among them, else 0.
        """
        now = self._loop.time()
        while self._until and self._until[first := next(iter(self._until))] <= now:
            del self._until[first]
        self._until[row_id] = math.inf
        heard.add_done_callback(partial(self._on_heard, row_id, own))

    def _on_heard(self, row_id: int, own: int, heard: asyncio.Future[int]) -> None:
        if not heard.cancelled() and heard.result() == own:
            del self._until[row_id]
        else:
            self._until[row_id] = self._loop.time() + ON_ITS_WAY_S
        for then in self._unpublished.pop(row_id, ()):
            self.confirm([row_id], then)

    def confirm(self, row_ids: list[int], then: Callable[[int], None]) -> None:
        """Have the rows made stubs: at once, or as soon as their rings have arrived."""
        ready = []
        now = self._loop.time()
        for row_id in row_ids:
            until = self._until.get(row_id, 0.0)
            if until <= now:
                ready.append(row_id)
            elif until == math.inf:
                self._unpublished.setdefault(row_id, []).append(then)
            else:
                self._hold(row_id, then)
        self._confirm(ready, then)

    def release_all(self) -> None:
        """The process ends: what was confirmed is not kept for its ring's sake."""
        if self._timer is not None:
            self._timer.cancel()
        for row_id, waiting in self._unpublished.items():
            for then in waiting:
                self._confirm([row_id], then)
        self._unpublished.clear()
        while self._held:
            _, row_id, then = self._held.popleft()
            self._confirm([row_id], then)

    def _hold(self, row_id: int, then: Callable[[int], None]) -> None:
        until = self._until[row_id]
        self._held.append((until, row_id, then))
        if self._timer is None:
            self._timer = self._loop.call_at(until, self._release)

    def _release(self) -> None:
        self._timer = None
        while self._held:
            until, row_id, then = self._held[0]
            if until > self._loop.time():
                self._timer = self._loop.call_at(until, self._release)
                return
            self._held.popleft()
            self._confirm([row_id], then)

"""Replies in the order of the requests, though the requests of a socket run together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any


class Reply:
    """The place of one reply. Filled once; ``None`` answers nothing (the request has no reply)."""

    __slots__ = ("due_at", "frame", "is_filled", "work")

    def __init__(self, due_at: float) -> None:
        self.due_at = due_at
        self.is_filled = False
        self.frame: bytes | None = None
        self.work: asyncio.Future[Any] | None = None


class Pipeline:
    """The replies that one socket still waits for."""

    def __init__(self, write: Callable[[bytes], None], *, most: int) -> None:
        """`write` sends a frame; `most` replies may be open before :meth:`has_room` makes the reader wait."""
        self._write = write
        self._most = most
        self._open: deque[Reply] = deque()
        self._changed: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._open)

    @property
    def open_replies(self) -> Iterable[Reply]:
        """Oldest first."""
        return tuple(self._open)

    @property
    def is_full(self) -> bool:
        """As many replies are open as may be."""
        return len(self._open) >= self._most

    def begin(self, due_at: float) -> Reply:
        """Take the next place. `due_at`: loop time by which it must be filled."""
        reply = Reply(due_at)
        self._open.append(reply)
        return reply

    def fill(self, reply: Reply, frame: bytes | None) -> None:
        """Answer a request; its frame goes out as soon as all earlier ones have. A second answer is dropped."""
        if reply.is_filled:
            return
        reply.is_filled = True
        reply.frame = frame
        while self._open and self._open[0].is_filled:
            if (ready := self._open.popleft().frame) is not None:
                self._write(ready)
        if self._changed is not None:
            self._changed.set()

    async def has_room(self) -> None:
        """Wait until fewer than `most` replies are open."""
        await self._until(self._most - 1)

    async def is_empty(self) -> None:
        """Wait until every request begun so far is answered: the barrier before a change of identity."""
        await self._until(0)

    async def _until(self, most: int) -> None:
        while len(self._open) > most:
            self._changed = asyncio.Event()
            await self._changed.wait()
        self._changed = None

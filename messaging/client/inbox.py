"""Received messages between the socket and the application: in order, each once, a bounded number."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from messaging.protocol.messages import ChatMessage

Name = tuple[str, str, str]


class Inbox:
    """A queue that drops copies.

    The server delivers at least once; a copy is a message of the same sender,
    recipient and id. The last `remembered_max` names are remembered.
    """

    def __init__(self, waiting_max: int, remembered_max: int) -> None:
        self._waiting_max = waiting_max
        self._remembered_max = remembered_max
        self._waiting: deque[ChatMessage] = deque()
        self._stored: OrderedDict[Name, bool] = OrderedDict()
        self._end: Exception | None = None
        self._changed = asyncio.Condition()

    async def put(self, message: ChatMessage) -> bool:
        """Queue a message unless it is a copy; waits for room.

        Returns whether it is a copy of one that the application has stored, so that
        it has to be confirmed again.
        """
        stored = self._stored.get(_name(message))
        if stored is not None:
            return stored
        self._remember(message, stored=False)
        async with self._changed:
            while len(self._waiting) >= self._waiting_max:
                if self._end:
                    return False
                await self._changed.wait()
            self._waiting.append(message)
            self._changed.notify_all()
        return False

    async def take(self) -> ChatMessage:
        """The oldest message, taken out. After :meth:`end`, when none is left, its fault is raised."""
        async with self._changed:
            while not self._waiting:
                if self._end:
                    raise self._end
                await self._changed.wait()
            self._changed.notify_all()
            return self._waiting.popleft()

    def mark_stored(self, message: ChatMessage) -> None:
        self._remember(message, stored=True)

    async def end(self, fault: Exception) -> None:
        """Nothing more will come; `fault` says why."""
        async with self._changed:
            self._end = fault
            self._changed.notify_all()

    def _remember(self, message: ChatMessage, *, stored: bool) -> None:
        self._stored[_name(message)] = stored
        while len(self._stored) > self._remembered_max:
            self._stored.popitem(last=False)


def _name(message: ChatMessage) -> Name:
    """Senders write UUIDs in either case."""
    return message.sender.lower(), message.recipient.lower(), message.id.lower()

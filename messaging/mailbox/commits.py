"""Who runs the mailbox's commits, and where."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from construct_site.database import DatabaseThread
from messaging.mailbox.letters import Caps, Letter, Outcome

if TYPE_CHECKING:
    from messaging.mailbox.store import Store


class Committer(Protocol):
    """Puts batches, one at a time. See :meth:`messaging.mailbox.store.Store.put` for what is promised and raised."""

    async def put(self, letters: Sequence[Letter], caps: Caps, now: datetime) -> list[Outcome]: ...

    async def close(self) -> None:
        """End what was opened; a put under way has ended."""


class ThreadCommitter:
    """Commits in a thread with a connection of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = DatabaseThread("mailbox-commit")

    async def put(self, letters: Sequence[Letter], caps: Caps, now: datetime) -> list[Outcome]:
        return await self._thread.run(self._store.put, letters, caps, now)

    async def close(self) -> None:
        await self._thread.close()

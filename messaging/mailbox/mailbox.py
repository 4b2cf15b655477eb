"""The mailbox for the event loop: group commit, paging, batched confirmations."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from construct_site.database import DatabaseThread
from construct_site.errors import ConstructError, ErrorCode
from construct_site.logs import describe_error
from messaging.mailbox.letters import Caps, Letter, Outcome, Page, Verdict
from messaging.mailbox.store import Store

log = structlog.get_logger(__name__)

_RETRY_PAUSE_S = 0.1
_RETRY_PAUSE_MAX_S = 2.0
_CONFIRM_ROWS = 1000
_CONFIRM_PAUSE_S = 0.05
"""Between two batches of confirmations: nobody waits for them, and each commit delays those that senders wait for."""
_CLOSE_S = 2.0
_QUEUE_BYTES = 64 * 1024 * 1024
"""More than this waits only for a database that hangs: what comes then is refused, to be sent again."""


Stored = Callable[[Outcome], None]
"""Called with the outcome of a letter that was stored just now."""


@dataclass(slots=True)
class _Put:
    """A letter on its way to the disk, and those who wait for it: one, unless it was sent again meanwhile."""

    letter: Letter
    stored: Stored
    future: asyncio.Future[Outcome]
    repeats: list[asyncio.Future[Outcome]] = field(default_factory=list)

    @property
    def is_given_up(self) -> bool:
        """Everyone was told that the outcome is unknown: the letter need not be stored any more."""
        return self.future.done() and all(future.done() for future in self.repeats)

    def end(self, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.STORED:
            self._announce(outcome)
            repeated = Outcome(Verdict.REPEATED, outcome.row_id, is_request=outcome.is_request)
        else:
            repeated = outcome
        if not self.future.done():
            self.future.set_result(outcome)
        for future in self.repeats:
            if not future.done():
                future.set_result(repeated)

    def _announce(self, outcome: Outcome) -> None:
        try:
            self.stored(outcome)
        except Exception as error:  # noqa: BLE001 - the message is on disk, and the others of its batch wait
            log.error("a stored letter was not announced", error=type(error).__name__)

    def fail(self, error: ConstructError) -> None:
        for future in (self.future, *self.repeats):
            if not future.done():
                future.set_exception(error)

    def abandon(self) -> None:
        """The mailbox ends: the outcome stays unknown."""
        for future in (self.future, *self.repeats):
            future.cancel()


def _end(batch: Sequence[_Put], outcomes: Sequence[Outcome]) -> None:
    for put, outcome in zip(batch, outcomes, strict=True):
        put.end(outcome)


class Mailbox:
    """One per process and event loop. :meth:`close` ends it."""

    def __init__(self, store: Store, caps: Caps, *, batch_messages: int, batch_bytes: int) -> None:
        self._store = store
        self._caps = caps
        self._batch_messages = batch_messages
        self._batch_bytes = batch_bytes
        self._queue: deque[_Put] = deque()
        self._queue_bytes = 0
        self._committer: asyncio.Task[None] | None = None
        self._confirmed: deque[tuple[int, Callable[[int], None]]] = deque()
        self._confirmer: asyncio.Task[None] | None = None
        self._closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._commits = store.committer()
        self._reads = DatabaseThread("mailbox-read")
        self._confirms = DatabaseThread("mailbox-confirm")

    # Storing

    def put(self, letter: Letter, stored: Stored) -> asyncio.Future[Outcome]:
        """Store a letter with the next group commit.

        The future ends after the commit, in the order of the puts. If the letter
        was stored just now, `stored` is called first, also when nobody waits for
        the future any more: the message must be announced all the same.

        The future raises ``ConstructError(QUEUE_FAILED)`` where this letter cannot
        be stored, whatever the fault, and at once while 64 MiB of letters wait.
        While the database is away or takes no writes the letters of a batch are
        tried again before any that came later. A caller that stops waiting cancels
        the future; the letter is dropped unless its commit is under way.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if self._queue_bytes > _QUEUE_BYTES:
            future.set_exception(ConstructError(ErrorCode.QUEUE_FAILED))
            return future
        self._queue.append(_Put(letter, stored, future))
        self._queue_bytes += len(letter.sealed)
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_all())
        return future

    async def _commit_all(self) -> None:
        batch: list[_Put] = []
        try:
            while self._queue:
                batch = self._take_batch()
                await self._commit(batch)
        finally:
            self._committer = None
            for put in batch:
                put.abandon()

    def _take_batch(self) -> list[_Put]:
        """The next letters that fit one commit. A name stands in it once: repeats join, another body waits."""
        batch: dict[bytes, _Put] = {}
        size = 0
        while self._queue and len(batch) < self._batch_messages and size < self._batch_bytes:
            put = self._queue[0]
            if first := batch.get(put.letter.name):
                if first.letter.body != put.letter.body:
                    break
                first.repeats.append(put.future)
            else:
                batch[put.letter.name] = put
                size += len(put.letter.sealed)
            self._queue.popleft()
            self._queue_bytes -= len(put.letter.sealed)
        return list(batch.values())

    async def _commit(self, batch: Sequence[_Put]) -> None:
        """Commit a batch; keeps trying while the database is away, so that nothing later overtakes it."""
        pause_s = _RETRY_PAUSE_S
        while batch := [put for put in batch if not put.is_given_up]:
            letters = [put.letter for put in batch]
            try:
                outcomes = await self._commits.put(letters, self._caps, timezone.now())
            except (OperationalError, InterfaceError) as error:
                log.warning("commit failed, trying again", letters=len(letters), error=type(error).__name__)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _RETRY_PAUSE_MAX_S)
            except Exception as error:  # noqa: BLE001 - a fault of one batch must not end the committer
                await self._commit_apart(batch, error)
                return
            else:
                if self._queue:
                    # The next batch is sent first: the database works while this one is handed over.
                    asyncio.get_running_loop().call_soon(_end, batch, outcomes)
                else:
                    _end(batch, outcomes)
                return

    async def _commit_apart(self, batch: Sequence[_Put], error: Exception) -> None:
        """After a fault of the data or of the code: the halves by themselves, so that one bad letter fails alone."""
        if len(batch) == 1:
            log.error("a letter cannot be stored", error=type(error).__name__)
            batch[0].fail(ConstructError(ErrorCode.QUEUE_FAILED))
            return
        middle = len(batch) // 2
        await self._commit(batch[:middle])
        await self._commit(batch[middle:])

    # Reading

    async def page(self, recipient_id: UUID, handed: Iterable[int], messages: int, size: int) -> Page:
        """See :meth:`messaging.mailbox.store.Store.page`. Raises ``django.db.DatabaseError``."""
        return await self._reads.run(self._store.page, recipient_id, list(handed), messages, size)

    async def waiting(self, users: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
        """See :meth:`messaging.mailbox.store.Store.waiting`. Raises ``django.db.Error``."""
        return await self._reads.run(self._store.waiting, users) if users else {}

    async def having_waiting(self, users: Sequence[UUID]) -> set[UUID]:
        """See :meth:`messaging.mailbox.store.Store.having_waiting`. Raises ``django.db.Error``."""
        return await self._reads.run(self._store.having_waiting, users)

    async def count(self, recipient_id: UUID) -> tuple[int, int, datetime | None]:
        """See :meth:`messaging.mailbox.store.Store.count`. Raises ``django.db.DatabaseError``."""
        return await self._reads.run(self._store.count, recipient_id)

    # Removing

    def confirm(self, row_ids: Iterable[int], then: Callable[[int], None]) -> None:
        """Turn rows into stubs with the next batch; `then` is called with each row's id once that is on disk.

        Never fails: tried again, whatever the fault. What was not done
        when the process ends is delivered again.
        """
        self._confirmed.extend((row_id, then) for row_id in row_ids)
        if self._confirmer is None and self._confirmed:
            self._confirmer = asyncio.create_task(self._confirm_all())

    async def discard(self, row_ids: Sequence[int]) -> None:
        """Delete rows that nobody can read any more. Raises ``django.db.DatabaseError``."""
        await self._confirms.run(self._store.discard, row_ids)

    async def _confirm_all(self) -> None:
        pause_s = _RETRY_PAUSE_S
        try:
            while self._confirmed:
                if len(self._confirmed) < _CONFIRM_ROWS:
                    await asyncio.wait([self._closing], timeout=_CONFIRM_PAUSE_S)
                batch = list(islice(self._confirmed, _CONFIRM_ROWS))
                try:
                    await self._confirms.run(
                        self._store.confirm, [row_id for row_id, _ in batch], timezone.now()
                    )
                except Exception as error:  # noqa: BLE001 - what is confirmed must go, whatever failed
                    log.warning(
                        "confirmation failed, trying again", rows=len(batch), error=describe_error(error)
                    )
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, _RETRY_PAUSE_MAX_S)
                    continue
                pause_s = _RETRY_PAUSE_S
                for row_id, then in batch:
                    self._confirmed.popleft()
                    then(row_id)
        finally:
            self._confirmer = None

    async def close(self) -> None:
        """Finish what is under way, for at most 2 s, and end the threads. Who waits longer for an outcome is cancelled.

        What could not be confirmed by then is delivered again.
        """
        self._closing.set_result(None)
        tasks = [task for task in (self._committer, self._confirmer) if task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for put in self._queue:
            put.abandon()
        for each in (self._commits, self._reads, self._confirms):
            await each.close()

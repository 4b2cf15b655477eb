"""Each minute a process adds what it counted to the hourly figures, and once more at its orderly end.

What a process counted since then is lost when it is killed. A failure loses nothing and
counts nothing twice: the same batch is tried again the next time, before any later one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.utils import timezone

from construct_site.database import run_in_database_thread
from construct_site.logs import describe_error
from construct_site.metrics import store
from construct_site.metrics.collector import COLLECTOR, Collector
from construct_site.metrics.store import Batch, Cell, hour_of

log = structlog.get_logger(__name__)

_CLOSE_S = 2.0
_HOUR = timedelta(hours=1)


class Flusher:
    """One per process and event loop. :meth:`close` ends it."""

    def __init__(self, connections: Callable[[], int], collector: Collector = COLLECTOR) -> None:
        """`connections` tells how many authenticated sockets the process has."""
        self.process_id = secrets.token_hex(8)
        self._connections = connections
        self._collector = collector
        self._hour = hour_of(timezone.now())
        self._counted: Counter[Cell] = Counter()
        self._number = 0
        self._batch: Batch | None = None
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._flush_again_and_again())

    async def close(self) -> None:
        """Store what is left, for at most 2 s."""
        self._closing.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_CLOSE_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def flush(self) -> bool:
        """Store what was counted. Whether that worked; if not, it is kept for the next time."""
        self._note()
        try:
            is_unsure = self._batch is not None
            await self._store_batch()
            if is_unsure:
                await self._store_batch()
        except Exception as error:  # noqa: BLE001 - counts are kept and counting goes on, whatever failed
            log.warning("figures not stored, trying again", error=describe_error(error))
            return False
        return True

    async def _flush_again_and_again(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._pause_s()):
                    await self._closing.wait()
            except TimeoutError:
                await self.flush()
            else:
                break
        if await self.flush():
            await run_in_database_thread(store.remove_process, self.process_id)

    def _pause_s(self) -> float:
        """Until the next flush; the end of the hour is one, so that each count is of its hour."""
        now = timezone.now()
        left: timedelta = hour_of(now) + _HOUR - now
        return min(settings.CONSTRUCT.metrics_flush_s, left.total_seconds())

    def _note(self) -> None:
        """What was counted since this was last done was counted in the hour that it was then."""
        for bucket, amount in self._collector.take().items():
            self._counted[Cell(self._hour, *bucket)] += amount
        self._hour = hour_of(timezone.now())

    async def _store_batch(self) -> None:
        if self._batch is None:
            self._number += 1
            self._batch, self._counted = Batch(self._number, self._counted), Counter()
        now: datetime = timezone.now()
        await run_in_database_thread(
            store.store_batch, self.process_id, self._batch, self._connections(), now
        )
        self._batch = None

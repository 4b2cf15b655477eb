"""What a process counted gets into the database, in the hour in which it happened, once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import OperationalError

from construct_site.database import run_in_database_thread
from construct_site.metrics import flusher as flushing
from construct_site.metrics import store
from construct_site.metrics.collector import Collector
from construct_site.metrics.flusher import Flusher
from construct_site.metrics.models import HourlyMetric
from construct_site.metrics.store import processes
from construct_site.metrics.table import Metric
from tests.construct_site.conftest import Amounts
from tests.messaging.doubles import until

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
async def flusher(collector: Collector) -> AsyncIterator[Flusher]:
    made = Flusher(lambda: 3, collector)
    yield made
    await made.close()


async def stored() -> dict[tuple[str, datetime], int]:
    def read() -> dict[tuple[str, datetime], int]:
        columns = HourlyMetric.objects.values_list("metric", "hour", "value")
        return {(metric, hour): value for metric, hour, value in columns}

    return await run_in_database_thread(read)


async def is_stored() -> bool:
    return bool(await stored())


async def connections() -> list[int]:
    return list((await run_in_database_thread(processes, datetime.now(UTC))).values())


class Fault:
    """In the place of the store's function: it fails as often as it is told, before or after it does its work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._store_batch: Callable[..., None] = store.store_batch
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        monkeypatch.setattr(store, "store_batch", self)

    def __call__(self, *args: object) -> None:
        if self.before:
            raise self.before.pop()
        self._store_batch(*args)
        if self.after:
            raise self.after.pop()


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Fault:
    return Fault(monkeypatch)


async def test_what_was_counted_is_stored_once(flusher: Flusher, collector: Collector) -> None:
    with time_machine.travel(NOON, tick=False):
        again = Flusher(lambda: 3, collector)
        collector.count(Metric.LOGINS, 2)
        assert await again.flush()
        assert await again.flush()
        collector.count(Metric.LOGINS, 5)
        assert await again.flush()
        assert await stored() == {("logins", NOON): 7}
        assert await connections() == [3]


class TestHours:
    async def test_a_count_is_of_the_hour_in_which_it_was_made(self, collector: Collector) -> None:
        with time_machine.travel(NOON, tick=False) as clock:
            flusher = Flusher(lambda: 0, collector)
            collector.count(Metric.LOGINS, 1)
            clock.shift(timedelta(minutes=59, seconds=59))
            await flusher.flush()
            collector.count(Metric.LOGINS, 2)
            clock.shift(timedelta(seconds=1))
            await flusher.flush()
            collector.count(Metric.LOGINS, 4)
            await flusher.flush()
            assert await stored() == {("logins", NOON): 3, ("logins", NOON + HOUR): 4}

    async def test_it_is_flushed_at_the_end_of_the_hour(self, collector: Collector, amounts: Amounts) -> None:
        amounts(metrics_flush_s=3600)
        with time_machine.travel(NOON + HOUR - timedelta(seconds=0.2)):
            flusher = Flusher(lambda: 0, collector)
            flusher.start()
            collector.count(Metric.LOGINS)
            try:
                await until(is_stored)
                assert await stored() == {("logins", NOON): 1}
            finally:
                await flusher.close()

    async def test_what_could_not_be_stored_stays_in_its_hour(
        self, collector: Collector, fault: Fault
    ) -> None:
        with time_machine.travel(NOON, tick=False) as clock:
            flusher = Flusher(lambda: 0, collector)
            fault.before = [OperationalError(), OperationalError()]
            collector.count(Metric.LOGINS, 1)
            clock.shift(HOUR / 2)
            assert not await flusher.flush()
            collector.count(Metric.LOGINS, 2)
            clock.shift(HOUR / 2)
            assert not await flusher.flush()
            collector.count(Metric.LOGINS, 4)
            clock.shift(HOUR / 2)
            assert await flusher.flush()
            assert await stored() == {("logins", NOON): 3, ("logins", NOON + HOUR): 4}


class TestFaults:
    @pytest.mark.parametrize("error", [OperationalError, RuntimeError])
    async def test_a_failure_loses_nothing(
        self,
        flusher: Flusher,
        collector: Collector,
        fault: Fault,
        caplog: pytest.LogCaptureFixture,
        error: type[Exception],
    ) -> None:
        collector.count(Metric.LOGINS)
        fault.before = [error("private words")]
        assert not await flusher.flush()
        collector.count(Metric.LOGINS)
        assert await stored() == {}
        assert await flusher.flush()
        assert list((await stored()).values()) == [2]
        assert "figures not stored" in caplog.text
        assert "private words" not in caplog.text

    async def test_a_commit_whose_answer_was_lost_is_not_counted_twice(
        self, flusher: Flusher, collector: Collector, fault: Fault
    ) -> None:
        collector.count(Metric.LOGINS)
        fault.after = [OperationalError(), OperationalError()]
        assert not await flusher.flush()
        collector.count(Metric.LOGINS, 2)
        assert not await flusher.flush()
        collector.count(Metric.LOGINS, 4)
        assert await flusher.flush()
        assert sum((await stored()).values()) == 7

    async def test_no_failure_ends_it(self, collector: Collector, fault: Fault, amounts: Amounts) -> None:
        amounts(metrics_flush_s=0.01)
        fault.before = [RuntimeError(), OperationalError()]
        flusher = Flusher(lambda: 3, collector)
        flusher.start()
        try:
            collector.count(Metric.LOGINS)
            await until(is_stored)
            assert await connections() == [3]
        finally:
            await flusher.close()


class TestTheEnd:
    async def test_what_is_left_is_stored_and_the_process_is_gone(self, collector: Collector) -> None:
        flusher = Flusher(lambda: 3, collector)
        flusher.start()
        await flusher.flush()
        assert await connections() == [3]
        collector.count(Metric.LOGINS)
        await flusher.close()
        assert list((await stored()).values()) == [1]
        assert await connections() == []

    async def test_with_the_database_away_it_ends_all_the_same(
        self, collector: Collector, fault: Fault, caplog: pytest.LogCaptureFixture
    ) -> None:
        flusher = Flusher(lambda: 3, collector)
        flusher.start()
        fault.before = [OperationalError()]
        await flusher.close()
        assert caplog.text.count("figures not stored") == 1

    async def test_a_database_that_hangs_holds_it_up_for_a_moment(
        self, collector: Collector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = threading.Event()
        monkeypatch.setattr(store, "store_batch", lambda *_args: gate.wait(30))
        monkeypatch.setattr(flushing, "_CLOSE_S", 0.05)
        flusher = Flusher(lambda: 3, collector)
        flusher.start()
        try:
            await asyncio.wait_for(flusher.close(), 5)
        finally:
            gate.set()

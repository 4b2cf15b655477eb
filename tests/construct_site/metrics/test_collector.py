"""Counting in memory: nothing is lost, and nothing is given twice, whatever the threads do."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from construct_site.metrics.collector import Bucket, Collector
from construct_site.metrics.table import BOUNDS_S, Metric

THREADS, EACH = 4, 20_000


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
def restless_threads() -> Iterator[None]:
    """Threads are switched as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_what_was_counted_is_given_once(collector: Collector) -> None:
    collector.count(Metric.LOGINS)
    collector.count(Metric.LOGINS)
    collector.count(Metric.MESSAGES_EXPIRED, 40)
    assert collector.take() == {(Metric.LOGINS, 0): 2, (Metric.MESSAGES_EXPIRED, 0): 40}
    assert collector.take() == {}
    collector.count(Metric.LOGINS)
    assert collector.take() == {(Metric.LOGINS, 0): 1}


@pytest.mark.parametrize(
    ("time_s", "position"),
    [
        (0.0, 0),
        (0.001, 0),
        (0.0011, 1),
        (0.05, 5),
        (60.0, len(BOUNDS_S) - 1),
        (60.1, len(BOUNDS_S)),
        (1e9, len(BOUNDS_S)),
    ],
)
def test_a_time_counts_in_its_class(collector: Collector, time_s: float, position: int) -> None:
    collector.note_time(Metric.DELIVERY_TIME, time_s)
    assert collector.take() == {(Metric.DELIVERY_TIME, position): 1}


@pytest.mark.usefixtures("restless_threads")
def test_threads_that_count_at_once_lose_nothing_while_it_is_taken(collector: Collector) -> None:
    taken: Counter[Bucket] = Counter()

    def work() -> None:
        for _ in range(EACH):
            collector.count(Metric.LOGINS)
            collector.note_time(Metric.DELIVERY_TIME, 0.0)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken.update(collector.take())
    taken.update(collector.take())
    assert taken == {(Metric.LOGINS, 0): THREADS * EACH, (Metric.DELIVERY_TIME, 0): THREADS * EACH}


def test_threads_that_ended_leave_their_counts_and_nothing_else(collector: Collector) -> None:
    for _ in range(3):
        for _ in range(10):
            thread = threading.Thread(target=collector.count, args=[Metric.FAILED_LOGINS])
            thread.start()
            thread.join()
        assert collector.take() == {(Metric.FAILED_LOGINS, 0): 10}
    # The thread that made it has one.
    assert len(collector._lists) == 1

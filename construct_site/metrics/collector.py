"""Counting in memory, for each message: no lock, no I/O, nothing that waits.

Each thread counts in a list of its own, which no other writes, so no count is lost
whatever the threads do. The numbers only grow; :meth:`Collector.take` gives by
how much they grew since it was last called.
"""

from __future__ import annotations

import threading
from bisect import bisect_left

from construct_site.metrics.table import BOUNDS_S, Metric, buckets

Bucket = tuple[Metric, int]
"""A metric and the position of a class of its times; 0 where it has none."""

_BUCKETS: list[Bucket] = [(metric, position) for metric in Metric for position in range(buckets(metric))]
_FIRST = {metric: _BUCKETS.index((metric, 0)) for metric in Metric}


class Collector:
    """What one process counted. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lists: list[tuple[threading.Thread, list[int]]] = []
        self._ended = [0] * len(_BUCKETS)
        """What threads counted that have ended."""
        self._taken = [0] * len(_BUCKETS)
        self._own = _Own(self)

    def count(self, metric: Metric, amount: int = 1) -> None:
        """Something happened: one of the sums."""
        self._own.counts[_FIRST[metric]] += amount

    def note_time(self, metric: Metric, time_s: float) -> None:
        """Something took so long: one of the times."""
        self._own.counts[_FIRST[metric] + bisect_left(BOUNDS_S, time_s)] += 1

    def take(self) -> dict[Bucket, int]:
        """What was counted since this was last called; what was not is left out. Each count is given once."""
        with self._lock:
            self._fold_ended()
            totals = [
                sum(counts) for counts in zip(self._ended, *(own for _, own in self._lists), strict=True)
            ]
            grown = [total - taken for total, taken in zip(totals, self._taken, strict=True)]
            self._taken = totals
        return {bucket: amount for bucket, amount in zip(_BUCKETS, grown, strict=True) if amount}

    def new_list(self) -> list[int]:
        """The list of the calling thread."""
        counts = [0] * len(_BUCKETS)
        with self._lock:
            self._lists.append((threading.current_thread(), counts))
        return counts

    def _fold_ended(self) -> None:
        """Requests over HTTP have threads of their own: what is kept must not grow with each."""
        live = []
        for thread, counts in self._lists:
            if thread.is_alive():
                live.append((thread, counts))
            else:
                self._ended = [sum(pair) for pair in zip(self._ended, counts, strict=True)]
        self._lists = live


class _Own(threading.local):
    """The list of each thread, made when the thread first counts."""

    def __init__(self, collector: Collector) -> None:
        self.counts = collector.new_list()


COLLECTOR = Collector()
"""The process's one."""
count = COLLECTOR.count
note_time = COLLECTOR.note_time

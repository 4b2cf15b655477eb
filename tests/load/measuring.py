"""Rounds, medians, percentiles, and what a run costs."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from tests.load import processes
from tests.load.client import LoadClient
from tests.load.results import ClientShare, Cost, Row
from tests.load.stage import Node, Stage

T = TypeVar("T")
Figure = Callable[[Sequence[float]], float]
"""A median, a percentile."""
QUIET_LOOK_S = 0.5
QUIET_SHARE = 0.2
QUIET_MOST_S = 30.0


def percentile(ascending: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; `share` 0.99 for p99. Raises ValueError without values."""
    if not ascending:
        raise ValueError("nothing was measured")
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


def alternate(rounds: int, runs: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Each run in turn, so many times: what disturbs the machine for a while meets all of them."""
    results: dict[str, list[T]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            results[name].append(run())
    return results


def ratios(upper: Iterable[float], lower: Iterable[float]) -> list[float]:
    """Round by round."""
    return [above / below for above, below in zip(upper, lower, strict=True)]


def difference(figure: Figure, measured: Mapping[str, Sequence[float]]) -> float:
    """Largest ÷ smallest figure of what was measured by turns."""
    figures = [figure(each) for each in measured.values()]
    return max(figures) / min(figures)


def noise(figure: Figure, measured: Mapping[str, Sequence[float]]) -> float:
    """The same for two halves of one kind, which were measured by turns and differ in nothing; the largest of all."""
    return max(difference(figure, {"even": each[::2], "odd": each[1::2]}) for each in measured.values())


def add_up(faults: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in faults:
        total.update(each)
    return dict(total)


@dataclass
class Usage:
    """Processor seconds of each part between two moments."""

    seconds: float = 0.0
    server_s: float = 0.0
    database_s: float = 0.0
    valkey_s: float = 0.0
    clients_s: float = 0.0
    busy_s: float = 0.0
    """Of the whole machine."""

    @property
    def elsewhere_share(self) -> float:
        """What the machine did for others, of all its cores; also what Linux cannot account to a process."""
        ours = self.server_s + self.database_s + self.valkey_s + self.clients_s
        return max(0.0, self.busy_s - ours) / (self.seconds * (os.cpu_count() or 1))


@contextmanager
def usage_of(stage: Stage, nodes: Sequence[Node], clients: Sequence[LoadClient]) -> Iterator[Usage]:
    """Filled in when the context ends. The servers are those of `nodes`."""
    usage = Usage()

    def count(sign: int) -> None:
        usage.seconds += sign * time.perf_counter()
        usage.server_s += sign * sum(processes.cpu_s(node.pid) for node in nodes)
        usage.database_s += sign * stage.database_cpu_s
        usage.valkey_s += sign * stage.valkey_cpu_s
        usage.clients_s += sign * sum(client.cpu_s for client in clients)
        usage.busy_s += sign * processes.busy_s()

    count(-1)
    yield usage
    count(1)


def wait_until_quiet(nodes: Sequence[Node]) -> None:
    """Wait until the servers have done what the last load left them with."""
    deadline = time.monotonic() + QUIET_MOST_S
    while time.monotonic() < deadline:
        before_s = sum(processes.cpu_s(node.pid) for node in nodes)
        time.sleep(QUIET_LOOK_S)
        if sum(processes.cpu_s(node.pid) for node in nodes) - before_s < QUIET_SHARE * QUIET_LOOK_S:
            return


@dataclass
class Record:
    """What was found so far."""

    rows: list[Row] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    clients: list[ClientShare] = field(default_factory=list)

    def row(self, row: Row) -> None:
        self.rows.append(row)

    def client(self, load: str, shares: Iterable[float], usages: Iterable[Usage]) -> None:
        elsewhere = max((usage.elsewhere_share for usage in usages), default=0.0)
        self.clients.append(ClientShare(load, max(shares, default=0.0), elsewhere))

    def cost(self, work: str, usages: Sequence[Usage], pieces: float) -> None:
        """`pieces` of the work were done in all of `usages`."""
        self.costs.append(
            Cost(
                work,
                sum(usage.server_s for usage in usages) / pieces,
                sum(usage.database_s for usage in usages) / pieces,
                sum(usage.valkey_s for usage in usages) / pieces,
            )
        )

"""The benchmark measures every scenario, at sizes that prove nothing about speed."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from construct_site.env import REPOSITORY
from tests.load import report
from tests.load.bench import INTERRUPTED, NUMBERS, bench
from tests.load.commands.crowds import Person
from tests.load.processes import descendants
from tests.load.scenarios.logins import PASSWORD
from tests.load.sizes import TINY
from tests.load.stage import Construct, Node, Stage, stage

PEOPLE = 500


@dataclass
class Pool(Construct):
    """Hands out accounts that were made once."""

    made: list[Person] = field(default_factory=list)

    def people(self, count: int, password: str = PASSWORD) -> list[Person]:
        assert password in ("", PASSWORD)
        taken, self.made[:] = self.made[:count], self.made[count:]
        return taken


@dataclass
class Sharing(Stage):
    """Scenarios share servers and accounts: making them takes longer than all that is measured here."""

    stack: ExitStack = field(default_factory=ExitStack)
    pool: Pool | None = None
    relays: dict[str, Node] = field(default_factory=dict)

    @contextmanager
    def construct(self, processes: int = 1) -> Iterator[Construct]:
        if self.pool is None:
            pair = self.stack.enter_context(super().construct(processes=2))
            self.pool = Pool(self, pair.backing, pair.nodes, pair.people(PEOPLE, PASSWORD))
        yield replace(self.pool, nodes=self.pool.nodes[:processes])

    @contextmanager
    def relay(self, name: str) -> Iterator[Node]:
        if name not in self.relays:
            self.relays[name] = self.stack.enter_context(super().relay(name))
        yield self.relays[name]


@pytest.mark.timeout(300)  # a dozen processes start, beside whatever else runs
def test_every_scenario_gives_rows_without_faults() -> None:
    with stage() as services, ExitStack() as stack:
        sharing = Sharing(**vars(services), stack=stack)
        found = bench(sharing, TINY, set(NUMBERS))
    assert found.failures == {}
    assert {row.title: row.faults for row in found.rows if row.faults} == {}
    assert [row.scenario for row in found.rows] == sorted((row.scenario for row in found.rows), key=int)
    assert {row.scenario for row in found.rows} == set(NUMBERS)
    assert all(math.isfinite(row.value) for row in found.rows)
    assert all(row.must is not None or row.aim is not None for row in found.rows)
    works = {cost.work for cost in found.costs}
    assert {"message, one process", "idle connection-hour", "reconnect"} <= works
    assert all(row.title in report.page(found) for row in found.rows)


def test_a_benchmark_that_is_ended_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.load.bench",
        "--quick",
        "--only",
        "5",
        "--json",
        str(tmp_path / "json"),
    ]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 60
        started: list[int] = []
        # PostgreSQL's and Valkey's processes, two servers and a client.
        while len(started) < 10 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
            started = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == INTERRUPTED
    assert len(started) >= 10
    assert not any(Path(f"/proc/{pid}").exists() for pid in started if pid != os.getpid())
    assert not (tmp_path / "json").exists()

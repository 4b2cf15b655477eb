"""Rounds, percentiles, and what /proc tells of processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from statistics import median

import pytest

from tests.load import processes
from tests.load.measuring import add_up, alternate, difference, noise, percentile, ratios


def test_runs_take_turns() -> None:
    order: list[str] = []
    alternate(2, {"a": lambda: order.append("a"), "b": lambda: order.append("b")})
    assert order == ["a", "b", "a", "b"]


def test_each_run_keeps_its_results() -> None:
    counter = iter(range(4))
    assert alternate(2, {"a": lambda: next(counter), "b": lambda: next(counter)}) == {
        "a": [0, 2],
        "b": [1, 3],
    }


def test_a_percentile_is_the_value_that_so_many_do_not_exceed() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 0.01) == 7.0


def test_a_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 0.5)


def test_ratios_are_of_the_same_round() -> None:
    assert ratios([2.0, 9.0], [4.0, 3.0]) == [0.5, 3.0]
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [])


def test_a_difference_is_of_the_figures_and_noise_of_the_halves_of_each() -> None:
    measured = {"free": [1.0, 2.0, 1.0, 2.0], "blocked": [6.0, 6.0, 6.0, 6.0]}
    assert difference(median, measured) == 4.0
    assert noise(median, measured) == 2.0


def test_faults_of_several_runs_add_up() -> None:
    assert add_up([{"lost": 1}, {}, {"lost": 2, "duplicates": 1}]) == {"lost": 3, "duplicates": 1}


SPIN = "import time\nbegin = time.process_time()\nwhile time.process_time() - begin < 0.3: pass"


def test_processor_time_counts_children_also_when_they_ended() -> None:
    before = processes.cpu_s(os.getpid())
    subprocess.run([sys.executable, "-c", SPIN], check=True)
    assert processes.cpu_s(os.getpid()) - before >= 0.3
    program = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {SPIN!r}])\ninput()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as parent:
        deadline = time.monotonic() + 30
        while processes.cpu_s(parent.pid) < 0.3 and time.monotonic() < deadline:
            time.sleep(0.02)
        found = processes.cpu_s(parent.pid)
        assert processes.parent_of(parent.pid) == os.getpid()
        parent.communicate(b"\n")
    assert found >= 0.3


def test_the_machine_works_at_least_as_much_as_we_do() -> None:
    before, own = processes.busy_s(), time.process_time()
    while time.process_time() - own < 0.2:
        pass
    # Both clocks count in hundredths.
    assert processes.busy_s() - before > 0.15


def test_memory_that_a_process_takes_is_counted() -> None:
    before = processes.resident_bytes(os.getpid())
    block = os.urandom(32 * 1024 * 1024)
    assert processes.resident_bytes(os.getpid()) - before > len(block) // 2


def test_a_process_that_is_gone_has_no_parent_and_costs_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    assert processes.cpu_s(gone.pid) == 0
    with pytest.raises(ProcessLookupError):
        processes.parent_of(gone.pid)

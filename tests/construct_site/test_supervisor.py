"""Workers' lives and deaths under a supervisor, without what they would serve. `live/test_workers.py` has the rest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from construct_site.env import REPOSITORY
from construct_site.server.supervisor import BackOff
from tests.construct_site.probes import WAIT_S
from tests.construct_site.supervised import EXIT_CODE, WORKERS


@dataclass
class Row:
    """A supervisor with its workers, and what all of them said."""

    process: subprocess.Popen[bytes]
    behaviour: Path
    log: Path
    lines: list[str] = field(default_factory=list)

    def await_that(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, (self.lines, self.log.read_text())
            time.sleep(0.01)

    def await_ready(self) -> None:
        self.await_that(lambda: "ready" in self.lines)

    def await_logged(self, event: str) -> dict[str, object]:
        self.await_that(lambda: event in self.events())
        return next(each for each in self.logged() if each["event"] == event)

    def who(self, said: str) -> list[int]:
        """The workers that said this, in that order."""
        words = [line.split() for line in list(self.lines)]
        return [int(each[0]) for each in words if each[1:] == [said]]

    def logged(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def events(self) -> list[object]:
        return [each["event"] for each in self.logged()]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@contextmanager
def row(directory: Path, behaviour: str = "serve", *arguments: str) -> Iterator[Row]:
    file, log = directory / "behaviour", directory / "log"
    file.write_text(behaviour)
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.construct_site.supervised", str(file), *arguments],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    started = Row(process, file, log)
    reader = threading.Thread(target=_read, args=(process, started.lines))
    reader.start()
    try:
        yield started
    finally:
        process.kill()
        process.wait()
        # The end of their output: the workers have ended too.
        reader.join(WAIT_S)
        assert not reader.is_alive(), "a worker outlived its supervisor"
        assert process.stdout is not None
        process.stdout.close()
    assert "Traceback" not in log.read_text()


def _read(process: subprocess.Popen[bytes], lines: list[str]) -> None:
    assert process.stdout is not None
    lines.extend(line.decode().rstrip("\n") for line in process.stdout)


def test_pauses_after_deaths_double_from_half_a_second_to_thirty() -> None:
    back_off = BackOff()
    assert [back_off.after(1) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_minute_of_life_ends_a_crash_loop() -> None:
    back_off = BackOff()
    for _ in range(8):
        back_off.after(59.9)
    assert back_off.after(60) == 0.5
    assert back_off.after(0) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_each_worker_is_told_once_to_end_and_the_supervisor_follows(
    number: signal.Signals, tmp_path: Path
) -> None:
    with row(tmp_path) as workers:
        workers.await_ready()
        assert workers.end(number) == 0
        assert workers.lines.count("ready") == 1
        assert len(set(workers.who("serves"))) == WORKERS
        assert sorted(workers.who("SIGTERM")) == sorted(workers.who("serves"))


def test_what_a_terminal_sends_to_all_reaches_each_worker_once(tmp_path: Path) -> None:
    with row(tmp_path) as workers:
        workers.await_ready()
        os.killpg(workers.process.pid, signal.SIGINT)
        assert workers.process.wait(WAIT_S) == 0
        assert workers.who("SIGINT") == []
        assert sorted(workers.who("SIGTERM")) == sorted(workers.who("serves"))


def test_a_second_signal_changes_nothing(tmp_path: Path) -> None:
    with row(tmp_path, "deaf") as workers:
        workers.await_ready()
        workers.process.send_signal(signal.SIGTERM)
        workers.await_that(lambda: len(workers.who("SIGTERM")) == WORKERS)
        assert workers.end() == 1
        assert len(workers.who("SIGTERM")) == WORKERS


def test_where_the_first_worker_fails_no_second_is_tried(tmp_path: Path) -> None:
    with row(tmp_path, "fail") as workers:
        assert workers.process.wait(WAIT_S) == 1
        assert len(workers.who("starts")) == 1
        assert "ready" not in workers.lines
        assert workers.await_logged("a worker did not get ready")["exit_code"] == EXIT_CODE
        assert "A worker did not start." in workers.log.read_text()


def test_a_program_that_cannot_be_started_is_said(tmp_path: Path) -> None:
    with row(tmp_path, "serve", "--program", str(tmp_path / "nothing")) as workers:
        assert workers.process.wait(WAIT_S) == 1
        told = workers.await_logged("a worker could not be started")
        assert str(told["error"]).startswith("FileNotFoundError")


def test_a_first_worker_that_hangs_is_killed(tmp_path: Path) -> None:
    with row(tmp_path, "hang") as workers:
        assert workers.process.wait(WAIT_S) == 1
        assert workers.await_logged("a worker did not get ready")["signal"] == signal.SIGKILL


def test_the_end_may_come_while_a_worker_starts(tmp_path: Path) -> None:
    with row(tmp_path, "hang") as workers:
        workers.await_that(lambda: len(workers.who("starts")) == 1)
        assert workers.end() == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGRTMIN + 1])
def test_a_worker_that_dies_is_replaced_whatever_ended_it(number: int, tmp_path: Path) -> None:
    with row(tmp_path) as workers:
        workers.await_ready()
        victim, other = workers.who("serves")
        os.kill(victim, number)
        workers.await_that(lambda: len(workers.who("serves")) == WORKERS + 1)
        told = workers.await_logged("a worker died")
        how = {"exit_code": 0} if number == signal.SIGTERM else {"signal": number}
        assert {name: told[name] for name in ("pid", *how)} == {"pid": victim, **how}
        assert workers.end() == 0
        assert other in workers.who("SIGTERM")


def test_a_replacement_that_fails_is_tried_again_after_a_pause(tmp_path: Path) -> None:
    with row(tmp_path) as workers:
        workers.await_ready()
        workers.behaviour.write_text("fail")
        os.kill(workers.who("serves")[0], signal.SIGKILL)
        workers.await_that(lambda: workers.events().count("a worker did not get ready") == 2)
        workers.behaviour.write_text("serve")
        workers.await_that(lambda: len(workers.who("serves")) == WORKERS + 1)
        assert workers.events().count("a worker died") == 1
        assert workers.end() == 0


def test_a_worker_that_does_not_end_is_killed_and_said(tmp_path: Path) -> None:
    with row(tmp_path, "deaf") as workers:
        workers.await_ready()
        assert workers.end() == 1
        assert workers.await_logged("workers did not end in time and were killed")["workers"] == WORKERS
        assert "Not every worker ended in order." in workers.log.read_text()


def test_a_rolling_restart_ends_each_worker_once_its_replacement_serves(tmp_path: Path) -> None:
    with row(tmp_path) as workers:
        workers.await_ready()
        workers.process.send_signal(signal.SIGHUP)
        assert workers.await_logged("rolling restart done")["workers"] == WORKERS
        first, second, third, fourth = workers.who("serves")
        story = [line for line in workers.lines if not line.endswith("starts")]
        begin = story.index(f"{third} serves")
        one, other = (first, second) if first == workers.who("SIGTERM")[0] else (second, first)
        assert story[begin:] == [
            f"{third} serves",
            f"{one} SIGTERM",
            f"{fourth} serves",
            f"{other} SIGTERM",
        ]
        assert workers.end() == 0
        assert workers.who("SIGTERM")[2:] in ([third, fourth], [fourth, third])
        assert "a worker died" not in workers.events()


def test_requests_for_a_restart_during_one_make_one_more_together(tmp_path: Path) -> None:
    with row(tmp_path) as workers:
        workers.await_ready()
        workers.process.send_signal(signal.SIGHUP)
        workers.await_that(lambda: len(workers.who("starts")) == WORKERS + 1)
        for _ in range(3):
            workers.process.send_signal(signal.SIGHUP)
        workers.await_that(lambda: workers.events().count("rolling restart done") == 2)
        assert workers.end() == 0
        assert len(workers.who("starts")) == 3 * WORKERS


@pytest.mark.parametrize("behaviour", ["fail", "hang"])
def test_without_a_replacement_the_old_workers_stay(behaviour: str, tmp_path: Path) -> None:
    with row(tmp_path) as workers:
        workers.await_ready()
        workers.behaviour.write_text(behaviour)
        workers.process.send_signal(signal.SIGHUP)
        workers.await_logged("rolling restart given up: the old workers stay")
        assert len(workers.who("starts")) == WORKERS + 1
        assert workers.who("SIGTERM") == []
        assert workers.end() == 0


def test_a_worker_that_dies_during_a_restart_is_replaced_once(tmp_path: Path) -> None:
    with row(tmp_path) as workers:
        workers.await_ready()
        one, other = workers.who("serves")
        os.kill(one, signal.SIGKILL)
        os.kill(other, signal.SIGKILL)
        workers.process.send_signal(signal.SIGHUP)
        workers.await_logged("rolling restart done")
        time.sleep(2 * BackOff.FIRST_S)  # The replacements that were due after the pause.
        assert len(workers.who("serves")) in range(2 * WORKERS, 3 * WORKERS + 1)
        assert workers.end() == 0
        assert len(workers.who("SIGTERM")) == len(workers.who("serves")) - 2


def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    with row(tmp_path) as workers:
        workers.await_ready()
        workers.process.kill()
        workers.await_that(lambda: len(workers.who("SIGTERM")) == WORKERS)


def test_workers_have_the_supervisors_environment_but_not_its_input_nor_its_group(tmp_path: Path) -> None:
    with row(tmp_path) as workers:
        workers.await_ready()
        environment = Path(f"/proc/{workers.process.pid}/environ").read_bytes()
        for worker in workers.who("serves"):
            assert Path(f"/proc/{worker}/environ").read_bytes() == environment
            assert Path(f"/proc/{worker}/fd/0").readlink() == Path(os.devnull)
            assert os.getpgid(worker) == worker
        assert workers.end() == 0

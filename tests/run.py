"""The whole test suite, on both backings: `python -m tests.run [arguments of pytest]`.

Part 1 runs everything but the live tests, Django being on SQLite and the in-memory
layer. Part 2 runs what uses the database or the channel layer once more, on PostgreSQL
and Valkey. Parts 3 and 4 start servers of their own. All wait much of the time, so they
run beside each other, each in a process; the live tests are in both of the last so that
none is much longer than the others.
`DATABASE_URL` and `REDIS_URL` name servers to use, of which the tests take databases of
their own; servers not named are started here, and stopped at the end, also on a failure,
on Ctrl-C and on SIGTERM.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import FrameType
from typing import IO

import pytest

from tests.services import empty_redis_database, fresh_database, postgresql, valkey

_POLL_S = 0.5
LEFT_OUT = ("DATABASE_URL", "REDIS_URL", "PYTHONDONTWRITEBYTECODE")
"""Variables that no part is to have. Some hundred processes import the same modules: the first keeps their bytecode."""


def main(arguments: list[str]) -> int:
    """Run all parts; the exit code is pytest's, of the first part that failed."""
    # Until pytest runs, SIGTERM ends this like Ctrl-C: by an exception, through every `finally`.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        database_url = os.environ.get("DATABASE_URL") or stack.enter_context(postgresql())
        redis_url = os.environ.get("REDIS_URL") or stack.enter_context(valkey())
        plain = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
        plain |= {"TEST_DATABASE_URL": database_url, "TEST_REDIS_URL": redis_url}
        real = plain | {
            "DATABASE_URL": stack.enter_context(fresh_database(database_url)),
            "REDIS_URL": stack.enter_context(empty_redis_database(redis_url)),
        }
        beside = []
        for title, parts, environment in (
            ("Part 2 of 4: database and channel layer, on PostgreSQL and Valkey", ["real"], real),
            (
                "Part 3 of 4: the live tests on PostgreSQL and Valkey, and load",
                ["distributed", "load"],
                plain,
            ),
            ("Part 4 of 4: faults, and the live tests on SQLite", ["faults", "embedded"], plain),
        ):
            output = stack.enter_context(NamedTemporaryFile())
            child = _pytest(parts, arguments, environment, output)
            stack.callback(_end, child)
            beside.append((title, child, Path(output.name)))
        children = [child for _, child, _ in beside]
        with _signals_left_to(*children):
            print("Part 1 of 4: all but the live tests, on SQLite and the in-memory layer", flush=True)
            child = _pytest(["plain"], arguments, plain)
            with _signals_left_to(child, *children):
                codes = [child.wait()]
            for title, child, written in beside:
                print(title, flush=True)
                _show(written, child)
                codes.append(child.wait())
    return verdict(codes, selective=bool(arguments))


def verdict(codes: list[int], *, selective: bool) -> int:
    """One exit code for the parts.

    A selection may be empty in one part, never in all; without a selection an empty
    part is a failure.
    """
    nothing = pytest.ExitCode.NO_TESTS_COLLECTED
    if selective and any(code != nothing for code in codes):
        codes = [code for code in codes if code != nothing]
    return next((int(code) for code in codes if code != pytest.ExitCode.OK), 0)


def _pytest(
    parts: list[str], arguments: list[str], environment: Mapping[str, str], output: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    chosen = [f"--part={part}" for part in parts]
    command = [sys.executable, "-m", "pytest", *chosen, *arguments]
    return subprocess.Popen(command, env=environment, stdout=output, stderr=output)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Whatever happened here: a child that still runs ends in order."""
    if child.poll() is None:
        child.terminate()
        child.wait()


def _show(output: Path, child: subprocess.Popen[bytes]) -> None:
    """Print what a child has written and writes, until it ends."""
    with output.open("rb") as lines:
        while True:
            has_ended = child.poll() is not None
            sys.stdout.buffer.write(lines.read())
            sys.stdout.flush()
            if has_ended:
                return
            time.sleep(_POLL_S)


@contextmanager
def _signals_left_to(*children: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let the children end in their own time: the services must outlive their fixtures."""

    def forward(number: int, _frame: FrameType | None) -> None:
        for child in children:
            child.send_signal(number)

    # Ctrl-C reaches the children from the terminal already.
    before = {signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None)}
    before[signal.SIGTERM] = signal.signal(signal.SIGTERM, forward)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
